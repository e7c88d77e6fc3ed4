"""Pictures as TensorBoard shows them: in cards some 340 pixels wide, too narrow for whole ones."""

import math
from collections.abc import Sequence

import numpy as np

from made_exp.reporting.comparison import Comparison
from made_exp.reporting.fields import Field
from made_exp.reporting.figures.canvas import CARD, MARGIN, new_figure, render
from made_exp.reporting.figures.marginals import Marginal
from made_exp.reporting.figures.samples import as_images, mosaic

_MAX_ACROSS, _MAX_COLUMNS, _GAP = 5, 3, 16


def image_tiles(
    samples: np.ndarray, image_shape: tuple[int, int], *, max_value: float = 1.0
) -> np.ndarray:
    """At most 5 x 5 of the samples, evenly spread over them, each pixel a sharp square.

    Args:
        samples: (n, D) values in [0, max_value], row by row.
        image_shape: (height, width) with height * width = D.
        max_value: The value drawn as white.
    """
    fit = min(_MAX_ACROSS, max(1, CARD // (image_shape[1] + 1)), math.ceil(math.sqrt(len(samples))))
    count = min(fit * fit, len(samples))
    chosen = np.linspace(0, len(samples) - 1, count).round().astype(int)
    picture = mosaic(as_images(np.asarray(samples)[chosen], image_shape, max_value), fit)
    scale = max(1, CARD // picture.shape[1])
    sharp = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    return (255 * sharp).round().astype(np.uint8)


def worst_columns(
    data: np.ndarray, samples: np.ndarray, fields: Sequence[Field], comparison: Comparison
) -> np.ndarray:
    """The three columns of a table that differ most, data in grey and samples in blue.

    Args:
        data: (n, D) float64, NaN where a cell is missing.
        samples: (m, D) alike.
        fields: D columns.
        comparison: Of these data and samples.
    """
    z = np.array([record["z"] for record in comparison.columns])
    worst = np.argsort(-z, kind="stable")[:_MAX_COLUMNS].tolist()
    drawn = {d: Marginal(fields[d], data[:, d], samples[:, d]) for d in worst}
    heights = [marginal.height + _GAP for marginal in drawn.values()]
    figure = new_figure(CARD, sum(heights) + MARGIN)
    top = float(MARGIN)
    for (d, marginal), height in zip(drawn.items(), heights, strict=True):
        marginal.draw(figure, MARGIN / 2, top, CARD - MARGIN, comparison.columns[d]["z"])
        top += height
    return render(figure)
