"""Lines: learning curves, ensembles over orderings, and costs of benchmarks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from made_exp.reporting.figures.canvas import (
    BLUE,
    GREEN,
    MUTED,
    ORANGE,
    PALETTE,
    add_legend,
    new_figure,
    plain,
    render,
    style,
)

Series = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]
_MARKERS = "osD^vPX*"


def _one_plot(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = new_figure(820, 460)
    axes = figure.add_axes((0.1, 0.13, 0.86, 0.76))
    style(axes, title, x_label, y_label, fontsize=12, fontweight="bold", pad=12)
    return figure, axes


def nll_curves(
    epochs: Sequence[float],
    *,
    train: Sequence[float | None],
    valid: Sequence[float | None],
    best_epoch: float | None = None,
    baselines: Mapping[str, float] | None = None,
    title: str = "",
    path: str | Path | None = None,
) -> np.ndarray:
    """NLL on train and valid over the epochs of one run.

    Args:
        epochs: (E,) epochs at which the run was evaluated.
        train: (E,) nats per example, None where unknown.
        valid: (E,) nats per example, None where unknown.
        best_epoch: Where the checkpoint was taken that is reported.
        baselines: NLL of simple models by name, drawn as levels if they are in sight.
        title: One line above.
        path: Where to save a PNG.
    """
    figure, axes = _one_plot(title, "epoch", "NLL (nats per example)")
    marker = "." if len(epochs) < 40 else ""
    lines = {"train": (train, BLUE), "valid": (valid, ORANGE)}
    for name, (values, color) in lines.items():
        y = np.array([np.nan if value is None else value for value in values], np.float64)
        axes.plot(epochs, y, color=color, lw=1.8, marker=marker, label=name)
    low, high = robust_range(np.array([v for v in [*train, *valid] if v is not None], np.float64))
    axes.set_ylim(low, high)
    for name, level in (baselines or {}).items():
        if low < level < high:
            axes.axhline(level, color=MUTED, lw=1, ls=":", label=f"{name}: {level:.2f}")
    if best_epoch is not None:
        axes.axvline(best_epoch, color=GREEN, lw=1, ls="--", label=f"best epoch: {best_epoch:g}")
    add_legend(axes)
    return render(figure, path)


def robust_range(values: np.ndarray) -> tuple[float, float]:
    """Limits that show where curves end, not the heights from which they fall."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, middle = float(values.min()), float(np.median(values))
    high = min(float(values.max()), middle + 4 * (middle - low))
    pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - pad, high + pad


def nll_by_num_orderings(
    num_orderings: Sequence[int],
    nll: Sequence[float],
    nll_stderr: Sequence[float],
    *,
    title: str = "NLL of the mixture over orderings",
    path: str | Path | None = None,
) -> np.ndarray:
    """NLL of an ensemble as a function of the number of its orderings.

    Args:
        num_orderings: (M,) sizes of the mixture, increasing.
        nll: (M,) nats per example.
        nll_stderr: (M,) standard errors over the examples.
        title: One line above.
        path: Where to save a PNG.
    """
    figure, axes = _one_plot(title, "number of orderings", "NLL (nats per example)")
    x, y = np.asarray(num_orderings, np.float64), np.asarray(nll, np.float64)
    error = np.asarray(nll_stderr, np.float64)
    axes.fill_between(x, y - error, y + error, color=BLUE, alpha=0.15, lw=0, label="+- 1 s.e.")
    axes.plot(x, y, color=BLUE, lw=2, marker="o", ms=5, label="log-mean-exp over orderings")
    axes.set_xscale("log", base=2)
    ticks = [value for value in x if len(x) <= 8 or value == 2 ** int(np.log2(value))]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.annotate(
        f"{y[-1]:.2f} +- {error[-1]:.2f}",
        (x[-1], y[-1]),
        xytext=(0, 18),
        textcoords="offset points",
        ha="right",
        fontsize=9.5,
        color=BLUE,
    )
    add_legend(axes)
    return render(figure, path)


def cost_plot(
    series: Mapping[str, Series],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    path: str | Path | None = None,
) -> np.ndarray:
    """Costs against size on logarithmic axes, one line a method.

    Args:
        series: By method, sizes and costs (e.g. seconds or bytes), all > 0.
        x_label: What the sizes are, with their unit.
        y_label: What the costs are, with their unit.
        title: One line above.
        path: Where to save a PNG.
    """
    figure, axes = _one_plot(title, x_label, y_label)
    axes.set_position((0.1, 0.13, 0.66, 0.76))
    for index, (name, (x, y)) in enumerate(series.items()):
        color, marker = PALETTE[index % len(PALETTE)], _MARKERS[index % len(_MARKERS)]
        axes.plot(x, y, color=color, marker=marker, ms=5, lw=1.8, label=plain(name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted({float(value) for x, _ in series.values() for value in x})
    if len(sizes) <= 8:
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(True, which="minor", axis="y", color="#f0f2f4", linewidth=0.6)
    add_legend(axes, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return render(figure, path)
