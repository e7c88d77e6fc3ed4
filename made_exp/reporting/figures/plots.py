"""Plots: distributions of one or two discrete variables, and NLL by number of orderings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from made_exp.reporting.figures.canvas import (
    BAR,
    BLUE,
    INK,
    MUTED,
    ORANGE,
    count,
    new_plots,
    plain,
    render,
    style,
)

_MAX_SMOOTHING = 6.0  # cells
_MAP, _DIFFERENCE_MAP = "magma", "RdBu_r"


def density_1d(
    learned: np.ndarray,
    data: np.ndarray,
    *,
    true: np.ndarray | None = None,
    title: str = "",
    width: int = 900,
) -> np.ndarray:
    """Learned probabilities of one variable over the data's histogram.

    Args:
        learned: (V,) probabilities of the values 0..V-1.
        data: (N,) values of the data.
        true: (V,) probabilities under the density that the data were drawn from.
        title: One line above.
        width: Of the picture, in pixels.
    """
    learned = np.asarray(learned, np.float64)
    values = np.arange(len(learned))
    figure, (axes,) = new_plots(width, min(width, 440), title)
    counts = np.bincount(np.asarray(data).astype(np.int64).ravel(), minlength=len(learned))
    axes.bar(values, counts / max(counts.sum(), 1), width=1.0, color=BAR, label="training data")
    axes.stairs(learned, np.arange(len(learned) + 1) - 0.5, color=BLUE, lw=2, label="learned")
    if true is not None:
        axes.plot(values, true, color=ORANGE, lw=1.5, ls="--", label="true")
    style(axes, "", "value", "probability")
    axes.xaxis.set_major_locator(MaxNLocator(max(3, width // 75), integer=True))
    return render(figure)


def density_2d(
    learned: np.ndarray,
    *,
    true: np.ndarray | None = None,
    samples: np.ndarray | None = None,
    title: str = "",
) -> np.ndarray:
    """True density, learned density, their difference, and samples, all upright.

    Variable 0 is the row, counted from the top, and variable 1 the column, as in a picture.
    True and learned share one colour scale.

    Args:
        learned: (V0, V1) probabilities.
        true: (V0, V1) probabilities that the data were drawn from.
        samples: (n, 2) values drawn from the model.
        title: One line above.
    """
    learned = np.asarray(learned, np.float64)
    num_panels = 1 + 2 * (true is not None) + (samples is not None)
    figure, panels = new_plots(num_panels * 418 + 8, 422, title, num_panels)
    top = float(np.max(learned if true is None else true))
    shades: dict[str, Any] = {"cmap": _MAP, "vmin": 0, "vmax": top}
    place = iter(panels)
    if true is not None:
        _density(next(place), "True", np.asarray(true, np.float64), "probability", **shades)
    _density(next(place), "Learned", learned, "probability", **shades)
    scale = dict(shades)
    if true is not None:
        difference = learned - np.asarray(true, np.float64)
        limit = float(np.quantile(np.abs(difference), 0.999)) or 1e-12
        shades = {"cmap": _DIFFERENCE_MAP, "vmin": -limit, "vmax": limit}
        _density(next(place), "Learned - true", difference, "difference of probability", **shades)
    if samples is not None:
        _samples(next(place), np.asarray(samples), learned.shape, **scale)
    for axes in panels:
        axes.set(xlim=(-0.5, learned.shape[1] - 0.5), ylim=(learned.shape[0] - 0.5, -0.5))
    return render(figure)


def density_plane(
    learned: np.ndarray,
    edges: tuple[np.ndarray, np.ndarray],
    *,
    data: np.ndarray,
    samples: np.ndarray,
    names: tuple[str, str],
    title: str = "",
    only_learned: bool = False,
) -> np.ndarray:
    """Two real variables: data, samples, and the learned density, on one range.

    Args:
        learned: (G, H) density in the middle of the cells of a grid, variable 0 first.
        edges: (G + 1,) and (H + 1,) ends of the cells, evenly spaced.
        data: (n, 2) examples of the data.
        samples: (m, 2) values drawn from the model.
        names: Of both variables; the first is across.
        title: One line above.
        only_learned: Whether data and samples are left out.
    """
    num_panels = 1 if only_learned else 3
    figure, panels = new_plots(num_panels * 418 + 8, 422, title, num_panels)
    x_ends, y_ends = ((float(ends[0]), float(ends[-1])) for ends in edges)
    for axes, rows, name, color in zip(
        panels[:-1], (data, samples), ("rows of the data", "samples"), (INK, BLUE), strict=False
    ):
        axes.plot(*rows.T, ".", color=color, ms=4, alpha=0.4, mew=0)
        style(axes, f"{count(len(rows))} {name}", *names)
    top = float(np.quantile(learned, 0.999)) or 1e-12
    shades: dict[str, Any] = {"cmap": _MAP, "vmin": 0, "vmax": top, "origin": "lower"}
    shades |= {"aspect": "auto", "extent": (*x_ends, *y_ends)}
    _density(panels[-1], "Learned density", learned.T, "density", **shades)
    style(panels[-1], "Learned density", *names)
    for axes in panels:
        axes.set(xlim=x_ends, ylim=y_ends)
    return render(figure)


def _density(axes: Axes, title: str, table: np.ndarray, unit: str, **shades: Any) -> None:
    """A table as colours, with its colour bar."""
    shades = {"aspect": "equal", **shades}
    image = axes.imshow(table, interpolation="nearest", **shades)
    style(axes, title, "variable 1 (column)", "variable 0 (row)")
    ticks = ScalarFormatter()
    ticks.set_powerlimits((-2, 3))
    bar = axes.figure.colorbar(image, ax=axes, format=ticks, fraction=0.04, aspect=27)
    bar.set_label(plain(unit), fontsize=8.5, color=MUTED)
    bar.ax.tick_params(labelsize=8, colors=MUTED, length=2)
    bar.ax.yaxis.get_offset_text().set(fontsize=8, color=MUTED)
    bar.outline.set_visible(False)


def _samples(axes: Axes, samples: np.ndarray, shape: tuple[int, ...], **shades: Any) -> None:
    """Samples (n, 2): their shares, smoothed over a few cells, or dots where they are few."""
    name, width = f"{count(len(samples))} samples", smoothing(len(samples), shape)
    if width > _MAX_SMOOTHING:
        axes.set_facecolor("#f7f8fa")
        spread = np.random.default_rng(0).uniform(-0.4, 0.4, size=samples.shape)
        rows, columns = (samples + spread).T
        axes.plot(columns, rows, ".", color=INK, ms=3, alpha=0.6, mew=0)
        style(axes, name, "variable 1 (column)", "variable 0 (row)")
        axes.grid(False)
        return
    counts = np.zeros(shape)
    np.add.at(counts, tuple(samples.astype(np.int64).T), 1)
    if width:
        name += f", smoothed ({width:.1f})"
    _density(axes, name, smoothed(counts / len(samples), width), "share", **shades)


def smoothing(num_samples: int, shape: tuple[int, ...]) -> float:
    """Standard deviation, in cells, of a kernel that sees 40 samples; 0 where a cell has as many.

    The kernel sees those of 4 pi width^2 cells.
    """
    cells = 40 * math.prod(shape) / max(num_samples, 1)
    return math.sqrt(cells / (4 * math.pi)) if cells > 1 else 0.0


def smoothed(table: np.ndarray, width: float) -> np.ndarray:
    """A table (V0, V1) smoothed by a Gaussian kernel; what would fall outside stays inside."""
    for axis, size in enumerate(table.shape):
        places = np.arange(size)
        distances = (places[:, None] - places) / max(width, 1e-3)
        kernel = np.exp(-0.5 * np.minimum(distances**2, 1400.0))
        kernel /= kernel.sum(axis=0)
        table = np.moveaxis(np.tensordot(kernel, table, axes=(1, axis)), 0, axis)
    return table


def nll_by_num_orderings(
    num_orderings: Sequence[int],
    nll: Sequence[float],
    nll_stderr: Sequence[float],
    *,
    title: str = "NLL of the mixture over orderings",
) -> np.ndarray:
    """NLL (M,) and standard errors (M,) in nats per example, by number of orderings (M,)."""
    figure, (axes,) = new_plots(820, 460, title)
    x, y = np.asarray(num_orderings, np.float64), np.asarray(nll, np.float64)
    error = np.asarray(nll_stderr, np.float64)
    axes.fill_between(x, y - error, y + error, color=BLUE, alpha=0.15, lw=0, label="+- 1 s.e.")
    axes.plot(x, y, color=BLUE, lw=2, marker="o", ms=5, label="log-mean-exp over orderings")
    axes.set_xscale("log", base=2)
    ticks = [value for value in x if len(x) <= 8 or value == 2 ** int(np.log2(value))]
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()
    axes.annotate(
        f"{y[-1]:.2f} +- {error[-1]:.2f}",
        (x[-1], y[-1]),
        xytext=(0, 18),
        textcoords="offset points",
        ha="right",
        fontsize=9.5,
        color=BLUE,
    )
    style(axes, "", "number of orderings", "NLL (nats per example)")
    return render(figure)
