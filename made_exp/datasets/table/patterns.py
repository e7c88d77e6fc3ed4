"""The ways in which people write dates and times, as strftime names them."""

import re

import polars as pl

# The first that all cells obey: a space needs none in the text. Of %d/%m and %m/%d both are tried,
# and told apart by a day above 12.
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d%b%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y",
    "%d-%b-%y", "%d %B %Y", "%B %d, %Y", "%d/%b/%Y", "%Y-%b-%d", "%d-%m-%y", "%m-%d-%y",
)  # fmt: skip
# After a weekday.
_NAMED = ("%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y")
_WEEKDAY = r"(?i)^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)([a-z]{3,6})?(,? )"
CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S%p", "%I:%M%p", "%I:%M:%S %p", "%I:%M %p")
# The time stands before the year in what C's ctime writes.
_CTIME = "%a %b %d %H:%M:%S %Y"
TWINS = {"%d/%m": "%m/%d", "%d-%m": "%m-%d"}
# A date begins or ends with its digits and has something between them.
_SHAPE = (
    r"^(?:[A-Za-z]{3,9},? )?"
    r"(?:\d{1,4}[-/. ][A-Za-z\d]{1,9}[-/. ]\d{1,4}|[A-Za-z]{3,9} \d{1,2},? \d{2,4}|"
    r"\d{1,2}[A-Za-z]{3}\d{4})"
)
# Without anything between its parts, where dates are wanted.
_DIGITS = {
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])": "%Y%m",
    r"(?:19|20)\d{6}": "%Y%m%d",
    r"(?:19|20)\d{10}": "%Y%m%d%H%M",
    r"(?:19|20)\d{12}": "%Y%m%d%H%M%S",
}
_WORDS = r"%[abpABq]|(?:^|[^%])[MQ]"


def look_like_dates(texts: pl.Series) -> bool:
    """Whether nine in ten of texts (K,) have the shape of a date or a time."""
    share = texts.str.contains(rf"{_SHAPE}|^\d{{1,2}}:\d{{2}}").mean()
    return float(share or 0) >= 0.9  # type: ignore[arg-type]


def patterns_of(texts: pl.Series) -> list[str]:
    """Patterns that texts (K,) may have, by their look: with a clock time after them or without."""
    dates = _weekdays(texts) or list(_DATES)
    if not texts.str.contains(r"\d:\d\d").any():
        return dates
    if texts.str.contains(r"^\d{1,2}:\d\d").all():
        return list(CLOCKS)
    between = texts.str.extract(r"\d(T|, | |:)\d{1,2}:\d\d").drop_nulls()
    found = [
        date + sign + clock
        for date in dates
        for sign in between.unique().sort()
        for clock in CLOCKS
    ]
    return [*found, _CTIME] if dates[0] not in _DATES else found


def pattern_of_digits(texts: pl.Series) -> str | None:
    """The pattern of texts (K,) that are all dates of digits alone, such as 20241231; or None."""
    for shape, pattern in _DIGITS.items():
        if len(texts) and texts.str.contains(f"^{shape}$").all():
            day = "" if "%d" in pattern else "%d"
            read = as_datetimes(texts + ("01" if day else ""), pattern + day, is_zoned=False)
            return None if read.null_count() else pattern
    return None


def has_clock(pattern: str) -> bool:
    """Whether a pattern has a time of the day."""
    return "%H" in pattern or "%I" in pattern


def coarser(pattern: str) -> list[str]:
    """Patterns of the same dates without seconds and then without a time, where they have them."""
    without = [pattern.replace(":%S", ""), re.sub(r"(T|, | |:)%[HI].*$", "", pattern)]
    return [one for one in without if one != pattern and ("%d" in one or one in CLOCKS)]


def _weekdays(texts: pl.Series) -> list[str]:
    """Patterns of dates after their weekdays; none where texts do not begin so."""
    parts = texts.str.extract_groups(_WEEKDAY).struct.unnest().drop_nulls("1")
    if len(parts) < 0.9 * len(texts):
        return []
    day = "%a" if parts["2"].null_count() else "%A"
    return [day + str(parts["3"][0]) + date for date in _NAMED]


def usual_case(texts: pl.Series, pattern: str) -> str:
    """Whether the words of texts (K,) are all "upper" or "lower"; "" where they are as usual."""
    if not re.search(_WORDS, pattern):
        return ""
    for case, cased in (("upper", texts.str.to_uppercase()), ("lower", texts.str.to_lowercase())):
        if bool((texts == cased).all()):
            return case
    return ""


def in_case(texts: pl.Series, case: str) -> pl.Series:
    """Texts (N,) with all their words in upper or lower case, or as they are."""
    match case:
        case "upper":
            return texts.str.to_uppercase()
        case "lower":
            return texts.str.to_lowercase()
    return texts


def as_datetimes(texts: pl.Series, pattern: str, *, is_zoned: bool) -> pl.Series:
    """Microseconds since 1970 of texts (N,), null where they do not have the pattern."""
    if is_zoned:  # +01 for +01:00, as databases write it
        texts, pattern = texts.str.replace(r"([+-]\d\d)$", "${1}:00"), pattern + "%z"
    if "%Y" in pattern:  # which polars reads from 24 too
        texts = texts.set(~texts.str.contains(r"\d{4}").fill_null(False), None)
    if pattern in CLOCKS:
        texts, pattern = "1970-01-01 " + texts, "%Y-%m-%d " + pattern
    if not has_clock(pattern):
        return texts.str.to_date(pattern, strict=False).cast(pl.Datetime("us")).cast(pl.Int64)
    return texts.str.to_datetime(pattern, strict=False, time_unit="us").cast(pl.Int64)
