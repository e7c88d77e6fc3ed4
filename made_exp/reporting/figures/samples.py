"""Samples beside real examples: grids of images, completions and classes."""

import math
from collections.abc import Sequence

import numpy as np

from made_exp.reporting.figures.canvas import (
    MARGIN,
    MUTED,
    add_picture,
    add_text,
    new_figure,
    render,
)

_GAP = (0.80, 0.83, 0.87)
_UNKNOWN = np.array([0.60, 0.68, 0.80])  # pixels that are not given
_DRAWN_INK = np.array([1.0, 0.72, 0.30])  # bright pixels that the model drew
_TITLE = 30
_COMPLETIONS_A_ROW = 10  # further ones go into another band below


def image_grid(
    samples: np.ndarray,
    image_shape: tuple[int, int],
    *,
    real: np.ndarray,
    title: str = "",
    max_value: float = 1.0,
) -> np.ndarray:
    """Samples in a square grid, beside as many real examples.

    Args:
        samples: (n, D) values in [0, max_value], row by row.
        image_shape: (height, width) with height * width = D.
        real: (m, D) examples of the data; the first n are shown.
        title: One line above.
        max_value: The value drawn as white.
    """
    images = as_images(samples, image_shape, max_value)
    examples = as_images(np.asarray(real)[: len(images)], image_shape, max_value)
    columns = math.ceil(math.sqrt(len(images)))
    left_picture, right_picture = mosaic(images, columns), mosaic(examples, columns)
    height, width, _ = left_picture.shape
    scale, top, left = _scale(width), _TITLE * (2 if title else 1) + 4, MARGIN
    size = 2 * (width * scale + MARGIN) + MARGIN, height * scale + top + MARGIN
    figure = new_figure(max(size[0], 320), size[1], title)
    names = f"{len(images)} samples", f"{len(examples)} real examples"
    for name, picture in zip(names, (left_picture, right_picture), strict=True):
        add_text(figure, left, top - 14, name, color=MUTED)
        add_picture(figure, picture, left, top, scale)
        left += width * scale + MARGIN
    return render(figure)


def completion_grid(
    original: np.ndarray,
    observed: np.ndarray,
    drawn: np.ndarray,
    image_shape: tuple[int, int],
    *,
    title: str = "",
    max_value: float = 1.0,
) -> np.ndarray:
    """Completions: what was given, what was drawn for the rest, and the original.

    What is not given is blue-grey; the bright pixels that were drawn are orange.

    Args:
        original: (B, D) real examples, values in [0, max_value].
        observed: (B, D) booleans, true where a variable was given.
        drawn: (B, M, D) M completions of each example.
        image_shape: (height, width) with height * width = D.
        title: One line above.
        max_value: The value drawn as white.
    """
    images = as_images(original, image_shape, max_value)
    known = np.asarray(observed, bool).reshape(images.shape[:3])[..., None]
    rows = [np.where(known, images, _UNKNOWN)]
    for draw in np.swapaxes(drawn, 0, 1):
        completed = as_images(draw, image_shape, max_value)
        rows.append(np.where(known, completed, completed * _DRAWN_INK))
    rows.append(images)
    names = ["drawn"] if len(rows) == 3 else [f"drawn {m}" for m in range(1, len(rows) - 1)]
    return _banded(rows, ["given", *names, "original"], _COMPLETIONS_A_ROW, title)


def class_grid(
    samples: np.ndarray,
    image_shape: tuple[int, int],
    class_names: Sequence[str],
    *,
    title: str = "",
    max_value: float = 1.0,
) -> np.ndarray:
    """Samples (C, n, D) of C classes by name, one class a row; arguments as `image_grid`."""
    samples = np.asarray(samples)
    rows = [as_images(row, image_shape, max_value) for row in samples]
    return _banded(rows, list(class_names), samples.shape[1], title)


def as_images(x: np.ndarray, image_shape: tuple[int, int], max_value: float = 1.0) -> np.ndarray:
    """Rows (n, D) as grey pictures (n, height, width, 3) in [0, 1].

    Raises:
        ValueError: If D is not height * width.
    """
    x = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    height, width = image_shape
    if x.shape[1] != height * width:
        raise ValueError(
            f"samples have {x.shape[1]} variables; image_shape {height}x{width} needs "
            f"{height * width}"
        )
    grey = np.clip(np.nan_to_num(x) / max_value, 0, 1).reshape(-1, height, width, 1)
    return np.repeat(grey, 3, axis=-1)


def mosaic(images: np.ndarray, num_columns: int) -> np.ndarray:
    """Pictures (n, h, w, 3) as one picture with lines of one pixel between them."""
    count, height, width, _ = images.shape
    num_rows = math.ceil(count / num_columns)
    cells = np.full((num_rows * num_columns, height + 1, width + 1, 3), _GAP)
    cells[:count, 1:, 1:] = images
    picture = np.full((num_rows * (height + 1) + 1, num_columns * (width + 1) + 1, 3), _GAP)
    grid = cells.reshape(num_rows, num_columns, *cells.shape[1:]).swapaxes(1, 2)
    picture[:-1, :-1] = grid.reshape(picture[:-1, :-1].shape)
    return picture


def _scale(width: int) -> int:
    """Screen pixels for each picture element, so that a grid is about 560 wide and stays sharp."""
    return max(1, round(560 / width))


def _banded(
    rows: list[np.ndarray],
    names: list[str],
    num_columns: int,
    title: str,
) -> np.ndarray:
    """Rows of pictures with a name on the left; long rows are broken into bands."""
    count = len(rows[0])
    columns = math.ceil(count / math.ceil(count / num_columns))
    bands = []
    for start in range(0, count, columns):
        parts = [row[start : start + columns] for row in rows]
        bands.append(mosaic(np.concatenate(parts), len(parts[0])))
    scale = _scale(bands[0].shape[1] * 3 // 4)
    top, label = (_TITLE + 8 if title else MARGIN), 24 + 7 * max(map(len, names))
    band_height, band_width = bands[0].shape[0] * scale, bands[0].shape[1] * scale
    height = top + len(bands) * (band_height + MARGIN)
    figure = new_figure(max(label + band_width + MARGIN, 320), height, title)
    for band in bands:
        add_picture(figure, band, label, top, scale)
        for index, name in enumerate(names):
            middle = top + (index + 0.5) * band_height / len(names)
            add_text(figure, label - 10, middle, name, color=MUTED, ha="right")
        top += band_height + MARGIN
    return render(figure)
