"""Samples of a table over its data: each column, the pairs that differ most, and all at once."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from made_exp.reporting.comparison import Comparison
from made_exp.reporting.fields import Field
from made_exp.reporting.figures.canvas import (
    BLUE,
    INK,
    MARGIN,
    MUTED,
    add_text,
    count,
    new_figure,
    pixel_axes,
    render,
    style,
)
from made_exp.reporting.figures.marginals import Marginal
from made_exp.reporting.figures.pairs import Box, draw_pair

_MAX_COLUMNS, _ACROSS, _MAX_PAIRS = 24, 4, 4
_LEAST_ACROSS = 3  # that the notes fit
_WIDTH, _PAIR_HEIGHT, _OVERVIEW, _GAP = 320, 362, 244, 24  # pixels
_TOP, _HEADING = 84, 32
_COLOR_NOTE = "blue: shares in the rows of each value of x"
_ALL_NOTE = "alike on the diagonal; of pairs 0 nats or less: nothing of the pattern of the data"


def table_picture(
    data: np.ndarray,
    samples: np.ndarray,
    fields: Sequence[Field],
    comparison: Comparison,
    *,
    title: str = "",
) -> np.ndarray:
    """Marginals of up to 24 columns (of more those that differ most), and the four worst pairs.

    Args:
        data: (n, D) float64, NaN where a cell is missing.
        samples: (m, D) alike.
        fields: D columns.
        comparison: Of these data and samples.
        title: One line above.
    """
    shown = _shown(comparison)
    pairs = comparison.pairs[:_MAX_PAIRS]
    across = min(_ACROSS, max(_LEAST_ACROSS, len(shown)))
    marginals = [Marginal(fields[d], data[:, d], samples[:, d]) for d in shown]
    rows = [marginals[start : start + across] for start in range(0, len(shown), across)]
    heights = [max(marginal.height for marginal in row) + _GAP for row in rows]
    pairs_top = _TOP + sum(heights) + _GAP
    pair_rows = -(-2 * len(pairs) // across)
    overview_top = pairs_top + (_HEADING + pair_rows * _PAIR_HEIGHT if pairs else 0)
    width = across * (_WIDTH + _GAP) - _GAP + 2 * MARGIN
    figure = new_figure(width, overview_top + _HEADING + _OVERVIEW + MARGIN, title)
    _legend(figure, len(data), len(samples), len(shown), len(fields))
    for place, marginal in enumerate(marginals):
        row, column = divmod(place, across)
        top, left = _TOP + sum(heights[:row]), MARGIN + column * (_WIDTH + _GAP)
        marginal.draw(figure, left, top, _WIDTH, comparison.columns[shown[place]]["z"])
    if pairs:
        _heading(figure, pairs_top, "Pairs whose dependence differs most", _COLOR_NOTE)
    numbers = {field.name: d for d, field in enumerate(fields)}
    for place, pair in enumerate(pairs):
        row, column = divmod(place, across // 2)
        left, top = MARGIN + column * 2 * (_WIDTH + _GAP), pairs_top + _HEADING + row * _PAIR_HEIGHT
        box = Box(left, top, 2 * _WIDTH + _GAP, _PAIR_HEIGHT)
        both = [numbers[name] for name in pair["columns"]]
        draw_pair(figure, box, [fields[d] for d in both], data[:, both], samples[:, both], pair)
    _heading(figure, overview_top, "All at once", _ALL_NOTE)
    _draw_overview(figure, overview_top + _HEADING, comparison)
    return render(figure)


def _shown(comparison: Comparison) -> list[int]:
    """The columns that are drawn: all in their order, or the worst first."""
    z = np.array([record["z"] for record in comparison.columns])
    order = np.arange(len(z)) if len(z) <= _MAX_COLUMNS else np.argsort(-z, kind="stable")
    return order[:_MAX_COLUMNS].tolist()


def _legend(figure: Figure, rows: int, samples: int, shown: int, columns: int) -> None:
    texts = [
        (f"grey: {count(rows)} rows of the data", MUTED),
        (f"blue: {count(samples)} samples", BLUE),
        ("z: of the difference, about -2 to 2 by chance", MUTED),
    ]
    if shown < columns:
        texts.insert(2, (f"the {shown} of {columns} columns that differ most, worst first", INK))
    left = float(MARGIN)
    for text, color in texts:
        add_text(figure, left, 48, text, color=color)
        left += 7.2 * len(text) + 24


def _heading(figure: Figure, top: float, text: str, note: str) -> None:
    add_text(figure, MARGIN, top, text, size=12, fontweight="bold")
    add_text(figure, MARGIN + 10.2 * len(text) + 14, top, note, color=MUTED)


def _draw_overview(figure: Figure, top: float, comparison: Comparison) -> None:
    """A dot for the share of each bin of each column, and for the dependence of each pair."""
    plots = [("Share of each value or range", comparison.shares)]
    if comparison.pairs:
        pairs = np.array([[pair["data"], pair["samples"]] for pair in comparison.pairs])
        plots.append(("Dependence of each pair (nats)", pairs.T))
    for place, (title, (data, samples)) in enumerate(plots):
        left = MARGIN + 46 + place * (_WIDTH + _GAP)
        axes = pixel_axes(figure, left, top + 12, _WIDTH - 46, _OVERVIEW - 56)
        low, high = min(data.min(), samples.min()), max(data.max(), samples.max())
        pad = 0.05 * (high - low or 1.0)
        axes.plot([low - pad, high + pad], [low - pad, high + pad], color=MUTED, lw=1, ls="--")
        axes.plot(data, samples, ".", color=BLUE, ms=7, alpha=0.5, mew=0)
        style(axes, title, "data", "samples")
        axes.locator_params(nbins=4)
