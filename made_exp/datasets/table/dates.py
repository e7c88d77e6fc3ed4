"""Dates and times as people write them: ISO, 31.12.2024, 12/31/2024, with clock times and zones."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.centuries import FIRST_YEAR, first_year_of, with_centuries
from made_exp.datasets.table.formats import Format

# The first that all cells obey; %d/%m and %m/%d are both tried, and told apart by a day above 12.
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d-%b-%y",
    "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_TWINS = {"%d/%m": "%m/%d", "%d-%m": "%m-%d"}
_UNITS = {"days": 86400, "minutes": 60, "seconds": 1}
# A date begins or ends with its digits and has something between them.
_SHAPE = r"^(?:\d{1,4}[-/. ][A-Za-z\d]{1,9}[-/. ]\d{1,4}|[A-Za-z]{3,9} \d{1,2},? \d{4})"
_FRACTION, _ZONE = r"(:\d\d)\.(\d+)", r"(Z|[+-]\d{2}:?\d{2}| UTC| GMT)$"
_LOOKED_AT = 200
# Polars counts in microseconds; a ninth digit of a second would be lost.
MAX_FRACTION = 6


@final
@dataclass(frozen=True)
class DateFormat(Format):
    """How the dates or times of a column are written; its numbers count units from 1970 on.

    Attributes:
        pattern: As strftime writes it, up to whole seconds.
        fraction: Digits of fractions of a second.
        zone: What ends every text, such as Z; "%z" where offsets differ: then written as +00:00.
        unit: What is counted: days, minutes, seconds, or the last digit of the fraction.
        padded: Whether days, months and hours below ten begin with a zero.
        ambiguous: Whether day and month could as well be the other way round.
        first_year: Of the hundred that years of two digits stand for.
    """

    name: ClassVar[str] = "date"
    pattern: str
    fraction: int = 0
    zone: str = ""
    unit: str = "days"
    padded: bool = True
    ambiguous: bool = False
    first_year: int = FIRST_YEAR

    @override
    def parse(self, texts: pl.Series) -> pl.Series:
        return self.count(self.moments(texts))

    def count(self, moments: pl.Series) -> pl.Series:
        """Units of microseconds (N,) Int64, null where they are finer than this column."""
        counted = moments // self.microseconds
        return counted.set(counted * self.microseconds != moments, None)

    def moments(self, texts: pl.Series) -> pl.Series:
        """Microseconds (N,) Int64 since 1970 of texts (N,), null where a text is not written so."""
        if self.zone and self.zone != "%z":
            texts = texts.set(~texts.str.ends_with(self.zone).fill_null(False), None)
            texts = texts.str.strip_suffix(self.zone)
        parts = pl.Series([0] * len(texts), dtype=pl.Int64)
        if self.fraction:
            digits = texts.str.extract(_FRACTION, 2).fill_null("").str.pad_end(MAX_FRACTION, "0")
            parts = digits.str.slice(0, MAX_FRACTION).cast(pl.Int64)
            texts = texts.str.replace(_FRACTION, "$1")
        pattern = self.pattern
        if self._is_short:
            texts, pattern = with_centuries(texts, self.first_year), pattern.replace("%y", "%Y")
        return _strptime(texts, pattern, is_zoned=self.zone == "%z") + parts

    @property
    def _is_short(self) -> bool:
        """Whether years have two digits."""
        return "%y" in self.pattern

    @property
    def is_clock(self) -> bool:
        """Whether these are times of a day."""
        return self.pattern in _CLOCKS

    @property
    def clock(self) -> str | None:
        """The zone that all texts are in, for `on_clock_of`; None where they have none."""
        return {"": None, "Z": "UTC", "%z": "UTC"}.get(self.zone, self.zone.strip())

    @property
    def microseconds(self) -> int:
        """How many are in one unit."""
        if self.unit in _UNITS:
            return _UNITS[self.unit] * 10**6
        return 10 ** (MAX_FRACTION - self.fraction)

    @override
    def write(self, values: np.ndarray) -> pl.Series:
        moments = pl.Series(np.asarray(np.round(values), np.int64)) * self.microseconds
        if self.is_clock:
            moments = moments % (86400 * 10**6)
        pattern = self.pattern
        if not self.padded:
            pattern = re.sub("%([dmHI])", r"%-\1", pattern)
        texts = moments.cast(pl.Datetime("us")).dt.strftime(pattern)
        if self.fraction:
            digits = (moments % 10**6).cast(pl.String).str.zfill(MAX_FRACTION)
            texts = texts + "." + digits.str.slice(0, self.fraction)
        return texts + ("+00:00" if self.zone == "%z" else self.zone)

    @override
    def describe(self) -> str:
        example = self.pattern + (".%f" if self.fraction else "") + self.zone
        if self._is_short:
            example += f", years {self.first_year}..{self.first_year + 99}"
        return example + (", day and month may be swapped" if self.ambiguous else "")

    @override
    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    @classmethod
    def of_texts(cls, texts: pl.Series, *, wanted: bool = False) -> Self | None:
        """The format of texts (K,) without spaces around, of which nine in ten are such dates.

        Where dates are wanted, 20241231 is one.
        """
        if wanted and bool(texts.str.contains(r"^(?:19|20)\d{6}$").all()):
            return cls("%Y%m%d")
        some = texts.gather_every(max(len(texts) // _LOOKED_AT, 1))
        if float(some.str.contains(rf"{_SHAPE}|^\d{{1,2}}:\d{{2}}").mean() or 0) < 0.9:  # type: ignore[arg-type]
            return None
        zones = some.str.extract(_ZONE) if some.str.contains(":").any() else some.clear()
        zone = "" if zones.null_count() or not len(zones) else str(zones[0])
        if zone and zones.n_unique() > 1:
            zone = "%z"
        unread = {one: one._unread(some) for one in (cls(p, zone=zone) for p in _patterns(some))}
        found = [one for one, count in unread.items() if count < 0.1 * len(some)]
        if len(found) > 1:
            unread = {one: one._unread(texts) for one in found}
        found = [one for one in found if unread[one] == min(unread.values())]
        if not found:
            return None
        twin = len(found) > 1 and any(
            found[0].pattern.replace(a, b) == found[1].pattern for a, b in _TWINS.items()
        )
        return replace(found[0], ambiguous=twin)._with_digits(texts)

    def _unread(self, texts: pl.Series) -> int:
        """How many texts are not written so."""
        return replace(self, fraction=MAX_FRACTION).moments(texts).null_count()

    def _with_digits(self, texts: pl.Series) -> Self:
        """The format, with the unit and the digits that these texts have."""
        digits = int(texts.str.extract(_FRACTION, 2).str.len_chars().max() or 0)  # type: ignore[arg-type]
        has_clock = ":" in self.pattern
        fraction = min(digits, MAX_FRACTION) if has_clock else 0
        found = replace(self, fraction=fraction)
        if self._is_short:
            is_read = self.moments(texts).is_not_null()
            found = replace(found, first_year=first_year_of(texts.filter(is_read)))
        moments = found.moments(texts).drop_nulls()
        unit = finest_unit(moments) if not fraction else "fraction"
        texts = texts.str.replace(_FRACTION, "$1")
        short = bool(texts.str.contains(r"(?:^|[-/. ])\d(?:[-/. :,]|$)").any())
        return replace(found, unit=unit, padded=not short)


def finest_unit(moments: pl.Series) -> str:
    """The largest of days, minutes and seconds of which all microseconds are multiples."""
    for unit, seconds in _UNITS.items():
        if bool((moments % (seconds * 10**6) == 0).all()):
            return unit
    return "fraction"


def _patterns(texts: pl.Series) -> list[str]:
    """Formats that texts may have, by their look: with a clock time after them or without."""
    clock = texts.str.contains(r"\d:\d\d")
    if not clock.any():
        return list(_DATES)
    if texts.str.contains(r"^\d{1,2}:\d\d").all():
        return list(_CLOCKS)
    between = "T" if texts.str.contains(r"\dT\d").any() else " "
    return [date + between + clock for date in _DATES for clock in _CLOCKS]


def _strptime(texts: pl.Series, pattern: str, *, is_zoned: bool) -> pl.Series:
    """Microseconds since 1970 of texts, null where they do not have the pattern."""
    if is_zoned:
        pattern += "%z"
    if "%Y" in pattern:  # which polars reads from 24 too
        texts = texts.set(~texts.str.contains(r"\d{4}").fill_null(False), None)
    if pattern in _CLOCKS:
        texts, pattern = "1970-01-01 " + texts, "%Y-%m-%d " + pattern
    if ":" not in pattern:
        return texts.str.to_date(pattern, strict=False).cast(pl.Datetime("us")).cast(pl.Int64)
    return texts.str.to_datetime(pattern, strict=False, time_unit="us").cast(pl.Int64)
