"""From data frames in memory, of any library, to what was given in them."""

import os
from contextlib import nullcontext
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from made_exp.datasets.table.pandas_types import dense_frame
from made_exp.datasets.table.panics import panics_unsaid
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.stored import is_text
from made_exp.datasets.table.text import renames, unique_names
from made_exp.errors import one_line

ARRAY = "the array"
"""What tables that were arrays are called."""
_NESTED = (list, tuple, set, dict, np.ndarray)
_USED_IN: list[int] = []
"""The process that has used polars, by its number, if any has."""


def raw_table(data: Any) -> RawTable:
    """The columns of data as they were given; arguments and errors of `polars_frame`."""
    frame, source = polars_frame(data)
    return RawTable.of_frame(frame, Origin((source,)))


def polars_frame(data: Any) -> tuple[pl.DataFrame, str]:
    """A frame of pandas, polars, pyarrow or their like, or an array (N, D), and what to call it.

    Indices of rows are left behind. Columns of an array are called x0, x1, ...; columns of pandas
    that hold several types are read as texts.

    Raises:
        ValueError: If it is no table, has no rows, or a column cannot be read.
    """
    check_process()
    source = _source(data)
    if isinstance(data, np.ndarray):
        source = ARRAY
        if data.ndim != 2:
            raise ValueError(f"an array must have shape (rows, columns), got {data.shape}")
        data = _of_array(data)
    try:
        frame = nw.from_native(_with_unique_names(data))
    except TypeError:
        raise ValueError(
            "a data frame of pandas, polars or pyarrow, or an array (rows, columns) is needed, "
            f"got {type(data).__name__}"
        ) from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect("polars")
    if not frame.shape[1] or not len(frame):
        raise ValueError(f"{source} has no {'rows' if frame.shape[1] else 'columns'}")
    frame = frame.rename(renames(frame.columns, source))
    columns = [_series(column, source).alias(str(column.name)) for column in frame.iter_columns()]
    return pl.DataFrame(columns), source


def check_process() -> None:
    """Note that this process uses polars; in a forked one its threads are gone and it would hang.

    Raises:
        RuntimeError: If the process was forked from one that used it.
    """
    if _USED_IN and _USED_IN[0] != os.getpid():
        raise RuntimeError(
            "frames cannot be used in a process forked from one that has used them (polars): "
            "start processes with spawn or forkserver, or hand over tensors and ask for codes"
        )
    _USED_IN[:] = [os.getpid()]


def column_names(data: Any) -> list[str]:
    """The columns of a frame or an array, by unique texts.

    Raises:
        ValueError: If names have several levels.
    """
    if isinstance(data, np.ndarray):
        return [f"x{place}" for place in range(data.shape[1])]
    names = data.column_names if hasattr(data, "column_names") else data.columns
    if getattr(names, "nlevels", 1) > 1:
        raise ValueError(
            f"the frame's columns have names of {names.nlevels} levels (MultiIndex), such as "
            f"{names[0]}; join them: frame.columns = ['.'.join(map(str, c)) for c in frame.columns]"
        )
    return unique_names([str(name) for name in names], _source(data))


def _source(data: Any) -> str:
    return f"the frame of {type(data).__module__.partition('.')[0]}"


def _with_unique_names(data: Any) -> Any:
    """The same with names of columns that are unique texts, where they are not, and dense."""
    if hasattr(data, "set_axis") and hasattr(data, "columns"):  # pandas
        names, data = column_names(data), dense_frame(data)
        return data if names == list(data.columns) else data.set_axis(names, axis=1)
    if hasattr(data, "rename_columns"):  # pyarrow
        return data.rename_columns(column_names(data))
    return data


def _series(column: nw.Series, source: str) -> pl.Series:
    try:
        # Polars panics at decimals of more than 38 digits.
        with panics_unsaid() if column.dtype == nw.Unknown else nullcontext():
            series = column.to_polars()
        if isinstance(column.dtype, nw.Categorical | nw.Enum) and not is_text(series.dtype):
            return _of_categories(column)
        if not isinstance(series.dtype, pl.BaseExtension):
            return series
        absent = column.is_null().to_list()  # intervals and periods of pandas
        texts = [None if a else str(v) for v, a in zip(column.to_list(), absent, strict=True)]
        return pl.Series(series.name, texts, dtype=pl.String)
    except (
        Exception,
        pl.exceptions.PanicException,
    ):  # without pyarrow, or several types in one column
        return _of_column(column, source)


def _of_categories(column: nw.Series) -> pl.Series:
    """Categories of pandas that are no texts, such as numbers and dates, by what each is called."""
    absent = column.is_null().to_list()
    texts = [None if a else str(v) for v, a in zip(column.to_list(), absent, strict=True)]
    return pl.Series(column.name, texts, dtype=pl.Categorical)


def _of_array(array: np.ndarray) -> pl.DataFrame:
    columns = dict(zip(column_names(array), array.T, strict=True))
    if array.dtype != np.object_:
        return pl.DataFrame(columns)
    known = {
        name: [None if _is_absent(value) else value for value in column]
        for name, column in columns.items()
    }
    return pl.DataFrame([_of_values(name, values, ARRAY) for name, values in known.items()])


def _is_absent(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA, which compares with nothing."""
    if value is None:
        return True
    unequal = value != value
    return unequal is value or (isinstance(unequal, bool | np.bool_) and bool(unequal))


def _of_column(column: nw.Series, source: str) -> pl.Series:
    absent = column.is_null().to_list()
    values = [None if a else v for v, a in zip(column.to_list(), absent, strict=True)]
    return _of_values(column.name, values, source)


def _of_values(name: str, values: list[Any], source: str) -> pl.Series:
    """The values one by one; as texts where they are of several types."""
    types = {type(value) for value in values if value is not None}
    if nested := [kind for kind in types if issubclass(kind, _NESTED)]:
        raise ValueError(
            f"{source}: a cell of column '{name}' holds a {nested[0].__name__}; cells must be "
            "numbers, texts, truth values, dates or times"
        )
    if len(types) > 1:
        return pl.Series(name, [None if value is None else str(value) for value in values])
    try:
        return pl.Series(name, values)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{source}: column '{name}' cannot be read: {one_line(error)}") from None
