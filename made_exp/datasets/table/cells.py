"""The cells of a column with each different one looked at once, whatever the number of rows."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self, final

import numpy as np
import polars as pl

from made_exp.datasets.table.formats import LEADING_ZERO
from made_exp.datasets.table.instants import iso_moments, on_clock_of
from made_exp.datasets.table.raw import RawColumn

MISSING = (
    "NA", "na", "Na", "N/A", "n/a", "NaN", "nan", "NAN", "Nan", "NULL", "null", "Null", "?",
    "None", "none", "<NA>", "NaT", "N.A.", "n.a.", "#N/A", "#DIV/0!", "#VALUE!", "#REF!",
    "-", "--", "\u2013", "\u2014", ".", "..",
)  # fmt: skip
"""What stands for no value in a column of numbers or dates, unless the user says otherwise."""
_WHOLE = r"^([+-]?(?:0|[1-9]\d*))\.0*$"
# Where fewer rows than this hold a text on average, to find the different ones costs more than
# to look at all.
_REPEATS = 4


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """The texts of a column, and which of them stands in each row.

    Attributes:
        raw: The column as it was given.
        written: (K,) texts as they were written; null where a cell is empty.
        codes: (N,) which of them stands in each row, null where none; None: the n-th in row n,
            and then a text may stand here more than once.
    """

    raw: RawColumn
    written: pl.Series
    codes: pl.Series | None = None

    @classmethod
    def of(cls, raw: RawColumn) -> Self:
        """The cells of a column; those of a typed one as a CSV file would have them.

        Raises:
            ValueError: If it holds lists and the like.
        """
        raw.check_type()
        values = raw.values
        if len(values) and num_different(values) < len(values) / _REPEATS:
            return cls(raw, *_coded(values)).with_texts()
        return cls(raw, values).with_texts()

    def with_texts(self) -> Self:
        """The cells of a typed column, its different values made texts."""
        written = self.written
        if written.dtype == pl.String:
            return self
        if self.raw.stored == pl.Float32:
            written = written.cast(pl.Float32)
        return type(self)(self.raw, written.cast(pl.String), self.codes)

    @property
    def are_stored_texts(self) -> bool:
        """Whether texts were stored, rather than written between delimiters."""
        return self.raw.origin.is_typed and self.raw.values.dtype == pl.String

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.raw.values)

    @cached_property
    def texts(self) -> pl.Series:
        """(K,) texts without spaces around them; of a file of text null where nothing is left."""
        texts = self.written.str.strip_chars()
        return texts if self.raw.origin.is_typed else texts.set(texts == "", None)

    @property
    def blank(self) -> tuple[str, ...]:
        """The empty text where it may be a value; none where it is null."""
        return ("",) if self.raw.origin.is_typed else ()

    def known(self, missing: Iterable[str]) -> pl.Series:
        """(K,) texts without spaces around them; null where none or one of `missing`."""
        return self.texts.set(self._stand_for(missing), None)

    def markers_found(self, missing: Iterable[str]) -> set[str]:
        """Which of the texts that stand for no value are here."""
        return {text for text in missing if self._stand_for([text]).any()}

    def rows_of(self, tokens: Iterable[str]) -> pl.Series:
        """(N,) in which rows one of these texts stands."""
        return self.spread(self._stand_for(tokens)).fill_null(False)

    def _stand_for(self, missing: Iterable[str]) -> pl.Series:
        """(K,) which texts are one of `missing`: numbers by what they are worth, codes are none."""
        found = self.texts.is_in(list(missing))
        worth = [number for token in missing if (number := number_of(token)) is not None]
        if worth:
            plain = self.texts.set(self.texts.str.contains(LEADING_ZERO).fill_null(True), None)
            found |= plain.cast(pl.Float64, strict=False).is_in(worth).fill_null(False)
        return found.fill_null(False)

    def spread(self, values: pl.Series) -> pl.Series:
        """(N,) what (K,) values are in each row."""
        return values if self.codes is None else values.gather(self.codes)

    def first_row(self, chosen: pl.Series) -> int:
        """The first row whose text is among the chosen (K,) booleans, of which one is true."""
        return int(self.spread(chosen).fill_null(False).arg_max() or 0)

    def count_rows(self, chosen: pl.Series) -> int:
        """How many rows have a text among the chosen (K,) booleans."""
        return int(self.spread(chosen).fill_null(False).sum())

    def counted(self, rows: np.ndarray | None = None) -> np.ndarray:
        """(K,) how many of the rows, by default of all, have each text."""
        if self.codes is None:
            present = np.zeros(len(self), np.int64)
            present[slice(None) if rows is None else rows] = 1
            return present
        codes = self.codes if rows is None else self.codes.gather(rows)
        known = codes.drop_nulls().to_numpy()
        return np.bincount(known, minlength=len(self.written)).astype(np.int64)


def _coded(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The different values (K,) but null, and their numbers (N,)."""
    if values.dtype == pl.String:  # hashed once
        category = values.cast(pl.Categorical(pl.Categories.random()))
        different = category.unique(maintain_order=True).drop_nulls()
        texts, places = different.cast(pl.String), different.to_physical().to_numpy()
        if not np.array_equal(places, np.arange(len(places))):
            order = np.argsort(places)
            assert np.array_equal(places[order], np.arange(len(places)))
            texts = texts.gather(order)
        return texts, category.to_physical()
    different = values.drop_nulls().unique(maintain_order=True)
    numbers = pl.Series(np.arange(len(different), dtype=np.uint32))
    codes = values.replace_strict(different, numbers, default=None, return_dtype=pl.UInt32)
    return different, codes


def num_different(values: pl.Series) -> int:
    """About how many different values there are, within a few percent and at little cost."""
    return int(values.approx_n_unique())  # type: ignore[arg-type]


def number_of(text: str) -> float | None:
    """The finite number that a text is, or None: codes such as 007 are none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and not re.search(LEADING_ZERO, text.strip()) else None


def has_point(texts: pl.Series) -> pl.Series:
    """Which texts (K,) are whole numbers with a point; null where null."""
    return texts.str.contains(_WHOLE)


def as_labels(texts: pl.Series) -> pl.Series:
    """Texts with 3.0 and 3 alike: many programs write whole numbers with a point."""
    return texts.str.replace(_WHOLE, "$1")


def moments_of(raw: RawColumn, clock: str | None = None, missing: Iterable[str] = ()) -> pl.Series:
    """Microseconds (N,) Int64 of a Date, Datetime or Time column since 1970 or midnight.

    Those of a zone are on its own clock, or on this one, see `on_clock_of`; null where they are
    one of `missing`, plain moments as texts.
    """
    moments = _moments(raw.values, clock)
    if tokens := [
        one for text in missing if (one := moment_of(text, raw.values.dtype)) is not None
    ]:
        moments = moments.set(moments.is_in(tokens).fill_null(False), None)
    return moments


def moment_of(text: str, dtype: pl.DataType) -> int | None:
    """What a plain moment as text is in a column of dates or times; None for what is none."""
    date = "1970-01-01T" if dtype == pl.Time else ""
    found = iso_moments(pl.Series([date + text]), None)[0]
    return None if found is None else int(found)


def _moments(values: pl.Series, clock: str | None) -> pl.Series:
    if values.dtype == pl.Time:
        return values.cast(pl.Int64) // 1000
    if isinstance(values.dtype, pl.Datetime):
        is_elsewhere = clock is not None and values.dtype.time_zone not in (None, clock)
        if clock is not None and is_elsewhere:
            utc = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            return on_clock_of(utc.cast(pl.Datetime("us")).cast(pl.Int64), clock)
        values = values.dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us")).cast(pl.Int64)


def is_temporal(dtype: pl.DataType) -> bool:
    """Whether values of this type are dates or times."""
    return dtype in (pl.Date, pl.Time) or isinstance(dtype, pl.Datetime)
