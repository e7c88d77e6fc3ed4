"""Dates and times as people write them: ISO, 31.12.2024, Jul 2018, with clock times and zones."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Self, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.centuries import FIRST_YEAR, first_year_of, with_centuries
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.instants import iso_moments
from made_exp.datasets.table.months import (
    LAST_DAY,
    MEAN_MONTH,
    MONTHS,
    as_first_days,
    begun,
    counted,
    has_days,
    month_day,
    month_pattern,
    unit_of,
)
from made_exp.datasets.table.padding import PADDED, padded_parts, without_zeros
from made_exp.datasets.table.patterns import (
    CLOCKS,
    TWINS,
    as_datetimes,
    coarser,
    has_clock,
    in_case,
    look_like_dates,
    pattern_of_digits,
    patterns_of,
    usual_case,
)

_UNITS = {"days": 86400, "minutes": 60, "seconds": 1}
_FRACTION, _ZONE = r"(:\d\d)\.(\d+)", r"(Z| ?[+-]\d{2}(?::?\d{2})?| UTC| GMT)$"
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
        unit: What is counted: quarters, months, days, minutes, seconds, or the last digit of the
            fraction.
        padded: Which parts below ten begin with a zero, as strftime names days, months and hours.
        ambiguous: Whether day and month could as well be the other way round.
        first_year: Of the hundred that years of two digits stand for.
        day: Of the month on which all dates are that count months; 31 for the last one.
        case: Whether names of months and the like are all in "upper" or "lower" case.
    """

    name: ClassVar[str] = "date"
    pattern: str
    fraction: int = 0
    zone: str = ""
    unit: str = "days"
    padded: str | bool = PADDED
    ambiguous: bool = False
    first_year: int = FIRST_YEAR
    day: int = 1
    case: str = ""

    @override
    def parse(self, texts: pl.Series) -> pl.Series:
        return self.count(self.moments(texts))

    def count(self, moments: pl.Series) -> pl.Series:
        """Units of microseconds (N,) Int64, null where they are finer than this column."""
        units = self.last_before(moments)
        return units.set(self.start_of(units) != moments, None)

    def last_before(self, moments: pl.Series) -> pl.Series:
        """The units (N,) Int64 in which microseconds (N,) Int64 lie."""
        is_calendar = self.unit in MONTHS
        return counted(moments, self.unit) if is_calendar else moments // self.microseconds

    def start_of(self, units: pl.Series) -> pl.Series:
        """Microseconds (N,) Int64 since 1970 of the dates that units (N,) Int64 stand for."""
        if self.unit in MONTHS:
            return begun(units, self.unit, self.day)
        return units * self.microseconds

    def place_of(self, moment: int) -> float:
        """Where one moment lies among the units; where it is finer, between two."""
        if self.unit not in MONTHS:
            return moment / self.microseconds
        unit = self.last_before(pl.Series([moment]))
        return float(unit[0]) + 0.5 * float(np.sign(moment - self.start_of(unit)[0]))

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last unit that can be written: of a day, or of a calendar's years."""
        if self.is_clock:
            return 0, 86400 * 10**6 // self.microseconds - 1
        first, last = (self.first_year, self.first_year + 99) if self._is_short else (1, 9999)
        ends = datetime(first, 1, 1), datetime(last, 12, 31, 23, 59, 59, 999999)
        units = self.last_before(pl.Series(ends, dtype=pl.Datetime("us")).cast(pl.Int64))
        return int(units[0]), int(units[1])

    def moments(self, texts: pl.Series) -> pl.Series:
        """Microseconds (N,) Int64 since 1970 of texts (N,), null where a text is not written so.

        A text without seconds or without a time is the moment at which its minute or day begins.
        """
        found = self._just_so(texts, self.pattern)
        for pattern in coarser(self.pattern):
            if found.null_count() > texts.null_count():
                found = found.zip_with(found.is_not_null(), self._just_so(texts, pattern))
        return found

    def is_coarser(self, texts: pl.Series) -> pl.Series:
        """Which texts (N,) have no seconds, or no time, where those of the column do."""
        is_finer = self._just_so(texts, self.pattern).is_not_null()
        return self.moments(texts.set(is_finer, None)).is_not_null()

    def _just_so(self, texts: pl.Series, pattern: str) -> pl.Series:
        """Microseconds (N,) of texts (N,) that have this very pattern."""
        zone = self.zone if has_clock(pattern) else ""
        if zone and zone != "%z":
            texts = texts.set(~texts.str.ends_with(zone).fill_null(False), None)
            texts = texts.str.strip_suffix(zone)
        parts = pl.Series([0] * len(texts), dtype=pl.Int64)
        if self.fraction:
            digits = texts.str.extract(_FRACTION, 2).fill_null("").str.pad_end(MAX_FRACTION, "0")
            parts = digits.str.slice(0, MAX_FRACTION).cast(pl.Int64)
            texts = texts.str.replace(_FRACTION, "$1")
        texts, pattern = as_first_days(texts, pattern)
        if self._is_short:
            texts, pattern = with_centuries(texts, self.first_year), pattern.replace("%y", "%Y")
        return as_datetimes(texts, pattern, is_zoned=zone == "%z") + parts

    def plain_moments(self, texts: pl.Series, clock: str | None) -> pl.Series:
        """Microseconds (N,) of texts (N,) as of `iso_moments`, also of a time of the day alone.

        In a calendar's units 2018-07 is the day of July on which the column's dates are.
        """
        if self.is_clock:
            return iso_moments("1970-01-01T" + texts, clock)
        if self.unit not in MONTHS:
            return iso_moments(texts, clock)
        are_months = texts.str.contains(r"^\d{4}-\d\d$").fill_null(False)
        moments = iso_moments(texts.zip_with(~are_months, texts + "-01"), clock)
        on_day = begun(counted(moments, "months"), "months", self.day)
        return moments.zip_with(~are_months, on_day)

    @property
    def _is_short(self) -> bool:
        """Whether years have two digits."""
        return "%y" in self.pattern

    @property
    def is_clock(self) -> bool:
        """Whether these are times of a day."""
        return self.pattern in CLOCKS

    @property
    def clock(self) -> str | None:
        """The zone that all texts are in, for `on_clock_of`; None where they have none."""
        return {"": None, "Z": "UTC", "%z": "UTC"}.get(self.zone, self.zone.strip())

    @property
    def microseconds(self) -> int:
        """How many are in one unit, on average of the calendar's."""
        if self.unit in MONTHS:
            return MONTHS[self.unit] * MEAN_MONTH * 10**6
        if self.unit in _UNITS:
            return _UNITS[self.unit] * 10**6
        return 10 ** (MAX_FRACTION - self.fraction)

    @override
    def write(self, values: np.ndarray) -> pl.Series:
        moments = self.start_of(pl.Series(np.asarray(np.round(values), np.int64)))
        if self.is_clock:
            moments = moments % (86400 * 10**6)
        pattern = without_zeros(self.pattern, self.padded)
        texts = in_case(moments.cast(pl.Datetime("us")).dt.strftime(pattern), self.case)
        if self.fraction:
            digits = (moments % 10**6).cast(pl.String).str.zfill(MAX_FRACTION)
            texts = texts + "." + digits.str.slice(0, self.fraction)
        return texts + ("+00:00" if self.zone == "%z" else self.zone)

    @override
    def describe(self) -> str:
        example = self.pattern + (".%f" if self.fraction else "") + self.zone
        if self.zone == "%z":
            example += ", several offsets: drawn as +00:00"
        if self._is_short:
            example += f", years {self.first_year}..{self.first_year + 99}"
        if self.unit in MONTHS and has_days(self.pattern):
            days = {1: "first days of months", LAST_DAY: "last days of months"}
            example += f", {days.get(self.day, f'days {self.day} of months')}"
        return example + (", day and month may be swapped" if self.ambiguous else "")

    @override
    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    @classmethod
    def of_texts(cls, texts: pl.Series, *, wanted: bool = False) -> Self | None:
        """The format of texts (K,) without spaces around, of which nine in ten are such dates.

        Where dates are wanted, 20241231 is one.
        """
        if wanted and (pattern := pattern_of_digits(texts)):
            return cls(pattern)._with_digits(texts)
        return cls._of_days(texts) or cls._of_months(texts)

    @classmethod
    def _of_months(cls, texts: pl.Series) -> Self | None:
        pattern = month_pattern(texts)
        return None if pattern is None else cls(pattern)._with_digits(texts)

    @classmethod
    def _of_days(cls, texts: pl.Series) -> Self | None:
        """The format of dates with a day, or of times."""
        some = texts.gather_every(max(len(texts) // _LOOKED_AT, 1))
        if not look_like_dates(some):
            return None
        zones = some.filter(some.str.contains(":")).str.extract(_ZONE)
        zone = "" if zones.null_count() or not len(zones) else str(zones[0])
        if zone and zones.n_unique() > 1:
            zone = "%z"
        unread = {one: one._unread(some) for one in (cls(p, zone=zone) for p in patterns_of(some))}
        found = [one for one, (count, _) in unread.items() if count < 0.1 * len(some)]
        if len(found) > 1:
            unread = {one: one._unread(texts) for one in found}
        found = [one for one in found if unread[one] == min(unread.values())]
        if not found:
            return None
        twin = len(found) > 1 and any(
            found[0].pattern.replace(a, b) == found[1].pattern for a, b in TWINS.items()
        )
        # 1/1/2018, 2/1/2018, 3/1/2018: first days of months, more likely than days of Januaries.
        likely = (one for one in found[:2] if month_day(one.moments(texts)) == 1)
        best = next(likely, found[0]) if twin else found[0]
        return replace(best, ambiguous=twin)._with_digits(texts)

    def _unread(self, texts: pl.Series) -> tuple[int, int]:
        """How many texts are not such dates, and how many have not just this pattern."""
        form = replace(self, fraction=MAX_FRACTION)
        others = form._just_so(texts, self.pattern).null_count()
        is_settled = others in (0, len(texts))
        return (others if is_settled else form.moments(texts).null_count()), others

    def _with_digits(self, texts: pl.Series) -> Self:
        """The format, with the unit and the digits that these texts have."""
        digits = int(texts.str.extract(_FRACTION, 2).str.len_chars().max() or 0)  # type: ignore[arg-type]
        fraction = min(digits, MAX_FRACTION) if has_clock(self.pattern) else 0
        found = replace(self, fraction=fraction)
        if self._is_short:
            is_read = self.moments(texts).is_not_null()
            years = as_first_days(texts.filter(is_read), self.pattern)[0]
            found = replace(found, first_year=first_year_of(years))
        if not has_days(self.pattern):
            unit, day = unit_of(self.pattern), 1
        else:
            unit, day = ("fraction", 1) if fraction else finest_unit(found.moments(texts))
        case = usual_case(texts.str.strip_suffix(self.zone), self.pattern)
        texts = texts.str.replace(_FRACTION, "$1")
        padded = padded_parts(texts, self.pattern)
        return replace(found, unit=unit, padded=padded, day=day, case=case)


def finest_unit(moments: pl.Series) -> tuple[str, int]:
    """The largest of months, days, minutes and seconds of which all microseconds are multiples.

    Months only where all moments (N,) Int64 are on one day of them, which follows, see `month_day`.
    """
    moments = moments.drop_nulls()
    for unit, seconds in _UNITS.items():
        if bool((moments % (seconds * 10**6) == 0).all()):
            day = month_day(moments) if unit == "days" else None
            return ("months", day) if day else (unit, 1)
    return "fraction", 1
