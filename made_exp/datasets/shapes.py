"""Shapes: 20x20 binary images of filled circles, squares, triangles and stars."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.arrays import read_arrays
from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.download import cached
from made_exp.files import atomic_write_arrays
from made_exp.variables.variable import binary_variables

IMAGE_SIZE = 20
NUM_TRAIN, NUM_TEST = 10_479, 4_491  # as in the set of the same name of the Berkeley course
NUM_VALID = 1_048  # the last tenth of train
CLASS_NAMES = ("circle", "square", "triangle", "star")
# Per class: corners, radius of the dents between them over the radius of the corners (a straight
# edge when it is cos(pi / corners)), smallest and largest radius of the corners in pixels.
_OUTLINES = (
    (2, 1.0, 5.5, 8.8),  # circle: the corners are not used
    (4, np.cos(np.pi / 4), 7.0, 9.8),
    (3, np.cos(np.pi / 3), 7.0, 9.8),
    (5, 0.40, 7.5, 9.8),
)
_VERSION = 1  # raise it when other images come out: the cached file's name holds it
_SUBPIXELS = 5
_DIRECTIONS = 3600  # a tenth of a degree
_CHUNK = 500


def load(*, seed: int, data_dir: Path, context: str) -> Dataset:
    """The dataset of this seed, 9431 / 1048 / 4491 images; kept in `data_dir` once made.

    Args:
        seed: Which images; the same seed gives the same dataset.
        data_dir: The data folder.
        context: "labels" to condition on the shape, "none" to leave it.
    """
    arrays = cached(
        data_dir,
        f"shapes/shapes-v{_VERSION}-seed{seed}.npz",
        make=lambda: _make(seed),
        read=_read,
        write=atomic_write_arrays,
    )
    labels: dict[str, Any] = {}
    if context == "labels":
        labels = {"labels": _three_splits(arrays, "_labels"), "class_names": CLASS_NAMES}
        labels["num_classes"] = len(CLASS_NAMES)
    return Dataset.of_splits(
        "shapes",
        binary_variables(IMAGE_SIZE**2),
        _three_splits(arrays, ""),
        image_shape=(IMAGE_SIZE, IMAGE_SIZE),
        **labels,
    )


def draw_shapes(
    classes: np.ndarray, radius: np.ndarray, rotation: np.ndarray, size: int = IMAGE_SIZE
) -> np.ndarray:
    """Draw filled shapes whose centre is the centre of the image.

    A pixel is 1 when at least half of it is inside, counted on a grid of points in it.

    Args:
        classes: (N,) indices into CLASS_NAMES.
        radius: (N,) distance of the corners from the centre, in pixels.
        rotation: (N,) radians.
        size: Height and width in pixels.

    Returns:
        (N, size, size) uint8, 0 or 1.
    """
    fine = size * _SUBPIXELS
    offset = (np.arange(fine) + 0.5) / _SUBPIXELS - size / 2
    distance = np.hypot(offset[:, None], offset[None, :])
    angle = np.arctan2(offset[:, None], offset[None, :])
    direction = np.floor(angle / (2 * np.pi) * _DIRECTIONS).astype(np.int64) % _DIRECTIONS
    turn = np.floor(rotation / (2 * np.pi) * _DIRECTIONS).astype(np.int64) % _DIRECTIONS
    inside = [
        distance <= (r * np.roll(_outline(*_OUTLINES[c][:2]), t))[direction]
        for c, r, t in zip(classes, radius, turn, strict=True)
    ]
    covered = np.stack(inside).reshape(-1, size, _SUBPIXELS, size, _SUBPIXELS).sum(axis=(2, 4))
    return (2 * covered >= _SUBPIXELS**2).astype(np.uint8)


@lru_cache
def _outline(corners: int, dent: float) -> np.ndarray:
    """Distance (_DIRECTIONS,) of an outline from its centre in every direction; corners at 1.

    From a corner at angle 0 to the dent at half = pi / corners the outline is a straight line;
    the rest of it repeats that by rotation and reflection.
    """
    if dent == 1.0:
        return np.ones(_DIRECTIONS)
    angle = (np.arange(_DIRECTIONS) + 0.5) * (2 * np.pi / _DIRECTIONS)
    half = np.pi / corners
    from_corner = np.abs((angle + half) % (2 * half) - half)
    normal_x, normal_y = dent * np.sin(half), 1 - dent * np.cos(half)
    return normal_x / (normal_x * np.cos(from_corner) + normal_y * np.sin(from_corner))


def _make(seed: int) -> dict[str, np.ndarray]:
    random = np.random.RandomState(seed)
    count = NUM_TRAIN + NUM_TEST
    classes = random.randint(len(CLASS_NAMES), size=count)
    low, high = np.array([outline[2:] for outline in _OUTLINES])[classes].T
    radius = low + (high - low) * random.random_sample(count)
    rotation = 2 * np.pi * random.random_sample(count)
    images = np.concatenate(
        [
            draw_shapes(classes[rows], radius[rows], rotation[rows])
            for rows in np.split(np.arange(count), range(_CHUNK, count, _CHUNK))
        ]
    ).reshape(count, -1)
    labels = classes.astype(np.uint8)
    return {
        "train": images[:NUM_TRAIN],
        "test": images[NUM_TRAIN:],
        "train_labels": labels[:NUM_TRAIN],
        "test_labels": labels[NUM_TRAIN:],
    }


def _read(path: Path) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    for split, count in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        x, y = arrays[split], arrays[f"{split}_labels"]
        if x.shape != (count, IMAGE_SIZE**2) or y.shape != (count,) or x.dtype != np.uint8:
            raise ValueError(f"'{split}' has shape {x.shape}, dtype {x.dtype}")
    return arrays


def _three_splits(arrays: dict[str, np.ndarray], suffix: str) -> dict[str, Tensor]:
    whole = torch.from_numpy(arrays[f"train{suffix}"])
    test = torch.from_numpy(arrays[f"test{suffix}"])
    return dict(zip(SPLITS, (whole[:-NUM_VALID], whole[-NUM_VALID:], test), strict=True))
