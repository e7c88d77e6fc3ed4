"""Columns of real numbers that others determine, so that their density has no bound."""

from collections.abc import Sequence

import numpy as np

from made_exp.datasets.table.column import Column
from made_exp.datasets.table.raw import listed

_ROWS = 2000
# Of a column's deviation, what is left beside the others: not more than rounding leaves.
_NOTHING = 1e-10
_MOST = 5


def dependent_columns(
    columns: Sequence[Column], values: Sequence[np.ndarray], rows: np.ndarray
) -> list[str]:
    """What of the columns is c = w_0 + sum over earlier ones of w_j x_j in all rows, a line each.

    Args:
        columns: Those that are modelled.
        values: (N,) float64 of each, NaN where missing.
        rows: Numbers of the rows of train; the first are looked at that miss nothing.
    """
    pairs = zip(columns, values, strict=True)
    real = [(c.name, v) for c, v in pairs if c.variable is not None and c.variable.is_real]
    if len(real) < 2:
        return []
    x = np.stack([value[rows[:_ROWS]] for _, value in real], axis=1)
    x = x[np.isfinite(x).all(1)]
    if len(x) < 2 * len(real):
        return []
    # The squares of numbers such as 1e300 are too large; powers of two leave their digits alone.
    x = np.ldexp(x, -np.frexp(np.abs(x).max(0))[1])
    deviations = x.std(0)
    varies = deviations > 0
    spread = np.where(varies, deviations, 1)
    rounding = 10 * np.finfo(float).eps * (np.abs(x).max(0) / spread).max()
    x = (x - x.mean(0)) / spread
    left = np.abs(np.asarray(np.linalg.qr(x, mode="r")).diagonal()) / np.sqrt(len(x))
    found = [int(d) for d in np.flatnonzero(varies & (left < max(_NOTHING, rounding))) if d]
    said = (_said(x, d, [name for name, _ in real]) for d in found[:_MOST])
    lines = [line for line in said if line]
    more = len(found) - _MOST
    return lines + [f"... and {more} more columns that others determine"] * (more > 0)


def _said(x: np.ndarray, d: int, names: Sequence[str]) -> str:
    """What it follows from; "" where none of the earlier columns has a part in it."""
    weights = np.linalg.lstsq(x[:, :d], x[:, d], rcond=1e-9)[0]
    by = [names[int(j)] for j in np.flatnonzero(np.abs(weights) > 1e-6)]
    if not by:
        return ""
    return (
        f"column '{names[d]}' follows from {listed(by)} by a linear formula: its density given "
        f"them has no bound, so the NLL says nothing; leave it out: "
        f"'dataset.drop=[{names[d]}]'"
    )
