"""How far apart the moments and durations of a column are, where that is more than their digits."""

import numpy as np
import polars as pl

from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.inference import MAX_SPAN
from made_exp.datasets.table.stored import dtype_of
from made_exp.datasets.table.whole import steps_in

_SECONDS = (86400, 3600, 60, 1)


def step_of(units: pl.Series, column: Numbers) -> int:
    """How many units a column of whole ones (N,) Int64, none of them null, counts at once.

    Durations in the largest of days, hours, minutes and seconds that all are multiples of, dates
    that span too many units in what all lie apart, or coarser.
    """
    if isinstance(column.format, DateFormat):
        return _apart(units.to_numpy())
    if isinstance(dtype_of(column.stored), pl.Duration):
        steps = (seconds * 10**column.decimals for seconds in _SECONDS)
        return next((step for step in steps if not steps_in(units, step)[1].any()), 1)
    return 1


def _apart(units: np.ndarray) -> int:
    span = int(units.max()) - int(units.min())
    if span <= MAX_SPAN:
        return 1
    step = int(np.gcd.reduce(units - units.min()))
    while span // step > MAX_SPAN:
        step *= 10
    return step
