"""Which values of a numeric column have a probability of their own, found in train."""

import numpy as np

# A value is an atom where it is this many times as frequent as its neighbourhood ...
MIN_RATIO = 3.0
# ... stands in this many rows and this share of them ...
MIN_COUNT, MIN_SHARE = 4, 1e-4
# ... and gains the likelihood this many nats beyond one for each different value (e-folds).
MIN_GAIN = 4.0
MAX_ATOMS = 128
# Where more stand out, values repeat everywhere (`echoes`), and few of them deserve parameters:
# those in this share of the rows.
LARGE_SHARE = 2e-3
# Where a value has so many rows on average, all that are in some rows are atoms: beside smooth
# components a free table, which such rows fill.
MANY_ROWS, SOME_ROWS = 100, 10
# Rows on each side that tell how frequent a value of the neighbourhood is.
_NEIGHBOURS = 50  # in small tables a tenth of all: a narrow cluster has no more


def find_atoms(
    values: np.ndarray, step: float, most: int = MAX_ATOMS, *, are_computed: bool = False
) -> np.ndarray:
    """The values that stand out of their neighbourhood: spikes, such as 92 % zeros.

    On the column's grid of this step, c rows hold the value where e are expected from the rows
    nearby. It is an atom where c is several times e and the gain of likelihood
    c log(c / e) - (c - e) is beyond what chance gives. Ties of rounded smooth data are none, but
    where values are few and rows many, all of them are: of computed numbers, which no rounding
    makes repeat, where rows are fewer already.

    Args:
        values: (N,) float64, finite.
        step: Width of a cell of the grid, > 0: what the last digit is worth.
        most: At most so many are found.
        are_computed: Whether they have all digits that float64 holds.

    Returns:
        The values, rising.
    """
    distinct, counts = np.unique(values, return_counts=True)
    rows, least = (SOME_ROWS, MIN_COUNT) if are_computed else (MANY_ROWS, SOME_ROWS)
    if len(distinct) <= most and len(values) >= rows * len(distinct):
        return distinct[counts >= least]
    enough = counts >= max(MIN_COUNT, MIN_SHARE * len(values))
    if not enough.any():
        return np.empty(0)
    step *= lattice(distinct, step)
    needed = MIN_GAIN + np.log(len(distinct))
    chosen = np.zeros(len(distinct), bool)
    while True:  # Spikes hide the neighbourhood of others: until no further one is found.
        expected = _expected(distinct, np.where(chosen, 0, counts), counts, step)
        gain = counts * np.log(counts / expected) - (counts - expected)
        stands_out = enough & (counts >= MIN_RATIO * expected) & (gain > needed)
        if not (stands_out & ~chosen).any():
            break
        chosen |= stands_out
    if chosen.sum() > MAX_ATOMS:
        chosen &= counts >= LARGE_SHARE * len(values)
    best = np.flatnonzero(chosen)[np.argsort(-gain[chosen], kind="stable")[:most]]
    return np.sort(distinct[best])


def lattice(distinct: np.ndarray, step: float) -> int:
    """The largest number of steps of which all distances between distinct values are multiples."""
    with np.errstate(over="ignore", invalid="ignore"):
        places = (distinct - distinct[0]) / step
    if not (np.isfinite(places[-1]) and places[-1] < 2**53):
        return 1
    return max(int(np.gcd.reduce(np.round(places).astype(np.int64))), 1)


def _expected(
    distinct: np.ndarray, background: np.ndarray, counts: np.ndarray, step: float
) -> np.ndarray:
    """Rows (K,) expected at each value, from the background rows on the busier side of it."""
    below = np.concatenate([[0], np.cumsum(background)])
    total, places = int(below[-1]), np.arange(len(distinct))
    reach = min(_NEIGHBOURS, max(total // 10, 1))
    # The nearest value on each side up to which there are enough rows, itself not counted.
    right = np.searchsorted(below, below[1:] + reach) - 1
    left = np.searchsorted(below, below[:-1] - reach, side="right") - 1
    right, left = np.minimum(right, len(distinct) - 1), np.maximum(left, 0)
    rates = []
    for end, rows in ((right, below[right + 1] - below[1:]), (left, below[:-1] - below[left])):
        with np.errstate(over="ignore"):
            cells = np.abs(distinct[end] - distinct) / step
        rates.append(np.where(end == places, 0, rows / np.maximum(cells, 1)))
    return np.maximum(np.maximum(*rates), 0.5 / max(total, 1))
