"""The types that columns have where they came from: as plain values, and values in them again."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import polars as pl

_SIMPLE: dict[str, type[pl.DataType]] = {
    kind.__name__: kind
    for kind in (
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128),
        *(pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128),
        *(pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Categorical, pl.Date, pl.Time, pl.Null),
    )
}
UNITS_OF_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
"""How many of a unit of time are a second."""
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
# What a clock leaves out when it is put forward: an hour, or a day where a date line moved.
_SKIPPED = ("1h", "1d")
# Polars writes 2024-01-31 09:30:00.125 CET.
_MOMENT = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?)"


def stored_as(dtype: pl.DataType) -> tuple[Any, ...]:
    """A type as plain values, its name and what it is told; () for one that is not known."""
    name = type(dtype).__name__
    if isinstance(dtype, pl.Decimal):
        return name, dtype.precision, dtype.scale
    if isinstance(dtype, pl.Datetime):
        return name, dtype.time_unit, dtype.time_zone
    if isinstance(dtype, pl.Duration):
        return name, dtype.time_unit
    if isinstance(dtype, pl.Enum):
        return name, *dtype.categories.to_list()
    return (name,) if name in _SIMPLE else ()


def dtype_of(stored: Sequence[Any]) -> pl.DataType | None:
    """The inverse of `stored_as`; None for ()."""
    match list(stored):
        case ["Decimal", precision, scale]:
            return pl.Decimal(precision, scale)
        case ["Datetime", unit, zone]:
            return pl.Datetime(unit, zone)
        case ["Duration", unit]:
            return pl.Duration(unit)
        case ["Enum", *categories]:
            return pl.Enum(categories)
        case [name]:
            return _SIMPLE[name]()
    return None


def bounds_of(dtype: pl.DataType) -> tuple[float | Fraction, float | Fraction]:
    """The least and the greatest number that a type holds; infinite where there is no end."""
    if dtype.is_integer():
        bits = int(type(dtype).__name__.partition("Int")[2])
        if dtype.is_unsigned_integer():
            return 0, 2**bits - 1
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if isinstance(dtype, pl.Decimal) and dtype.precision is not None:
        last = Fraction(10**dtype.precision - 1, 10**dtype.scale)
        return -last, last
    return -float("inf"), float("inf")


def whole_type(first: int, last: int) -> pl.DataType:
    """The first of Int64, UInt64 and Int128 that holds the whole numbers first..last."""
    for dtype in (pl.Int64(), pl.UInt64()):
        least, greatest = bounds_of(dtype)
        if least <= first and last <= greatest:
            return dtype
    return pl.Int128()


def is_text(dtype: pl.DataType | None) -> bool:
    """Whether values of this type are texts."""
    return dtype in _TEXTS


def as_type(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The values in this type, where that holds them; else as they are.

    Times without a zone are those of the type's clock; what that leaves out comes after the gap.
    """
    if values.dtype == dtype or (values.dtype.is_float() and dtype.is_integer()):
        return values  # whatever these floats are, others are not whole
    zone = getattr(dtype, "time_zone", None)
    wanted = pl.Datetime(dtype.time_unit) if isinstance(dtype, pl.Datetime) else dtype
    try:
        cast = _cast(values, wanted)
    except pl.exceptions.PolarsError:
        return values
    if zone is not None:
        cast = _on_clock(cast, zone)
    return cast if cast.null_count() == values.null_count() else values


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    if values.dtype == pl.String and isinstance(dtype, pl.Datetime):
        moments = values.str.extract(_MOMENT).str.to_datetime(
            "%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit=dtype.time_unit
        )
        return moments
    if values.dtype == pl.String and dtype == pl.Date:
        return values.str.to_date("%Y-%m-%d", strict=False)
    if values.dtype == pl.String and dtype == pl.Time:
        return values.str.to_time("%H:%M:%S%.f", strict=False)
    if values.dtype.is_numeric() and isinstance(dtype, pl.Duration):
        counted = values.cast(pl.Float64) * UNITS_OF_SECOND[dtype.time_unit]
        return counted.round().cast(pl.Int64, strict=False).cast(dtype)
    return values.cast(dtype, strict=False)


def _on_clock(times: pl.Series, zone: str) -> pl.Series:
    found = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    for skipped in _SKIPPED:
        if found.null_count() == times.null_count():
            break
        later = times.dt.offset_by(skipped)
        later = later.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        found = found.zip_with(found.is_not_null(), later)
    return found
