"""Grids that all values of a column lie on, such as salaries in hundreds; draws rounded to them.

The density knows nothing of a grid: what is rounded are draws alone.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from made_exp.datasets.table.whole import minus

# Fewer different values may lie so by chance.
_MIN_VALUES = 12
_LOOKED_AT = 1000
# Float64 tells whole numbers apart so far.
_EXACT = 2**53

Grid = tuple[int, int]
"""How far points lie apart, in units, and one of them."""
NO_GRID: Grid = (1, 0)


def grid_of(numbers: pl.Series, decimals: int = 0, atoms: Sequence[float] = ()) -> Grid:
    """The widest grid of numbers (N,), none of them null, where many different ones are on one.

    It is in units of their last digit; there is none where numbers have more decimals. Where not
    all are on one, all but the atoms may be.
    """
    found = _grid(numbers, decimals)
    if found != NO_GRID or not len(atoms):
        return found
    return _grid(numbers.filter(~numbers.cast(pl.Float64).is_in(list(atoms))), decimals)


def _grid(numbers: pl.Series, decimals: int) -> Grid:
    for some in (numbers.head(_LOOKED_AT), numbers):  # most are on none from the beginning
        units = _units_of(some, decimals)
        least, distinct = int(units.min() or 0), units.unique()  # type: ignore[arg-type]
        apart = math.gcd(*minus(distinct.drop_nulls(), least).to_list())
        if apart == 1 or units.null_count():
            return NO_GRID
    return (apart, least) if len(distinct) >= _MIN_VALUES else NO_GRID


def _units_of(numbers: pl.Series, decimals: int) -> pl.Series:
    """Numbers (N,) in units of a decimal, whole ones as they are; null where they are finer."""
    if numbers.dtype.is_integer() and not decimals:
        return numbers
    scaled = numbers.cast(pl.Float64) * 10.0**decimals
    units = scaled.round()
    is_so = (scaled.abs() < _EXACT) & ((scaled - units).abs() < 1e-6)
    return units.set(~is_so, None).cast(pl.Int64)


def nearest_on(
    grid: Grid, values: np.ndarray, ends: tuple[float, float], units: int = 1, shift: int = 0
) -> np.ndarray:
    """The nearest points (N,) of a grid within the ends, or those some points farther on.

    Args:
        grid: Of units.
        values: (N,) float64, NaN where missing.
        ends: What values can be, the grid among them.
        units: How many are in a value of 1.
        shift: How many points farther.
    """
    apart, point = grid
    if apart == 1:
        return values
    low, high = ((end * units - point) / apart for end in ends)
    places = np.round((values * units - point) / apart) + shift
    found: np.ndarray = np.clip(places, math.ceil(low - 1e-9), math.floor(high + 1e-9))
    return (found * apart + point) / units
