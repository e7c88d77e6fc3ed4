"""Values of a column of numbers that come again: ties that no smooth density explains.

Weights of a survey, durations and prices repeat to the last digit far more often than their spread
alone would have it. What train has seen before is then a distribution of its own,

    e(x) = (number of training rows with the value x) / N,

one more component beside the smooth ones and the atoms. A training row is not told of itself: for
it the share is (count - 1) / (N - 1).
"""

import numpy as np

# Nats a value that a column must gain, on values that are not told of themselves.
MIN_GAIN = 0.03
# Fewer rows than this say too little; more different values would be too large a table.
MIN_ROWS, MAX_VALUES = 200, 100_000
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def find_echoes(
    values: np.ndarray, z: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values that may come again and their counts, if that explains the column better.

    Args:
        values: (N,) float64 training values that are no atoms.
        z: (N,) their places under the column's transform.
        cells: (N,) how wide in z a step of the column's last digit is at each, > 0.

    Returns:
        Distinct values (V,) float64, rising, and how often each is there (V,) int64; both empty
        where a smooth density does as well.
    """
    none = np.empty(0), np.empty(0, np.int64)
    if len(values) < MIN_ROWS:
        return none
    distinct, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) == len(values) or len(distinct) > MAX_VALUES:
        return none
    smooth = _smooth_masses(z, cells)
    again = ((counts - 1) / (len(values) - 1))[index]
    # One share after the other: all at once would take eleven times the column.
    mixed = max(float(np.log((1 - s) * smooth + s * again).mean()) for s in _SHARES)
    gain = mixed - float(np.log(smooth).mean())
    return (distinct, counts.astype(np.int64)) if gain > MIN_GAIN else none


def _smooth_masses(z: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Mass (N,) of the cell of each value under a histogram of z that is not told of the value."""
    low, high = np.quantile(z, (0.001, 0.999))
    num_bins = int(np.clip(2 * len(z) ** (1 / 3), 10, 500))
    width = max(float(high - low), 1e-9) / num_bins
    bins = np.clip(((z - low) / width).astype(np.int64), 0, num_bins - 1)
    others = np.bincount(bins, minlength=num_bins)[bins] - 1 + 0.5
    return np.clip(others / (len(z) - 1 + 0.5 * num_bins) * cells / width, 1e-300, 1.0)
