"""A picture of the distribution of one column: a bar for each value or interval."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from made_exp.reporting.figures.canvas import BLUE, INK, cut, new_plots, plain, render, style

_MOST, _BAR, _WIDTH = 40, 20, 720  # bars, and pixels of one and of the picture


def distribution_picture(
    names: Sequence[str], probs: Sequence[float], errors: Sequence[float], *, title: str
) -> np.ndarray:
    """Horizontal bars of the likeliest values, in their order, with their standard errors.

    Args:
        names: Of the values.
        probs: Their probabilities.
        errors: Standard errors of these.
        title: What is shown.
    """
    kept = sorted(np.argsort(-np.array(probs), kind="stable")[:_MOST].tolist())
    figure, (axes,) = new_plots(_WIDTH, 90 + _BAR * len(kept), title)
    places = np.arange(len(kept))[::-1]
    axes.barh(
        places,
        [probs[k] for k in kept],
        xerr=[errors[k] for k in kept] if any(errors) else None,
        color=BLUE,
        ecolor=INK,
        height=0.75,
    )
    axes.set_yticks(places, [plain(cut(names[k], 28)) for k in kept])
    axes.set_ylim(-0.6, len(kept) - 0.4)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    style(axes)
    return render(figure)
