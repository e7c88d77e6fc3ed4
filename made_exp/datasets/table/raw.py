"""A table as it was given: texts or typed values by column, and where each row stands."""

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.stored import UNITS_OF_SECOND
from made_exp.errors import did_you_mean

_PLAIN = (pl.String, pl.Boolean, pl.Date, pl.Time, pl.Datetime)
_MAX_SHOWN = 60  # letters of a cell in a message


@final
@dataclass(frozen=True)
class Origin:
    """Where the rows of a table stand, for messages.

    Attributes:
        sources: The files, or what else the rows came from, in the order of their rows.
        starts: Number of the first row of each source.
        find_line: (source, row in it) -> line of the file, from 1, of rows that were lines of
            text; rows of other sources are counted from 0.
        rows: (N,) which rows of the sources these are; None: all of them.
        renamed: What columns are called in the first source, where that is not their name.
    """

    sources: tuple[str, ...]
    starts: tuple[int, ...] = (0,)
    find_line: Callable[[int, int], int] | None = None
    rows: np.ndarray | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_typed(self) -> bool:
        """Whether columns had types there, and were no lines of text."""
        return self.find_line is None

    @property
    def source(self) -> str:
        """The first file, and how many more there are."""
        more = len(self.sources) - 1
        return f"{self.sources[0]} and {more} more" if more else self.sources[0]

    def place(self, row: int) -> str:
        """'FILE, line 7' or 'FILE, row 5' of a row of the table."""
        row = int(self.rows[row]) if self.rows is not None else int(row)
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        within = row - self.starts[number]
        if self.find_line is None:
            return f"{self.sources[number]}, row {within}"
        return f"{self.sources[number]}, line {self.find_line(number, within)}"

    def take(self, rows: np.ndarray) -> "Origin":
        """Where these rows of the table stand."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])


@final
@dataclass(frozen=True, eq=False)
class RawColumn:
    """One column as it was given.

    Attributes:
        name: The column's name, unique in its table.
        values: (N,) String of texts exactly as they were written, spaces included; or Int64,
            Float64, Boolean, Date, Time, Datetime or String of a typed source; whole numbers
            beyond Int64 as texts, durations in seconds; what is none of these, lists and the
            like, as it is. Null where there is nothing: an empty cell, a
            null or a NaN.
        origin: Where its rows stand.
        stored: The type it had where it came from, for writing it back; String for text.
    """

    name: str
    values: pl.Series
    origin: Origin
    stored: pl.DataType

    def part(self, start: int, end: int) -> Self:
        """The rows from one to another, without the last."""
        rows = np.arange(start, end)
        if len(rows) == len(self.values):
            return self
        return replace(self, values=self.values[start:end], origin=self.origin.take(rows))

    def place(self, row: int) -> str:
        """'FILE, line 7, column 'age'' of a row."""
        return f"{self.origin.place(row)}, column '{self.name}'"

    def error(self, row: int, message: str) -> ValueError:
        """What is wrong with the cell in this row."""
        return ValueError(f"{self.place(row)}: '{self.shown(row)}' {message}")

    def shown(self, row: int) -> str:
        """The cell in this row for a message: on one line, and its beginning only if it is long."""
        value: object = self.values[row]
        text = "" if value is None else str(value)
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: _MAX_SHOWN + 1])
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."

    def check_type(self) -> None:
        """Raise ValueError unless it holds values that can be modelled."""
        dtype = self.values.dtype
        if not (dtype.is_numeric() or dtype in _PLAIN):
            raise ValueError(
                f"{self.origin.source}: column '{self.name}' holds {dtype}; numbers, texts, "
                f"booleans, dates, times and durations can be modelled. "
                f"Leave it out: {leaving_out(self.name)}"
            )


class GivenTable(ABC):
    """A table as it was given, at least one column wide, in memory or not.

    Attributes:
        delimiter: What separated the fields of a line; None where no text was read.
        is_in_memory: Whether its columns are; others are read each time that they are asked for.
        left_out: Further columns of some of its files, which were not read.
    """

    is_in_memory: ClassVar[bool]
    delimiter: str | None
    left_out: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """Where its rows stand."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The header."""

    @abstractmethod
    def column(self, name: str) -> RawColumn:
        """The column of this name, which the table must have."""

    @abstractmethod
    def select(self, names: Sequence[str]) -> Self:
        """The columns of these names, in this order."""

    @abstractmethod
    def beginning(self, count: int) -> "RawTable":
        """At most the first `count` rows."""

    @abstractmethod
    def row_hashes(self, names: Sequence[str]) -> pl.Series:
        """A number (N,) UInt64 of the cells of each row in these columns, alike for alike rows."""

    def check_names(self, names: Iterable[str], setting: str) -> None:
        """Raise ValueError unless there is a column of each name that was given as `setting`."""
        known = (*self.names, *self.left_out)
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known) or f" (have: {listed(known)})"
                raise ValueError(f"{setting}: {self.origin.source} has no column '{name}'{hint}")


@final
@dataclass(frozen=True, eq=False)
class RawTable(GivenTable):
    """A table in memory.

    Attributes:
        columns: In the order in which they were given, of equal length and one origin.
    """

    is_in_memory: ClassVar[bool] = True
    columns: tuple[RawColumn, ...]
    delimiter: str | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def of_frame(cls, frame: pl.DataFrame, origin: Origin, delimiter: str | None = None) -> Self:
        """The columns of a frame, in the few types that `RawColumn` knows."""
        columns = tuple(
            RawColumn(values.name, _plain_type(values), origin, values.dtype)
            for values in frame.get_columns()
        )
        return cls(columns, delimiter)

    @override
    def __len__(self) -> int:
        return len(self.columns[0].values)

    @property
    @override
    def origin(self) -> Origin:
        return self.columns[0].origin

    @property
    @override
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @override
    def column(self, name: str) -> RawColumn:
        return self.columns[self.names.index(name)]

    @override
    def select(self, names: Sequence[str]) -> "RawTable":
        return replace(self, columns=tuple(self.column(name) for name in names))

    @override
    def beginning(self, count: int) -> "RawTable":
        first = (replace(column, values=column.values[:count]) for column in self.columns)
        return replace(self, columns=tuple(first))

    @override
    def row_hashes(self, names: Sequence[str]) -> pl.Series:
        return pl.DataFrame([self.column(name).values for name in names]).hash_rows()

    def take(self, rows: np.ndarray) -> "RawTable":
        """These rows of it, by number, in this order."""
        origin = self.origin.take(rows)
        return replace(
            self,
            columns=tuple(replace(c, values=c.values[rows], origin=origin) for c in self.columns),
        )


def quoted(name: str) -> str:
    """A name as it is typed in a list or a dictionary of a setting."""
    if name.replace("_", "").replace("-", "").isalnum():
        return name
    text = re.sub(r'(\\+)(?="|$)', r"\1\1", name).replace('"', '\\"')
    return f'"{text}"'


def leaving_out(name: str) -> str:
    """What to type to leave a column out."""
    return shlex.quote(f"dataset.drop=[{quoted(name)}]")


def listed(names: Sequence[str]) -> str:
    """The names, the first twenty of many; one with a comma, or with nothing to see, in quotes."""
    told = (f"'{name}'" if "," in name or not name.strip() else name for name in names[:20])
    return ", ".join(told) + (f", ... ({len(names)})" if len(names) > 20 else "")


def _in_seconds(counted: pl.Series, second: int) -> pl.Series:
    """Counts (N,) Int64 as the Float64 nearest to their seconds, as long as they are below 2^53.

    They are divided once, by NumPy: a sum of whole seconds and a fraction is rounded twice, and
    what polars divides by is not exact. Counts of nanoseconds that are all of milliseconds are
    small in these.
    """
    shared = int(np.gcd.reduce(counted.drop_nulls().to_numpy(), initial=second))
    seconds = (counted // shared).cast(pl.Float64).to_numpy() / (second // shared)
    return pl.Series(counted.name, seconds).fill_nan(None)


def _plain_type(values: pl.Series) -> pl.Series:
    dtype = values.dtype
    if dtype.is_integer():  # too large ones are read as in a text
        whole = values.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == values.null_count() else values.cast(pl.String)
    if isinstance(dtype, pl.Duration):
        return _in_seconds(values.cast(pl.Int64), UNITS_OF_SECOND[dtype.time_unit])
    if dtype.is_float() or dtype.is_decimal():
        return values.cast(pl.Float64).fill_nan(None)
    if dtype in (pl.Categorical, pl.Enum, pl.Null):
        return values.cast(pl.String)
    return values
