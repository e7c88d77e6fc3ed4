"""Whole numbers of any size shifted and scaled exactly, in 64 bits where these are enough."""

import numpy as np
import polars as pl

# Sums and differences of smaller numbers are within Int64.
_SMALL = 2**62
# Numbers farther from 0 count as this far, which is beyond any column that is counted.
_FARTHEST = 2.0**100


def within_reach(numbers: pl.Series) -> pl.Series:
    """Float64 (N,), no farther from 0 than what is shifted exactly."""
    return numbers.clip(-_FARTHEST, _FARTHEST)


def times(whole: pl.Series, factor: int) -> pl.Series:
    """Whole numbers (N,), times a power of ten."""
    return whole if factor == 1 else _wide(whole) * _single(factor)


def minus(whole: pl.Series, number: int) -> pl.Series:
    """Whole numbers (N,), less one."""
    if abs(number) < _SMALL and bool(whole.is_between(-_SMALL, _SMALL).all()):
        return whole - _single(number).cast(whole.dtype)
    return _wide(whole) - _single(number)


def steps_in(whole: pl.Series, step: int) -> tuple[pl.Series, pl.Series]:
    """How many whole steps are in numbers (N,), and whether something is left, (N,) bool."""
    if step == 1:
        return whole, pl.Series(np.zeros(len(whole), bool))
    by = _single(step).cast(whole.dtype)
    return whole // by, (whole % by != _single(0).cast(whole.dtype)).fill_null(False)


def plus(counts: np.ndarray, number: int) -> np.ndarray:
    """Counts (N,) int64 and one number: of Python's own integers where int64 may not hold them."""
    return counts + number if abs(number) < _SMALL else counts.astype(object) + number


def _wide(whole: pl.Series) -> pl.Series:
    return whole.cast(pl.Int128)


def _single(number: int) -> pl.Series:
    return pl.Series([number], dtype=pl.Int128)
