"""Which century years of two digits are of: the one in which a column spans the fewest years."""

import numpy as np
import polars as pl

FIRST_YEAR = 1969
"""The first of the hundred years that two digits stand for where nothing else is known."""
_YEAR = r"^([^-/. ']+[-/. '][^-/. ']+[-/. '])(\d\d)((?:[^\d].*)?)$"


def with_centuries(texts: pl.Series, first_year: int) -> pl.Series:
    """Dates (N,) with four digits for the two of their year; null where they have none.

    Args:
        texts: Such as 31.12.99 or 12/31/99 10:30.
        first_year: Of the hundred that the digits stand for.
    """
    parts = texts.str.extract_groups(_YEAR).struct.unnest()
    before, digits, after = (parts[name] for name in parts.columns)
    years = (digits.cast(pl.Int64) - first_year) % 100 + first_year
    return (before + years.cast(pl.String) + after).alias(texts.name)


def first_year_of(texts: pl.Series) -> int:
    """The first of the hundred years in whose middle dates (N,) span the fewest years.

    The usual hundred where no other ones make them fewer; else none is beyond their last.
    """
    digits = texts.str.extract(_YEAR, 2).cast(pl.Int64).drop_nulls().unique().to_numpy()
    if not len(digits):
        return FIRST_YEAR
    years = np.sort((digits - FIRST_YEAR) % 100) + FIRST_YEAR
    gaps = np.diff(years, append=years[0] + 100)  # after each
    widest = int(gaps.argmax())
    if gaps[widest] == gaps[-1]:
        return FIRST_YEAR
    span = 100 - int(gaps[widest])
    return int(years[widest + 1]) - 100 - (99 - span) // 2
