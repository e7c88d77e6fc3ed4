"""Months and quarters: how people write them, and moments counted in them."""

import calendar
import re

import numpy as np
import polars as pl

from made_exp.datasets.table.patterns import has_clock

MONTHS = {"quarters": 3, "months": 1}
"""How many months are in a unit of the calendar, whose units are not equally long."""
MEAN_MONTH = 2_629_746
"""Seconds, in the 400 years after which the calendar begins anew."""
LAST_DAY = 31
"""What stands for the last day of a month, whatever its number."""
# Of so many different months a common day is no chance; all months have so many days.
_MIN_MONTHS, _EVERY = 3, 28
_DAY = 86400 * 10**6
# Below the day there is nothing; the first that most texts obey.
_PATTERNS = (
    "%Y-%m", "%Y/%m", "%Y.%m", "%YM%m", "%m/%Y", "%m-%Y", "%m.%Y",
    "%b %Y", "%B %Y", "%b-%Y", "%B-%Y", "%b-%y", "%b'%y", "%b/%Y", "%Y %b", "%Y-%b", "%b%Y",
    "%YQ%q", "%Y-Q%q", "%Y Q%q", "%Y/Q%q", "Q%q %Y", "Q%q-%Y", "Q%q/%Y",
)  # fmt: skip
_PARTS = {
    "%Y": r"(?:1[89]|2[01])\d\d",
    "%y": r"\d\d",
    "%m": "(?:0?[1-9]|1[0-2])",
    "%b": f"(?:{'|'.join(calendar.month_abbr[1:])})",
    "%B": f"(?:{'|'.join(calendar.month_name[1:])})",
    "%q": "[1-4]",
}
# 2018-19 and 2011/12 may be two years.
_TWO_YEARS = r"^\d\d(\d\d)[-/](\d\d)$"
_LOOKED_AT = 200


def has_days(pattern: str) -> bool:
    """Whether a pattern of dates or times is of more than months or quarters."""
    return "%d" in pattern or has_clock(pattern)


def unit_of(pattern: str) -> str:
    """What a pattern without days counts."""
    return "quarters" if "%q" in pattern else "months"


def month_pattern(texts: pl.Series) -> str | None:
    """How texts (K,) write months or quarters, where nine in ten are such; None where they do not.

    Others may be words alone: with 2018-13 or 2018-07-03 among them, 2018-07 is no month. Nor is
    2011-12 where every text is of two years that follow each other.
    """
    some = texts.gather_every(max(len(texts) // _LOOKED_AT, 1))
    likely = [pattern for pattern in _PATTERNS if _matches(some, pattern).mean()]
    read = {pattern: _matches(texts, pattern) for pattern in likely}
    if not read:
        return None
    best = max(read, key=lambda pattern: int(read[pattern].sum()))
    others = texts.filter(~read[best])
    if len(others) > 0.1 * len(texts) or others.str.contains(r"\d").any():
        return None
    return None if _follow_each_other(texts.filter(read[best])) else best


def as_first_days(texts: pl.Series, pattern: str) -> tuple[pl.Series, str]:
    """The first days of months or quarters (N,), null where a text has none, and their pattern.

    Texts of a pattern that has days are as they are.
    """
    if has_days(pattern):
        return texts, pattern
    days = "1-" + texts.set(~_matches(texts, pattern), None).str.to_uppercase()
    if "%q" in pattern:
        for quarter in range(1, 5):
            days = days.str.replace(f"Q{quarter}", f"Q{3 * quarter - 2:02d}", literal=True)
    return days, "%d-" + pattern.replace("%q", "%m")


def counted(moments: pl.Series, unit: str) -> pl.Series:
    """Which month or quarter since January 1970 microseconds (N,) Int64 lie in."""
    return _converted(moments, "us", f"{MONTHS[unit]}M")


def begun(counts: pl.Series, unit: str, day: int = 1) -> pl.Series:
    """Microseconds (N,) Int64 since 1970 at which a day of months or quarters (N,) begins."""
    if day == LAST_DAY:
        return begun(counts + 1, unit) - _DAY
    return _converted(counts, f"{MONTHS[unit]}M", "us") + (day - 1) * _DAY


def month_day(moments: pl.Series) -> int | None:
    """The day of the month, LAST_DAY for the last, at which all moments (N,) Int64 are, if any.

    Moments of fewer different months may be so by chance.
    """
    moments = moments.drop_nulls()
    months = counted(moments, "months")
    if months.n_unique() < _MIN_MONTHS:
        return None
    if bool((begun(months, "months", LAST_DAY) == moments).all()):
        return LAST_DAY
    since = (moments - begun(months, "months")).unique()
    if len(since) > 1 or since[0] % _DAY or since[0] >= _EVERY * _DAY:
        return None
    return int(since[0]) // _DAY + 1


def _converted(counts: pl.Series, unit: str, wanted: str) -> pl.Series:
    times = counts.fill_null(0).to_numpy().astype(f"datetime64[{unit}]")
    converted = times.astype(f"datetime64[{wanted}]").astype(np.int64)
    return pl.Series(counts.name, converted).set(counts.is_null(), None)


def _matches(texts: pl.Series, pattern: str) -> pl.Series:
    shape = re.sub("%.", lambda part: _PARTS[part[0]], pattern.replace(".", r"\."))
    return texts.str.contains(f"(?i)^{shape}$").fill_null(False)


def _follow_each_other(texts: pl.Series) -> bool:
    years = texts.str.extract_groups(_TWO_YEARS).struct.unnest().cast(pl.Int64)
    first, second = years.get_columns()
    return bool(((first + 1) % 100 == second).fill_null(False).all())
