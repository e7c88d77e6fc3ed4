"""How finely the numbers of a column are known: to their last digit, or to how far they lie apart.

Numbers that were computed, such as a column that was divided by its deviation, have all digits
that float64 holds, which say nothing. Where such numbers repeat, each stands for what lies nearer
to it than to others: a spike is then a cell as wide as values are apart, not one of 1e-16, in which
a density would gain 36 nats.

Numbers with so many significant digits are known more finely where they are small: 1.5e-09 to a
cell of 1e-10, 1.5e+03 to one of 100.
"""

import math
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat

# So many of the values that repeat have a neighbour nearer than what their column's are apart.
_CLOSEST = 0.1
# Cells are at most so wide, in deviations, unless all values are farther apart.
_WIDEST = 0.1
# Standard deviations between the first and the last tenth of normal values.
_MIDDLE = 2.563
# Numbers were computed where their last digit is worth so little of the largest.
_COMPUTED = {False: 1e-15, True: 1e-7}  # whether in float32
# Numbers with so many decimals were also computed where all end as binary fractions do.
_FEWEST_DECIMALS = 3
# People write so many significant digits at most; more are a computer's.
_WRITTEN = {False: 12, True: 6}  # whether in float32
_LOOKED_AT = 20_000
# Values as small as this beside the usual ones count as of another magnitude.
_TINY = 1e-6
# The resolution of numbers such as 1e-309.
_LEAST = 1e-300
# Nearer values, in spans of the column, differ by how they were computed; a span is so many
# deviations at most.
_ROUNDING, _SPAN = 1e-9, 100.0


class Fineness(NamedTuple):
    """How finely numbers are known.

    Attributes:
        resolution: Width of the cell that a value stands for, > 0.
        digit: What the last digit is worth where that is finer than the resolution, else None.
        grows_from: The power of ten from which on cells are wider, by ten from one to the next;
            None where all are alike.
    """

    resolution: float
    digit: float | None = None
    grows_from: float | None = None

    def places(self, values: np.ndarray) -> np.ndarray:
        """How many cells lie between 0 and each of values (N,), of their sign."""
        growth = self._growth(values)
        whole = 9 * np.log10(growth) * (self.grows_from or 0) / self.resolution
        return values / (self.resolution * growth) + np.sign(values) * whole

    def widths(self, values: np.ndarray) -> np.ndarray:
        """Widths (N,) of the cells of values (N,)."""
        return self.resolution * self._growth(values)

    def _growth(self, values: np.ndarray) -> np.ndarray:
        if self.grows_from is None:
            return np.ones(len(values))
        sizes = np.abs(values).clip(self.grows_from, self.grows_from / _LEAST)
        growth: np.ndarray = 10.0 ** _powers(sizes / self.grows_from)
        return growth


def fineness(form: Format, values: np.ndarray, *, single: bool = False) -> Fineness:
    """How finely values (N,), written in this format and held in float64 or single, are known."""
    if isinstance(form, NumberFormat):
        if _has_significant_digits(form, values, single):
            return _growing(values, _num_digits(form))
        if _spans_magnitudes(values) and is_computed(form, values, single=single):
            return _growing(values, _WRITTEN[single])
    digit = last_digit(form, values)
    if is_computed(form, values, single=single):
        apart = _apart(values)
        if apart > digit:
            return Fineness(apart, digit)
    return Fineness(digit)


def _growing(values: np.ndarray, num_digits: int) -> Fineness:
    """Cells of so many significant digits, from the least of values (N,) on."""
    least = max(10.0 ** float(_powers(np.abs(values[values != 0]).min())), _LEAST)
    return Fineness(max(least * 10.0 ** (1 - num_digits), _LEAST), None, least)


def _spans_magnitudes(values: np.ndarray) -> bool:
    """Whether a tenth of values (N,) are so small beside half of them that no digit serves both.

    Where these are a few numbers again and again, they are what rounding left of zero.
    """
    sizes = np.abs(values[values != 0])
    small = sizes[sizes < _TINY * np.median(sizes)] if len(sizes) else sizes
    return len(small) > len(sizes) / 10 and len(np.unique(small)) > len(small) / 2


def _has_significant_digits(form: NumberFormat, values: np.ndarray, single: bool) -> bool:
    """Whether numbers have so many digits whatever their size: large ones end before small ones.

    Of 0.00001 and 12.34567, whose last digits are worth the same, a computer writes 1e-05, too.
    """
    sizes = np.abs(values[values != 0])
    is_written = form.style != "fixed" and _num_digits(form) <= _WRITTEN[single]
    if not is_written or not len(sizes) or 10 * sizes.min() > sizes.max():
        return False
    if form.style == "exponent":
        return True
    is_large = sizes >= np.median(sizes)
    return _decimals(sizes[is_large]) + 1 < _decimals(sizes[~is_large])


def _decimals(values: np.ndarray) -> int:
    """How many decimals values (N,) have at most, as they are written."""
    some = values[:: max(len(values) // _LOOKED_AT, 1)].tolist()
    return max((-int(Decimal(repr(v)).as_tuple().exponent) for v in some), default=0)


def _num_digits(form: NumberFormat) -> int:
    return form.decimals + 1 if form.style == "exponent" else form.digits


def _powers(values: np.ndarray) -> np.ndarray:
    """Powers of ten at or below values (N,), > 0; of 1000, too, whose logarithm is 2.99999999."""
    return np.floor(np.log10(values) + 1e-9)


def is_computed(form: Format | None, values: np.ndarray, *, single: bool = False) -> bool:
    """Whether values (N,) have all digits that their type holds, as nobody writes them.

    Binary fractions, such as whole numbers divided by 64, end before: with k decimals they are
    multiples of 2^-k, which numbers that were rounded to k decimals are one time in 5^k.
    """
    if not isinstance(form, NumberFormat):
        return False
    digit = last_digit(form, values)
    decimals = round(-math.log10(digit))
    is_binary = decimals >= _FEWEST_DECIMALS and not (np.ldexp(values, decimals) % 1).any()
    return is_binary or bool(digit <= _COMPUTED[single] * np.abs(values).max())


def _spread(distinct: np.ndarray) -> float:
    """The deviation of values (K,), or that of normal ones with the same middle if it is less."""
    low, high = np.quantile(distinct / 2, (0.1, 0.9))  # halves, whose differences float64 holds
    middle = 2 * (high - low) / _MIDDLE
    whole = float(distinct.std())
    return float(min(whole, middle)) if middle > 0 else whole


def last_digit(form: Format, values: np.ndarray) -> float:
    """What the last digit of values (N,) is worth, no less than float64 can tell apart."""
    finest = float(np.spacing(np.abs(values).max())) or 1e-300
    if isinstance(form, NumberFormat) and form.style != "fixed":
        power = math.floor(math.log10(_usual(values)))
        return max(10.0 ** (power + 1 - _num_digits(form)), finest)
    decimals = form.decimals if isinstance(form, NumberFormat) else 0
    return max(10.0**-decimals, finest)


def _usual(values: np.ndarray) -> float:
    """The median size of values that are not 0."""
    return float(np.median(np.abs(values[values != 0]))) if values.any() else 1.0


def _apart(values: np.ndarray) -> float:
    """How far values that repeat lie apart; 0 where all of them differ, or one is left.

    A spike far from all others, such as zeros among amounts or -9999, is no wider than others are
    apart, or than a share of the deviation, as their middle has it.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) == len(values) or len(distinct) < 2:
        return 0.0
    with np.errstate(over="ignore"):
        once = distinct[counts == 1]
        deviation = _spread(once if len(once) > len(distinct) / 2 else distinct)
        span = min(distinct[-1] - distinct[0], _SPAN * deviation)
        gaps = np.diff(distinct)
        gaps = np.where(gaps > _ROUNDING * span, gaps, np.inf)
    nearest = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    closest = np.quantile(nearest[counts > 1], _CLOSEST, method="lower")
    usual = np.quantile(nearest, 0.5, method="lower")
    found = float(min(closest, max(usual, _WIDEST * deviation)))
    return found if np.isfinite(found) else 0.0
