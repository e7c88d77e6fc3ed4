"""The cells of a raw column as texts without what stands for no value, or as moments."""

from collections.abc import Iterable

import polars as pl

from made_exp.datasets.table.raw import RawColumn

MISSING = (
    "NA", "na", "Na", "N/A", "n/a", "NaN", "nan", "NAN", "Nan", "NULL", "null", "Null", "?",
    "None", "none", "#N/A", "-", "--",
)  # fmt: skip
"""What stands for no value in a column of numbers or dates, unless the user says otherwise."""
_WHOLE = r"^([+-]?(?:0|[1-9]\d*))\.0*$"


def bare_texts(raw: RawColumn, missing: Iterable[str]) -> pl.Series:
    """Texts (N,) without spaces around them, null where a cell is empty or one of `missing`."""
    texts = as_texts(raw).str.strip_chars()
    return texts.set(texts.is_in(["", *missing]).fill_null(False), None)


def as_texts(raw: RawColumn) -> pl.Series:
    """Texts (N,) of the cells, as they are or as a CSV file would have them."""
    values = raw.values
    if values.dtype == pl.String:
        return values
    if raw.stored == pl.Float32:
        values = values.cast(pl.Float32)
    return values.cast(pl.String)


def labels_of(texts: pl.Series) -> pl.Series:
    """Texts with 3.0 and 3 alike: many programs write whole numbers with a point."""
    return texts.str.replace(_WHOLE, "$1")


def moments_of(raw: RawColumn) -> pl.Series:
    """Microseconds (N,) Int64 of a Date, Datetime or Time column since 1970 or midnight."""
    values = raw.values
    if values.dtype == pl.Time:
        return values.cast(pl.Int64) // 1000
    if isinstance(values.dtype, pl.Datetime):
        values = values.dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us")).cast(pl.Int64)


def is_temporal(dtype: pl.DataType) -> bool:
    """Whether values of this type are dates or times."""
    return dtype in (pl.Date, pl.Time) or isinstance(dtype, pl.Datetime)
