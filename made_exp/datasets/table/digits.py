"""How finely the numbers of a column are known: to their last digit, or to how far they lie apart.

Numbers that were computed, such as a column that was divided by its deviation, have all digits
that float64 holds, which say nothing. Where such numbers repeat, each stands for what lies nearer
to it than to others: a spike is then a cell as wide as values are apart, not one of 1e-16, in which
a density would gain 36 nats.
"""

from typing import NamedTuple

import numpy as np

from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat

# Of the rows so many have no neighbour nearer than what their column's values are apart.
_CLOSEST = 0.1
# Numbers were computed where their last digit is worth so little of the largest.
_COMPUTED: dict[type, float] = {np.float64: 1e-15, np.float32: 1e-7}
# Nearer values, in spans of the column, differ by how they were computed.
_ROUNDING = 1e-9


class Fineness(NamedTuple):
    """How finely numbers are known.

    Attributes:
        resolution: Width of the cell that a value stands for, > 0.
        digit: What the last digit is worth where that is finer than the resolution, else None.
    """

    resolution: float
    digit: float | None = None


def fineness(form: Format, values: np.ndarray, dtype: type = np.float64) -> Fineness:
    """How finely values (N,), written in this format and computed in this type, are known."""
    digit = last_digit(form, values)
    if is_computed(form, values, dtype):
        apart = _apart(values)
        if apart > digit:
            return Fineness(apart, digit)
    return Fineness(digit)


def is_computed(form: Format | None, values: np.ndarray, dtype: type = np.float64) -> bool:
    """Whether values (N,) have all digits that their type holds, as nobody writes them."""
    if not isinstance(form, NumberFormat):
        return False
    return bool(last_digit(form, values) <= _COMPUTED[dtype] * np.abs(values).max())


def last_digit(form: Format, values: np.ndarray) -> float:
    """What the last digit of values (N,) is worth, no less than float64 can tell apart."""
    finest = float(np.spacing(np.abs(values).max())) or 1e-300
    if isinstance(form, NumberFormat) and form.style != "fixed":
        digits = form.decimals + 1 if form.style == "exponent" else form.digits
        return max(10.0 ** (np.floor(np.log10(_usual(values))) + 1 - digits), finest)
    decimals = form.decimals if isinstance(form, NumberFormat) else 0
    return max(10.0**-decimals, finest)


def _usual(values: np.ndarray) -> float:
    """The median size of values that are not 0."""
    return float(np.median(np.abs(values[values != 0]))) if values.any() else 1.0


def _apart(values: np.ndarray) -> float:
    """How far values that repeat lie apart; 0 where all of them differ, or one is left."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == len(values) or len(distinct) < 2:
        return 0.0
    with np.errstate(over="ignore"):
        gaps = np.diff(distinct)
        span = distinct[-1] - distinct[0]
    ends = np.concatenate([[np.inf], np.where(gaps > _ROUNDING * span, gaps, np.inf), [np.inf]])
    nearest = np.minimum(ends[1:], ends[:-1])
    order = np.argsort(nearest)
    rank = np.searchsorted(np.cumsum(counts[order]), _CLOSEST * len(values))
    found = float(nearest[order][rank])
    return found if np.isfinite(found) else 0.0
