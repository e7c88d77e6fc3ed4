"""Frames of the user's own library, made of what was drawn and around what was given.

Columns go by their place, since names need be neither texts nor unique.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.frames import column_names, polars_frame
from made_exp.datasets.table.pandas_types import as_pandas, dense, pandas_series
from made_exp.datasets.table.stored import as_type
from made_exp.errors import did_you_mean


class Library(ABC):
    """How one library holds frames."""

    name: ClassVar[str]

    @abstractmethod
    def make(self, columns: Sequence[pl.Series], like: Any = None, rows_of: Any = None) -> Any:
        """A frame of these columns, of equal length.

        Args:
            columns: Their values, null where there is nothing.
            like: A frame whose columns at the same places have the types and names that are
                wanted, as far as they can hold the values.
            rows_of: A frame of which these are the rows: they are called as there.
        """

    def pick(self, frame: Any, places: Sequence[int]) -> Any:
        """The columns at these places, in this order."""
        return frame[:, list(places)]

    def take(self, frame: Any, rows: np.ndarray) -> Any:
        """These rows of a frame, by number, in this order."""
        return frame[rows]

    @abstractmethod
    def put(self, frame: Any, place: int, is_given: np.ndarray, values: pl.Series) -> Any:
        """The frame with values (M,) in the M cells of a column that `is_given` (N,) is false of.

        The column keeps its type, as long as that can hold the values.
        """

    def append(self, frame: Any, values: pl.Series, like: Any = None) -> Any:
        """The frame with one more column (N,), the last, like the only one of a frame (`make`)."""
        raise AssertionError(f"{self.name} has no names of columns")


@final
class Polars(Library):
    """Frames of polars."""

    name = "polars"

    @override
    def pick(self, frame: Any, places: Sequence[int]) -> Any:
        return frame.select([frame.columns[place] for place in places])

    @override
    def make(self, columns: Sequence[pl.Series], like: Any = None, rows_of: Any = None) -> Any:
        if like is not None:
            pairs = zip(columns, like.get_columns(), strict=True)
            columns = [as_type(values, own.dtype).alias(own.name) for values, own in pairs]
        return pl.DataFrame({values.name: values for values in columns})  # "" is a name, too

    @override
    def put(self, frame: Any, place: int, is_given: np.ndarray, values: pl.Series) -> Any:
        column = filled(frame.to_series(place), is_given, values)
        return frame.with_columns(column)

    @override
    def append(self, frame: Any, values: pl.Series, like: Any = None) -> Any:
        return frame.hstack(self.make([values], like))


@final
class Arrow(Library):
    """Tables of pyarrow."""

    name = "pyarrow"

    @override
    def make(self, columns: Sequence[pl.Series], like: Any = None, rows_of: Any = None) -> Any:
        import pyarrow as pa

        names = [values.name for values in columns] if like is None else like.column_names
        arrays = [values.to_arrow() for values in columns]
        if like is not None:
            arrays = [self._cast(*pair) for pair in zip(columns, like.schema.types, strict=True)]
        return pa.Table.from_arrays(arrays, names=names)

    @override
    def pick(self, frame: Any, places: Sequence[int]) -> Any:
        return frame.select(list(places))

    @override
    def take(self, frame: Any, rows: np.ndarray) -> Any:
        import pyarrow as pa

        # Rows of views cannot be taken.
        plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
        fields = [field.with_type(plain.get(field.type, field.type)) for field in frame.schema]
        return frame.cast(pa.schema(fields)).take(rows).cast(frame.schema)

    @override
    def put(self, frame: Any, place: int, is_given: np.ndarray, values: pl.Series) -> Any:
        given = pl.Series(frame.column(place))
        field = frame.schema.field(place)
        array = self._cast(filled(given, is_given, values), field.type)
        return frame.set_column(place, field.with_type(array.type), array)

    @override
    def append(self, frame: Any, values: pl.Series, like: Any = None) -> Any:
        made = self.make([values], like)
        return frame.append_column(made.schema.field(0), made.column(0))

    def _cast(self, values: pl.Series, dtype: Any) -> Any:
        import pyarrow as pa

        array = as_type(values, pl.Series(pa.array([], dtype)).dtype).to_arrow()
        try:
            return array.cast(dtype)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return array


@final
class Pandas(Library):
    """Frames of pandas."""

    name = "pandas"

    @override
    def make(self, columns: Sequence[pl.Series], like: Any = None, rows_of: Any = None) -> Any:
        import pandas as pd

        if like is None:
            made = [pandas_series(values) for values in columns]
        else:
            made = [as_pandas(*pair) for pair in zip(columns, like.dtypes, strict=True)]
        frame = pd.concat(made, axis=1)
        frame.columns = [values.name for values in columns] if like is None else like.columns
        if rows_of is not None:
            frame.index = rows_of.index
        return frame

    @override
    def pick(self, frame: Any, places: Sequence[int]) -> Any:
        return frame.iloc[:, list(places)]

    @override
    def take(self, frame: Any, rows: np.ndarray) -> Any:
        return frame.iloc[rows]

    @override
    def put(self, frame: Any, place: int, is_given: np.ndarray, values: pl.Series) -> Any:
        from pandas.api.types import is_numeric_dtype

        given, rows = frame.iloc[:, place], np.flatnonzero(~is_given)
        column = dense(given).copy()
        drawn = as_pandas(values, column.dtype)
        if drawn.dtype != column.dtype:
            are_numbers = values.dtype.is_numeric() and is_numeric_dtype(column.dtype)
            column = column.astype("float64" if are_numbers else object)
        column.iloc[rows] = drawn.array
        if drawn.dtype == dense(given).dtype:
            column = column.astype(given.dtype)
        frame = frame.copy()
        frame.isetitem(place, column)
        return frame

    @override
    def append(self, frame: Any, values: pl.Series, like: Any = None) -> Any:
        made, frame = self.make([values], like), frame.copy()
        frame[made.columns[0]] = made.iloc[:, 0].array
        return frame


@final
class Numpy(Library):
    """Arrays (rows, columns), of numbers or of objects."""

    name = "numpy"

    @override
    def make(self, columns: Sequence[pl.Series], like: Any = None, rows_of: Any = None) -> Any:
        are_numbers = all(c.dtype.is_numeric() or c.dtype == pl.Boolean for c in columns)
        if not are_numbers or (like is not None and like.dtype == object):
            out = np.empty((len(columns[0]), len(columns)), object)
            for place, values in enumerate(columns):
                out[:, place] = values.to_list()
            return out
        array = np.stack([_floats(values) for values in columns], axis=1)
        is_whole = not np.isnan(array).any() and (array == np.round(array)).all()
        if like is not None and (like.dtype.kind == "f" or is_whole):
            array = array.astype(like.dtype)
        return array

    @override
    def put(self, frame: Any, place: int, is_given: np.ndarray, values: pl.Series) -> Any:
        array = frame.copy()
        array[~is_given, place] = values.to_list() if array.dtype == object else _floats(values)
        return array


LIBRARIES: dict[str, Library] = {one.name: one for one in (Polars(), Pandas(), Arrow(), Numpy())}
"""By the names of their modules."""


def library_named(name: str) -> Library:
    """The library of this name.

    Raises:
        ValueError: If it is not known.
    """
    if name not in LIBRARIES:
        known = ", ".join(LIBRARIES)
        raise ValueError(
            f"frames: '{name}' is not one of {known}{did_you_mean(name, list(LIBRARIES))}"
        )
    return LIBRARIES[name]


def adopted(data: Any) -> tuple[Library, Any]:
    """The library of a frame or an array, and the frame; others and lazy ones become polars'.

    Raises:
        ValueError: If it is no table.
    """
    library = LIBRARIES.get(type(data).__module__.partition(".")[0], LIBRARIES["polars"])
    if isinstance(data, np.ndarray):
        library = LIBRARIES["numpy"]
    is_frame = library.name != "polars" or isinstance(data, pl.DataFrame)
    return library, data if is_frame else polars_frame(data)[0]


def like_columns(library: Library, frame: Any, names: Sequence[str]) -> Any:
    """The columns of these names of a frame without its rows: their types, and how it is called.

    Raises:
        ValueError: If there is no such column.
    """
    places = {name: place for place, name in enumerate(column_names(frame))}
    if lacking := [name for name in names if name not in places]:
        raise ValueError(
            f"the frame has no column '{lacking[0]}'; the table has {', '.join(names)}"
        )
    return library.take(library.pick(frame, [places[n] for n in names]), np.zeros(0, np.int64))


def filled(given: pl.Series, is_given: np.ndarray, values: pl.Series) -> pl.Series:
    """What `is_given` (N,), and values (M,) elsewhere, in the type of what was given if it can."""
    places = np.maximum(np.cumsum(~is_given) - 1, 0)
    drawn = as_type(values, given.dtype).gather(places)
    if drawn.dtype != given.dtype:
        are_numbers = drawn.dtype.is_numeric() and given.dtype.is_numeric()
        wanted: pl.DataType = pl.Float64() if are_numbers else pl.String()
        wanted = drawn.dtype if given.dtype == pl.Null else wanted
        given, drawn = given.cast(wanted), drawn.cast(wanted)
    return given.zip_with(pl.Series(is_given), drawn).alias(given.name)


def _floats(values: pl.Series) -> np.ndarray:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()
