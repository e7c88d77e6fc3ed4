"""What is read from the distribution of a column: means, quantiles, and how they are written."""

import math

import numpy as np

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.months import MEAN_MONTH, MONTHS
from made_exp.density.events import last_digit
from made_exp.density.spread import Spread
from made_exp.density.tokens import QueryError, as_name

_UNITS = (("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1))


def numbers_of(spread: Spread) -> np.ndarray:
    """The values (J,) as numbers of the table, NaN where missing.

    Raises:
        QueryError: If they are none.
    """
    column, variable = spread.column, spread.column.variable
    assert variable is not None
    if isinstance(column, Numbers):
        if variable.num_values is None:
            return np.clip(spread.values, column.low, column.high)
        return (spread.values * column.step + column.offset) / 10**column.decimals
    table = column.numbers if isinstance(column, Categories) else None
    if table is None:
        raise QueryError(
            f"'{column.name}' holds {column.kind} values, which have no mean and no order: "
            f"ask for distribution({as_name(column.name)})"
        )
    known = ~np.isnan(spread.values)
    found = np.full(len(spread.values), math.nan)
    found[known] = table[spread.values[known].astype(int)]
    return found


def written(column: Column, number: float) -> str | None:
    """A date or time in the words of its column; None of plain numbers."""
    if not isinstance(column, Numbers) or not isinstance(column.format, DateFormat):
        return None
    is_real = column.variable is not None and column.variable.is_real
    value = number if is_real else (number - column.offset) / column.step
    text: str = column.decode(np.array([value]))[0]
    return text


def error_written(column: Column, error: float) -> str:
    """A standard error of dates or times, in the largest unit of which it is one; "" of others."""
    if not isinstance(column, Numbers) or not isinstance(column.format, DateFormat) or not error:
        return ""
    seconds = error * column.format.microseconds / 10**6
    units = (("months", MEAN_MONTH), *_UNITS) if column.format.unit in MONTHS else _UNITS
    name, size = next((pair for pair in units if seconds >= pair[1]), _UNITS[-1])
    count = float(f"{seconds / size:.2g}")
    return f"{count:g} {name.removesuffix('s') if count == 1 else name}"


def mean(spread: Spread) -> tuple[float, float]:
    """Mean and standard error of a column's cells that are there."""
    numbers = numbers_of(spread)
    known = ~np.isnan(numbers)
    return spread.mean_of(np.nan_to_num(numbers), known)


def quantile(spread: Spread, level: float) -> tuple[float, float]:
    """The value below which a share `level` of the cells lies, and its standard error."""
    numbers = numbers_of(spread)
    is_known = ~np.isnan(numbers)
    spread.mean_of(np.ones(len(numbers)), is_known)  # raises where there is nothing
    known = np.flatnonzero(is_known)
    order = known[np.argsort(numbers[known], kind="stable")]
    probs = spread.probs[order] / spread.probs[order].sum()
    ends = probs.cumsum()
    place = min(int(np.searchsorted(ends, level * (1 - 1e-12))), len(order) - 1)
    at = order[place]
    low, high = (_edge(spread, at, side, numbers) for side in (0, 1))
    inside = (level - (ends[place] - probs[place])) / max(probs[place], 1e-300)
    value = numbers[at] if low == high else low + min(max(inside, 0.0), 1.0) * (high - low)
    below = np.zeros(len(numbers))
    below[order[: place + 1]] = 1.0
    _, error = spread.mean_of(below, is_known)
    width = high - low
    if not width:  # of values by themselves: half of the way to the next on both sides
        near = numbers[order[max(place - 1, 0) : place + 2]]
        width = (near[-1] - near[0]) / max(len(near) - 1, 1)
    return float(value), float(error * width / max(probs[place], 1e-300))


def _edge(spread: Spread, at: int, side: int, numbers: np.ndarray) -> float:
    """The end of a cell of a real column; the value itself of whole numbers and atoms."""
    variable, edges = spread.column.variable, spread.subsets[at].edges
    assert variable is not None
    end = edges[-side]
    is_wide = edges[-1] - edges[0] > 1.5 * last_digit(variable)
    if not variable.is_number or not is_wide or math.isinf(end):
        return float(numbers[at])
    column = spread.column
    assert isinstance(column, Numbers)
    if variable.is_real:
        return float(np.clip(end, column.low, column.high))
    whole = end + 0.5 if side == 0 else end - 0.5
    return (whole * column.step + column.offset) / 10**column.decimals
