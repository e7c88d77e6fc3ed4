"""Moments on the clock of a column: whatever zone they come in, and in plain ISO texts."""

import polars as pl

_ISO = (
    r"^(?P<date>\d{4}-\d\d-\d\d)(?:[T ](?P<clock>\d\d:\d\d)(?P<seconds>:\d\d)?"
    r"(?P<fraction>\.\d{1,9})?\s?(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?$"
)
_OFFSET = r"^([+-])(\d\d):?(\d\d)?$"
_MINUTE = 60 * 10**6


def iso_moments(texts: pl.Series, clock: str | None) -> pl.Series:
    """Microseconds (N,) Int64 since 1970 of texts (N,), null where they are not plain ones.

    Args:
        texts: Such as 2024-01-31, 2024-01-31 09:30 or 2024-01-31T09:30:00.5+01:00.
        clock: The zone whose clock counts: a name, UTC, or an offset; None for that of the
            texts, and then a text that has a zone is no plain one.
    """
    parts = texts.str.extract_groups(_ISO).struct.unnest()
    whole = (
        parts["date"] + "T" + parts["clock"].fill_null("00:00") + parts["seconds"].fill_null(":00")
    )
    whole += parts["fraction"].fill_null(".0").str.slice(0, 7)
    moments = whole.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    counted, is_zoned = moments.cast(pl.Int64), parts["zone"].is_not_null()
    if not is_zoned.any():
        return counted
    if clock is None:
        return counted.set(is_zoned, None)
    on_clock = on_clock_of(counted - _offsets(parts["zone"]), clock)
    return counted.zip_with(~is_zoned, on_clock)


def on_clock_of(utc: pl.Series, clock: str) -> pl.Series:
    """What a clock shows, as microseconds (N,) Int64, at instants (N,) in UTC."""
    if clock[0] in "+-":
        return utc + _offsets(pl.Series([clock]))[0]
    times = utc.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").dt.convert_time_zone(clock)
    return times.dt.replace_time_zone(None).cast(pl.Int64)


def _offsets(zones: pl.Series) -> pl.Series:
    """Microseconds (N,) of +01:00 and the like; 0 of UTC."""
    hours, minutes = (zones.str.extract(_OFFSET, n).cast(pl.Int64).fill_null(0) for n in (2, 3))
    is_west = (zones.str.slice(0, 1) == "-").fill_null(False)
    size = (hours * 60 + minutes) * _MINUTE
    return size.zip_with(~is_west, -size)
