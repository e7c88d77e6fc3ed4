"""Samples of tables: rows that are no pictures, beside rows of the data."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec

from made_exp.reporting.figures.canvas import BLUE, INK, MUTED, new_figure, plain, render, style


def vector_grid(
    samples: np.ndarray,
    real: np.ndarray,
    *,
    title: str = "",
    max_rows: int = 100,
    path: str | Path | None = None,
) -> np.ndarray:
    """Sampled rows and real rows as shades of grey, and how their means and pairs agree.

    Each variable is scaled to the range that it has in the data. The two plots on the right show,
    for each variable, its mean, and for each pair (the thousand that vary most in the data), its
    correlation: a model that knows the data puts both on the diagonal.

    Args:
        samples: (n, D).
        real: (m, D) examples of the data; NaN is missing.
        title: One line above.
        max_rows: How many rows of each are drawn; the means use all.
        path: Where to save a PNG.
    """
    samples, real = np.asarray(samples, np.float64), np.asarray(real, np.float64)
    low, high = np.nanmin(real, axis=0), np.nanmax(real, axis=0)
    span = np.where(high > low, high - low, 1.0)
    samples, real = (samples - low) / span, (real - low) / span
    figure = new_figure(1180, 460)
    grid = GridSpec(1, 4, figure, left=0.05, right=0.985, bottom=0.13, top=0.83, wspace=0.3)
    if title:
        figure.text(0.013, 0.945, plain(title), fontsize=12, fontweight="bold", color=INK)
    rows = min(max_rows, len(samples), len(real))
    _rows(figure.add_subplot(grid[0]), samples[:rows], f"{rows} sampled rows")
    _rows(figure.add_subplot(grid[1]), real[:rows], f"{rows} real rows")
    means = np.nanmean(real, axis=0), np.nanmean(samples, axis=0)
    _agreement(figure.add_subplot(grid[2]), *means, "Mean of each variable")
    pairs = _correlations(real, samples)
    _agreement(figure.add_subplot(grid[3]), *pairs, "Correlation of each pair")
    return render(figure, path)


def _rows(axes: Axes, x: np.ndarray, title: str) -> None:
    axes.imshow(np.clip(x, 0, 1), cmap="gray_r", aspect="auto", interpolation="nearest")
    style(axes, title, "variable", "row")
    axes.grid(False)


def _agreement(axes: Axes, real: np.ndarray, sampled: np.ndarray, title: str) -> None:
    style(axes, title, "data", "samples")
    if len(real):
        low, high = min(real.min(), sampled.min()), max(real.max(), sampled.max())
        pad = 0.05 * (high - low or 1.0)
        axes.plot([low - pad, high + pad], [low - pad, high + pad], color=MUTED, lw=1, ls="--")
        axes.plot(real, sampled, ".", color=BLUE, ms=4, alpha=0.5)


def _correlations(
    real: np.ndarray, samples: np.ndarray, max_pairs: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    """Correlations (P,) in the data and in the samples, of the pairs that vary most."""
    variance = np.minimum(np.nanvar(real, axis=0), np.nanvar(samples, axis=0))
    varying = [int(d) for d in np.argsort(-variance)[:200] if variance[d] > 0]
    if len(varying) < 2 or min(len(real), len(samples)) < 3:
        return np.zeros(0), np.zeros(0)
    upper = np.triu_indices(len(varying), 1)
    both = []
    for x in (real[:, varying], samples[:, varying]):
        filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
        both.append(np.corrcoef(filled.T)[upper])
    kept = np.argsort(-np.abs(both[0]))[:max_pairs]
    return both[0][kept], both[1][kept]
