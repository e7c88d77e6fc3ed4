"""Two columns of a table together, in the data and in samples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from made_exp.reporting.comparison import Record
from made_exp.reporting.fields import Bins, Field, bins_of
from made_exp.reporting.figures.axis import axis_of, set_axis
from made_exp.reporting.figures.canvas import (
    BLUE,
    INK,
    MUTED,
    add_text,
    cut,
    pixel_axes,
    plain,
    style,
)
from made_exp.reporting.figures.marginals import MAX_BARS

_NUM_BINS, _MAX_POINTS = 8, 1000
_MIN_ROWS = 20  # of a bin, for its shares to have a say in how dark all others are
_LEFT, _BOTTOM, _BETWEEN = 124, 104, 16  # pixels


class Box(NamedTuple):
    """A rectangle in pixels from the upper left corner of a picture."""

    left: float
    top: float
    width: float
    height: float


def draw_pair(
    figure: Figure,
    box: Box,
    fields: Sequence[Field],
    data: np.ndarray,
    samples: np.ndarray,
    record: Record,
) -> None:
    """Data (n, 2) beside samples (m, 2): dots of two numbers, else shares of bins.

    The shares are those of the second column among rows of each bin of the first.
    """
    names = " \N{MULTIPLICATION SIGN} ".join(cut(field.name, 28) for field in fields)
    add_text(figure, box.left, box.top, names, size=10.5, fontweight="bold")
    shares = f"data {record['data']:.3f}, samples {record['samples']:.3f} nats"
    note = f"one pattern of both: {shares}, z {record['z']:.1f}"
    right = box.left + box.width
    add_text(figure, right, box.top, note, size=8.5, color=MUTED, ha="right")
    width = (box.width - _LEFT - _BETWEEN) / 2
    height = box.height - 36 - _BOTTOM
    places = [box.left + _LEFT + index * (width + _BETWEEN) for index in (0, 1)]
    panels = [pixel_axes(figure, left, box.top + 34, width, height) for left in places]
    complete = [x[~np.isnan(x).any(axis=1)] for x in (data, samples)]
    if all(_is_dense(field, complete[0][:, d]) for d, field in enumerate(fields)):
        _draw_dots(panels, fields, complete)
    else:
        _draw_shares(panels, fields, (data, samples))
    for axes, name in zip(panels, ("data", "samples"), strict=True):
        axes.set_title(name, fontsize=9, color=MUTED, loc="left", pad=4)
    panels[0].set_ylabel("" if box.width < 400 else plain(cut(fields[1].name, 26)), fontsize=9)
    panels[1].tick_params(labelleft=False)


def _is_dense(field: Field, x: np.ndarray) -> bool:
    return field.names is None and len(np.unique(x)) > MAX_BARS


def _draw_dots(
    panels: Sequence[Axes], fields: Sequence[Field], tables: Sequence[np.ndarray]
) -> None:
    ranges = [axis_of(field, tables[0][:, d]) for d, field in enumerate(fields)]
    for axes, x, color in zip(panels, tables, (INK, BLUE), strict=True):
        style(axes)
        axes.tick_params(labelsize=8)
        axes.plot(*x[:_MAX_POINTS].T, ".", color=color, ms=3.5, alpha=0.45, mew=0)
        for name, axis, field in zip("xy", ranges, fields, strict=True):
            set_axis(axes, name, axis, field)
        axes.set_xlabel(plain(cut(fields[0].name, 34)), fontsize=9)


def _draw_shares(
    panels: Sequence[Axes], fields: Sequence[Field], tables: Sequence[np.ndarray]
) -> None:
    pooled = np.concatenate(tables)
    bins = [bins_of(pooled[:, d], field, _NUM_BINS) for d, field in enumerate(fields)]
    counts = np.stack([_joint(bins, x) for x in tables])
    used = [np.flatnonzero(counts.sum(axis=(0, axis))) for axis in (2, 1)]
    counts = counts[:, used[0]][:, :, used[1]]
    rows = counts.sum(axis=2, keepdims=True)
    shares = counts / np.maximum(rows, 1)
    darkest = np.where(rows >= _MIN_ROWS, shares, 0).max() or 1
    x_names, y_names = (
        [plain(cut(b.labels[code], 23)) for code in codes]
        for b, codes in zip(bins, used, strict=True)
    )
    for axes, table in zip(panels, shares, strict=True):
        axes.imshow(table.T, cmap="Blues", vmin=0, vmax=darkest, aspect="auto", origin="lower")
        axes.set_xticks(
            range(len(x_names)), x_names, rotation=30, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(y_names)), y_names)
        axes.tick_params(labelsize=8, colors=INK, length=2)
        axes.spines[:].set_visible(False)


def _joint(bins: Sequence[Bins], x: np.ndarray) -> np.ndarray:
    """Counts of the bins of two columns of x (n, 2)."""
    shape = tuple(len(b.labels) for b in bins)
    first, second = (b.codes(x[:, d]) for d, b in enumerate(bins))
    is_known = (first >= 0) & (second >= 0)
    counts = np.zeros(shape)
    np.add.at(counts, (first[is_known], second[is_known]), 1)
    return counts
