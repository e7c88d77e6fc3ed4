"""Whether probabilities mean what they say, and where a likelihood comes from."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from made_exp.reporting.figures.canvas import (
    BAR,
    BLUE,
    CARD,
    INK,
    MUTED,
    ORANGE,
    count,
    cut,
    new_figure,
    new_plots,
    plain,
    render,
    style,
)

_MIN_COUNT = 20  # predictions that make a point
_MAX_PANELS, _ACROSS, _NUM_BINS = 12, 4, 20
_MAX_BARS = 40
_CARD_PANELS, _CARD_BARS = 3, 12
_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)


def reliability(
    predicted: np.ndarray,
    observed: np.ndarray,
    counts: np.ndarray,
    *,
    title: str = "",
    is_card: bool = False,
) -> np.ndarray:
    """Predicted probabilities against the share of them that came true.

    Args:
        predicted: (K,) mean prediction of each bin, NaN where it is empty.
        observed: (K,) share that came true.
        counts: (K,) predictions in it.
        title: One line above.
        is_card: Whether it is to be as small as a card of TensorBoard.
    """
    figure, (axes,) = new_plots(CARD, CARD, title) if is_card else new_plots(620, 600, title)
    shown = counts >= _MIN_COUNT
    x, y, n = (np.asarray(values)[shown] for values in (predicted, observed, counts))
    error = np.sqrt(np.maximum(x * (1 - x), 1e-12) / n)
    low, high = 5e-4, 1 - 5e-4
    axes.plot([low, high], [low, high], color=ORANGE, lw=1.2, ls="--", label="as predicted")
    bounds = np.clip([y - 2 * error, y + 2 * error], low, high)
    axes.vlines(x, *bounds, color=BLUE, alpha=0.35, lw=2, label="+- 2 s.e.")
    sizes = 14 + 90 * np.sqrt(n / n.max()) if len(n) else n
    place = np.clip(x, low, high), np.clip(y, low, high)
    axes.scatter(*place, sizes, color=BLUE, alpha=0.85, lw=0, label="observed, larger: more")
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("logit")
        axis.set_ticks(_TICKS[:: 2 if is_card else 1])
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    note = f"{count(int(np.sum(counts)))} predictions"
    style(axes, note, "predicted probability", "observed frequency")
    return render(figure)


def pit_histograms(
    places: Mapping[str, np.ndarray], *, title: str = "", is_card: bool = False
) -> np.ndarray:
    """Histograms of where values fell in their conditionals, the least uniform ones first.

    Args:
        places: By variable (n,) in 0..1.
        title: One line above.
        is_card: Whether it is to be as small as a card of TensorBoard: the worst three.
    """
    ranked = sorted(places, key=lambda name: -_unevenness(places[name]))
    ranked = ranked[: _CARD_PANELS if is_card else _MAX_PANELS]
    across = 1 if is_card else min(_ACROSS, len(ranked))
    rows = -(-len(ranked) // across)
    width = CARD if is_card else max(300 * across, 420)
    figure = new_figure(width, 64 + 210 * rows, title)
    top = 1 - 40 / (64 + 210 * rows)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, top), w_pad=0.08, h_pad=0.08)
    panels = figure.subplots(rows, across, squeeze=False).ravel()
    for axes, name in zip(panels, ranked, strict=False):
        _pit(axes, name, places[name])
    for axes in panels[len(ranked) :]:
        axes.set_axis_off()
    return render(figure)


def _unevenness(places: np.ndarray) -> float:
    """Chi square of a histogram against the uniform one, by its degrees of freedom."""
    if not len(places):
        return 0.0
    expected = len(places) / _NUM_BINS
    counts = np.histogram(places, _NUM_BINS, (0, 1))[0]
    return float(((counts - expected) ** 2 / expected).sum() / (_NUM_BINS - 1))


def _pit(axes: Axes, name: str, places: np.ndarray) -> None:
    number = max(len(places), 1)
    counts, edges = np.histogram(places, _NUM_BINS, (0, 1))
    error = 2 * np.sqrt((1 - 1 / _NUM_BINS) * _NUM_BINS / number)
    axes.axhspan(1 - error, 1 + error, color=ORANGE, alpha=0.16, lw=0)
    axes.axhline(1, color=ORANGE, lw=1, ls="--")
    axes.stairs(counts / number * _NUM_BINS, edges, fill=True, color=BLUE, alpha=0.75)
    style(axes, cut(name, 26))
    axes.set(xlim=(0, 1), ylim=(0, max(1.5, 1.15 * float(counts.max()) / number * _NUM_BINS)))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.set_title(f"chi2/df {_unevenness(places):.1f}", fontsize=8.5, color=MUTED, loc="right")


def nll_bars(
    names: Sequence[str],
    nll: np.ndarray,
    counted: np.ndarray,
    errors: np.ndarray,
    *,
    title: str = "",
    is_card: bool = False,
) -> np.ndarray:
    """NLL of each column beside what counting its values alone gives it, the largest first.

    Args:
        names: Of the D columns.
        nll: (D,) nats.
        counted: (D,) nats.
        errors: (D,) standard errors of nll.
        title: One line above.
        is_card: Whether it is to be as small as a card of TensorBoard: the largest twelve.
    """
    order = np.argsort(-np.asarray(counted))[: _CARD_BARS if is_card else _MAX_BARS]
    figure, (axes,) = new_plots(CARD if is_card else 900, 110 + 24 * len(order), title)
    places = np.arange(len(order))
    axes.barh(places, counted[order], 0.84, color=BAR, label="counting its values alone")
    axes.barh(places, nll[order], 0.4, color=BLUE, label="model, given earlier columns")
    axes.errorbar(nll[order], places, xerr=errors[order], fmt="none", ecolor=INK, elinewidth=1)
    axes.set_yticks(places, [plain(cut(names[d], 14 if is_card else 28)) for d in order])
    axes.axvline(0, color=MUTED, lw=0.8)
    axes.set_ylim(len(order) - 0.4, -0.6)
    style(axes, "", "NLL (nats per example)")
    if is_card:  # no room beside the bars
        axes.legend(
            fontsize=9, frameon=False, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 1)
        )
    axes.tick_params(axis="y", colors=INK, length=0)
    axes.grid(False, axis="y")
    hidden = len(names) - len(order)
    if hidden and not is_card:
        axes.set_title(f"and {hidden} more columns", fontsize=9, color=MUTED, loc="right")
    return render(figure)


def nll_image(nll: np.ndarray, *, title: str = "") -> np.ndarray:
    """NLL of each pixel (height, width), nats, as colours."""
    figure, (axes,) = new_plots(560, 520, title)
    top = float(np.quantile(nll, 0.999)) or 1e-12
    image = axes.imshow(nll, cmap="magma", vmin=0, vmax=top, interpolation="nearest")
    style(axes, f"sum {float(nll.sum()):.2f} nats per image", "column", "row")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True))
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.045, aspect=24)
    bar.set_label("NLL of the pixel (nats)", fontsize=8.5, color=MUTED)
    bar.ax.tick_params(labelsize=8, colors=MUTED, length=2)
    bar.outline.set_visible(False)
    return render(figure)
