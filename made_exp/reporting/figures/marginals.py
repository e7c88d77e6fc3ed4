"""One column of a table: how often its values are in the data, and over that in samples."""

from typing import NamedTuple, final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import blended_transform_factory

from made_exp.datasets.table.naming import by_number
from made_exp.reporting.fields import MISSING, UNSEEN, Field
from made_exp.reporting.figures.axis import axis_of, set_axis
from made_exp.reporting.figures.canvas import (
    BAR,
    BLUE,
    INK,
    MUTED,
    ORANGE,
    RULE,
    add_text,
    cut,
    pixel_axes,
    plain,
    style,
)

MAX_BARS = 12
_MAX_SPIKES, _MIN_SPIKE = 4, 0.1  # share of the rows that makes a value of a number a bar
_HEAD, _HISTOGRAM = 14, 190  # pixels
_LABEL, _NUMBERS, _BAR = 120, 84, 15  # pixels: beside bars, right of them, and one bar
_TOLD = 0.0005  # share of the rows beyond an axis
_APART = 4.0  # z-score from which a column is marked


class Share(NamedTuple):
    """A bar: its name, and the share of the rows in the data and in the samples."""

    name: str
    data: float
    samples: float


@final
class Marginal:
    """Data (n,) and samples (m,) of one column, NaN where missing, ready to be drawn.

    Attributes:
        bars: Categories, numbers of few values, spikes of other numbers, and missing cells.
        rest: Numbers of data and samples that a histogram shows below the bars; maybe none.
        height: Pixels that they need.
    """

    def __init__(self, field: Field, data: np.ndarray, samples: np.ndarray) -> None:
        self.field, self.missing = field, float(np.isnan(data).mean())
        if not field.is_missing_a_value:
            data, samples = (x[~np.isnan(x)] for x in (data, samples))
        self.bars, own = bars_of(field, data, samples)
        self.sizes = len(data), len(samples)
        self.rest = [np.zeros(0)] * 2
        if own is not None:
            self.rest = [x[~np.isnan(x) & ~np.isin(x, own)] for x in (data, samples)]
        has_rest = bool(len(self.rest[0]) or len(self.rest[1]))
        self.height = _HEAD + len(self.bars) * _BAR + 4 + has_rest * _HISTOGRAM

    def draw(self, figure: Figure, left: float, top: float, width: float, z: float) -> None:
        """Data in grey, samples in blue over them, in pixels from the upper left corner."""
        add_text(figure, left, top, cut(self.field.name, 30), size=10.5, fontweight="bold")
        note = f"z {z:.1f}"
        if self.missing and not self.field.is_missing_a_value:
            note = f"{self.missing:.0%} {MISSING}, {note}"
        color = ORANGE if z > _APART else MUTED
        add_text(figure, left + width, top, note, size=8.5, color=color, ha="right")
        top += _HEAD
        if self.bars:
            height = len(self.bars) * _BAR + 4
            axes = pixel_axes(figure, left + _LABEL, top, width - _LABEL - _NUMBERS, height)
            _draw_bars(axes, self.bars)
            top += height
        if len(self.rest[0]) or len(self.rest[1]):
            axes = pixel_axes(figure, left + 40, top + 8, width - 44, _HISTOGRAM - 34)
            _draw_histogram(axes, self.field, self.rest[0], self.rest[1], self.sizes)


def bars_of(
    field: Field, data: np.ndarray, samples: np.ndarray
) -> tuple[list[Share], np.ndarray | None]:
    """The bars of a column, and the numbers that they stand for; None if they show every row."""
    known, drawn = (x[~np.isnan(x)] for x in (data, samples))
    values, counts = np.unique(known, return_counts=True)
    own: np.ndarray | None = None
    if field.names is not None:
        order = np.argsort(-counts, kind="stable")
        shown = values[order[: MAX_BARS if len(values) <= MAX_BARS else MAX_BARS - 1]]
        shown = shown[by_number([field.text(value) for value in shown])]
    elif len(values) <= MAX_BARS and 2 * np.isin(drawn, values).sum() >= len(drawn):
        shown = values
    else:
        own = shown = _spikes(known, drawn)
    bars = [_share(field.text(v), data == v, samples == v) for v in shown]
    if own is None:
        others = [~np.isnan(x) & ~np.isin(x, shown) for x in (data, samples)]
        count = len(values) - len(shown)
        kinds = {field.text(value) for value in np.unique(samples[others[1]])}
        name = UNSEEN if kinds == {UNSEEN} and not count else "other"
        bars.append(_share(f"{count} others" if count > 1 else name, *others))
    bars.append(_share(MISSING, np.isnan(data), np.isnan(samples)))
    return [bar for bar in bars if bar.data or bar.samples], own


def _spikes(data: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Values that a tenth of the data or of the samples share, the most frequent ones, rising."""
    shares: dict[float, float] = {}
    for x in (data, samples):
        values, counts = np.unique(x, return_counts=True)
        for value, count in zip(values, counts, strict=True):
            if count >= max(_MIN_SPIKE * len(x), 3):
                shares[value] = max(shares.get(value, 0.0), count / len(x))
    return np.array(sorted(sorted(shares, key=shares.__getitem__)[-_MAX_SPIKES:]))


def _share(name: str, data: np.ndarray, samples: np.ndarray) -> Share:
    return Share(name, *(float(x.mean()) if len(x) else 0.0 for x in (data, samples)))


def _draw_bars(axes: Axes, bars: list[Share]) -> None:
    places = np.arange(len(bars))
    axes.barh(places, [bar.data for bar in bars], 0.84, color=BAR)
    axes.barh(places, [bar.samples for bar in bars], 0.36, color=BLUE)
    axes.set(ylim=(len(bars) - 0.5, -0.5), xticks=[])
    axes.set_yticks(places, [plain(cut(bar.name, 17)) for bar in bars])
    axes.tick_params(labelsize=8.5, colors=INK, length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(RULE)
    right = blended_transform_factory(axes.transAxes, axes.transData)
    for place, bar in enumerate(bars):
        for x, share, color in ((1.0, bar.data, MUTED), (1.0, bar.samples, BLUE)):
            offset = 40 if color == MUTED else 82
            axes.annotate(
                f"{share:.1%}",
                (x, place),
                xycoords=right,
                xytext=(offset * 0.72, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                color=color,
            )


def _draw_histogram(
    axes: Axes, field: Field, data: np.ndarray, samples: np.ndarray, sizes: tuple[int, int]
) -> None:
    """Shares of all rows (of `sizes`) in the bins that suit the data."""
    axis = axis_of(field, data if len(data) else samples)
    data_shares, sample_shares = (
        np.histogram(x, axis.edges)[0] / max(size, 1)
        for x, size in zip((data, samples), sizes, strict=True)
    )
    axes.stairs(data_shares, axis.edges, fill=True, color=BAR)
    axes.stairs(sample_shares, axis.edges, color=BLUE, lw=1.4)
    style(axes)
    axes.tick_params(labelsize=8)
    set_axis(axes, "x", axis, field)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(0, 1.08 * max(data_shares.max(), sample_shares.max(), 1e-9))
    beyond = [
        float(((x < axis.edges[0]) | (x > axis.edges[-1])).sum()) / max(size, 1)
        for x, size in zip((data, samples), sizes, strict=True)
    ]
    if max(beyond) >= _TOLD:
        text = f"beyond: {beyond[0]:.1%}, samples {beyond[1]:.1%}"
        axes.text(
            1, 1, text, fontsize=8, color=MUTED, ha="right", va="top", transform=axes.transAxes
        )
