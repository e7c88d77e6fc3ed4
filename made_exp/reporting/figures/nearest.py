"""How near drawn rows are to the rows that were learned, over how near held-out rows are."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from made_exp.reporting.figures.canvas import BAR, BLUE, new_plots, render, style

_BINS = 30


def nearest_picture(drawn: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Histograms of the distances (m,) and (n,) to the nearest learned row, in [0, 1]."""
    figure, (axes,) = new_plots(900, 300)
    top = float(max(drawn.max(), held_out.max())) or 1.0
    edges = np.linspace(0, top, _BINS + 1)
    shares = [np.histogram(x, edges)[0] / len(x) for x in (held_out, drawn)]
    axes.stairs(shares[0], edges, fill=True, color=BAR, label="held-out real rows")
    axes.stairs(shares[1], edges, color=BLUE, lw=1.6, label="synthetic rows")
    style(axes, "", "distance to the nearest row that was learned", "share of the rows")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=False, fontsize=9)
    return render(figure)
