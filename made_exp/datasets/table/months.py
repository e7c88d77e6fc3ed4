"""Months and quarters: how people write them, and moments counted in them."""

import calendar
import re

import numpy as np
import polars as pl

MONTHS = {"quarters": 3, "months": 1}
"""How many months are in a unit of the calendar, whose units are not equally long."""
MEAN_MONTH = 2_629_746
"""Seconds, in the 400 years after which the calendar begins anew."""
# Below the day there is nothing; the first that most texts obey.
_PATTERNS = (
    "%Y-%m", "%Y/%m", "%Y.%m", "%YM%m", "%m/%Y", "%m-%Y", "%m.%Y",
    "%b %Y", "%B %Y", "%b-%Y", "%B-%Y", "%b-%y",
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
    return "%d" in pattern or ":" in pattern


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
    """The first days of months or quarters (N,), null where a text has none, and their pattern."""
    days = "1-" + texts.set(~_matches(texts, pattern), None)
    if "%q" in pattern:
        for quarter in range(1, 5):
            days = days.str.replace(f"Q{quarter}", f"Q{3 * quarter - 2:02d}", literal=True)
    return days, "%d-" + pattern.replace("%q", "%m")


def counted(moments: pl.Series, unit: str) -> pl.Series:
    """Which month or quarter since January 1970 microseconds (N,) Int64 lie in."""
    return _converted(moments, "us", f"{MONTHS[unit]}M")


def begun(counts: pl.Series, unit: str) -> pl.Series:
    """Microseconds (N,) Int64 since 1970 at which months or quarters (N,) begin."""
    return _converted(counts, f"{MONTHS[unit]}M", "us")


def _converted(counts: pl.Series, unit: str, wanted: str) -> pl.Series:
    times = counts.fill_null(0).to_numpy().astype(f"datetime64[{unit}]")
    converted = times.astype(f"datetime64[{wanted}]").astype(np.int64)
    return pl.Series(counts.name, converted).set(counts.is_null(), None)


def _matches(texts: pl.Series, pattern: str) -> pl.Series:
    shape = re.sub("%.", lambda part: _PARTS[part[0]], pattern.replace(".", r"\."))
    return texts.str.contains(f"^{shape}$").fill_null(False)


def _follow_each_other(texts: pl.Series) -> bool:
    years = texts.str.extract_groups(_TWO_YEARS).struct.unnest().cast(pl.Int64)
    first, second = years.get_columns()
    return bool(((first + 1) % 100 == second).fill_null(False).all())
