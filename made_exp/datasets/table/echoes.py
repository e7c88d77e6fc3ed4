"""Values of a column of numbers that come again: ties that no smooth density explains.

Weights of a survey, durations and prices repeat to the last digit far more often than their spread
alone would have it. What train has seen before is then a distribution of its own,

    e(x) = (number of training rows with the value x) / N,

one more component beside the smooth ones and the atoms. A training row is not told of itself: for
it the share is (count - 1) / (N - 1). Where values lie on a coarse grid too often, such as times at
full hours, or at midnight where only a day was known, the component is of all that lie there, each
counted once more than train has it.
"""

from collections.abc import Sequence

import numpy as np

# Nats a value that a column must gain, on values that are not told of themselves.
MIN_GAIN = 0.03
# Fewer rows than this say too little; more different values would be too large a table.
MIN_ROWS, MAX_VALUES = 200, 100_000
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def find_echoes(
    values: np.ndarray,
    z: np.ndarray,
    cells: np.ndarray,
    grids: Sequence[tuple[int, int]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """The values that may come again and their counts, if that explains the column better.

    Args:
        values: (N,) float64 training values that are no atoms.
        z: (N,) their places under the column's transform.
        cells: (N,) how wide in z a step of the column's last digit is at each, > 0.
        grids: Coarse ones of whole values: how far apart their points are, > 1, and one of them.

    Returns:
        Distinct values (V,) float64, rising, and how often each is there (V,) int64; both empty
        where a smooth density does as well.
    """
    none = np.empty(0), np.empty(0, np.int64)
    if len(values) < MIN_ROWS:
        return none
    every = (_seen(values), *(_on(values, grid) for grid in grids))
    tables = [one for one in every if one[1].max(initial=0) > 1 and len(one[0]) <= MAX_VALUES]
    if not tables:
        return none
    smooth = _smooth_masses(z, cells)
    best, most = none, float(np.log(smooth).mean()) + MIN_GAIN
    for levels, counts in tables:
        index = np.searchsorted(levels, values).clip(max=len(levels) - 1)
        again = np.where(levels[index] == values, counts[index] - 1, 0) / (counts.sum() - 1)
        # One share after the other: all at once would take eleven times the column.
        mixed = max(float(np.log((1 - s) * smooth + s * again).mean()) for s in _SHARES)
        if mixed > most:
            best, most = (levels, counts), mixed
    return best


def _seen(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values (V,) of values (N,), and how often each is there (V,)."""
    levels, counts = np.unique(values, return_counts=True)
    return levels, counts.astype(np.int64)


def _on(values: np.ndarray, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """All points (V,) of a grid between the ends of values (N,), and what they are counted."""
    apart, point = grid
    low, high = values.min(), values.max()
    first = point + np.ceil((low - point) / apart) * apart
    count = int((high - first) // apart) + 1
    if not 0 < count <= MAX_VALUES:
        return np.empty(0), np.empty(0, np.int64)
    places = (values - first) / apart
    there = places[places == np.floor(places)].astype(np.int64)
    return first + apart * np.arange(count), np.bincount(there, minlength=count) + 1


def _smooth_masses(z: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Mass (N,) of the cell of each value under a histogram of z that is not told of the value."""
    low, high = np.quantile(z, (0.001, 0.999))
    num_bins = int(np.clip(2 * len(z) ** (1 / 3), 10, 500))
    width = max(float(high - low), 1e-9) / num_bins
    bins = np.clip(((z - low) / width).astype(np.int64), 0, num_bins - 1)
    others = np.bincount(bins, minlength=num_bins)[bins] - 1 + 0.5
    return np.clip(others / (len(z) - 1 + 0.5 * num_bins) * cells / width, 1e-300, 1.0)
