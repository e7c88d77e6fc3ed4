"""The axis of a column of numbers or dates: its range, its scale, and bins that suit both."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import MONTHLY, AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import AsinhLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from made_exp.reporting.fields import Field

_NUM_BINS = 40
_TAIL = 0.005  # of the data on each side may lie beyond the axis
_FINEST = 2.0**-52  # of a span: that all differences are multiples of less says nothing
_SPAN, _BENT = 30.0, 50.0  # ratios of large to small from which a scale may be bent
# Ticks on an axis of dates. With fewer of the longest intervals, of 6 months, 12 hours, 30 minutes
# or 30 seconds, there are none that suit nearly 3 years, days, hours or minutes.
_FEWEST, _MOST = 3, 7


class Axis(NamedTuple):
    """Bins (E + 1 edges, rising) of an axis, its scale, and where a bent scale turns linear."""

    edges: np.ndarray
    scale: str = "linear"
    bend: float = 1.0


def axis_of(field: Field, x: np.ndarray) -> Axis:
    """The axis for numbers (n,), n > 0; far outliers lie beyond it.

    It is logarithmic for positive numbers of very different size, and bent on both sides of 0
    where the model bends them.
    """
    months = _months(x) if field.is_date else None
    if months is not None:
        return Axis(months)
    step, (low, high) = _step(x), np.quantile(x, [_TAIL, 1 - _TAIL])
    if x.min() > 0 and _is_logarithmic(low, float(np.median(x)), high):
        edges = np.exp(_even(*_range(np.log(x))))
        return Axis(_snapped(edges, step, float(x.min())) if step else edges, "log")
    if x.min() < 0 < x.max() and field.bend and high / 4 - low / 4 >= _BENT * field.bend / 4:
        edges = field.bend * np.sinh(_even(*_range(np.arcsinh(x / field.bend))))
        return Axis(edges, "asinh", field.bend)
    low, high = _range(x)
    if not step or high - low > 10 * _NUM_BINS * step:
        return Axis(_even(low, high))
    width = step * np.ceil(max((high - low) / step, 1) / _NUM_BINS)
    return Axis(np.arange(low - step / 2, high + width, width))


def _months(x: np.ndarray) -> np.ndarray | None:
    """Edges at the beginnings of months, where all days (n,) since 1970 are such; else None."""
    if (x % 1).any():
        return None
    days = x.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if (months.astype("datetime64[D]") != days).any() or (x == x[0]).all():
        return None
    low, high = _range(months.astype(float))
    width = np.ceil((high - low + 1) / _NUM_BINS)
    edges = np.arange(low, high + 1 + width, width).astype(int).astype("datetime64[M]")
    return edges.astype("datetime64[D]").astype(float)


def _snapped(edges: np.ndarray, step: float, value: float) -> np.ndarray:
    """The edges in the middle between numbers of a grid that holds `value`, none of them empty."""
    ends = np.round((edges[[0, -1]] - value) / step) + [-0.5, 0.5]
    inner = np.round((edges - value) / step) - 0.5
    kept = inner[(inner > ends[0]) & (inner < ends[1])]
    return np.unique(np.concatenate([ends, kept])) * step + value


def _is_logarithmic(low: float, middle: float, high: float) -> bool:
    """Whether the median of positive numbers is nearer to the middle of a logarithmic axis."""
    if high / _SPAN < low or not low < middle < high:
        return False
    linear = (middle - low) / (high - low)
    low, middle, high = np.log([low, middle, high])  # their ratios may be too large
    bent = (middle - low) / (high - low)
    return bool(abs(bent - 0.5) < abs(linear - 0.5))


def _range(x: np.ndarray) -> tuple[float, float]:
    """From the smallest to the largest, but for tails that would take more than half."""
    low, high = np.quantile(x, [_TAIL, 1 - _TAIL], method="nearest")
    if x.max() / 4 - x.min() / 4 <= high / 2 - low / 2:
        low, high = x.min(), x.max()
    return float(low), float(high)


def _even(low: float, high: float) -> np.ndarray:
    pad = 0.0 if high > low else 0.5 * abs(low) or 0.5
    return 4 * np.linspace((low - pad) / 4, (high + pad) / 4, _NUM_BINS + 1)


def _step(x: np.ndarray) -> float:
    """The step of which all differences of numbers (n,) are multiples; 0 where there is none."""
    values = np.unique(x)
    if len(values) == 1:
        return 1.0 if float(values[0]).is_integer() else 0.0
    steps = np.diff(values)
    step = float(steps.min())
    if step < _FINEST * float(steps.max()):
        return 0.0
    multiples = steps / step
    is_even = np.abs(multiples - np.round(multiples)).max() < 1e-3
    return step if is_even and len(values) > 2 else 0.0


def set_axis(axes: Axes, name: str, axis: Axis, field: Field) -> None:
    """Give the axis "x" or "y" of `axes` its range, scale and ticks."""
    options = {"linear_width": axis.bend} if axis.scale == "asinh" else {}
    getattr(axes, f"set_{name}lim")(axis.edges[0], axis.edges[-1])
    getattr(axes, f"set_{name}scale")(axis.scale, **options)
    ticks = getattr(axes, f"{name}axis")
    if field.is_date:
        locator = AutoDateLocator(minticks=_FEWEST, maxticks=_MOST)
        ticks.set_major_locator(locator)
        ticks.set_major_formatter(ConciseDateFormatter(locator))
        if field.is_quarter:
            locator.intervald[MONTHLY] = [3, 6]
            ticks.set_major_formatter(FuncFormatter(lambda value, _: field.text(value)))
        return
    if axis.scale == "linear":
        ticks.set_major_locator(MaxNLocator(5))
    elif axis.scale == "log":
        decades = np.ptp(np.log10(axis.edges[[0, -1]]))
        ticks.set_major_locator(LogLocator(subs=(1.0,) if decades > 3 else (1.0, 3.0), numticks=8))
    else:
        ticks.set_major_locator(AsinhLocator(axis.bend, numticks=6))
    ticks.set_major_formatter(FuncFormatter(lambda value, _: field.text(value)))
    ticks.set_minor_formatter(NullFormatter())
