"""Orderings: in which sequence an autoregressive model generates the variables.

One convention everywhere: `ordering[t]` is the variable modelled at step t. Its inverse gives
each variable's position: `positions[ordering[t]] == t`.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from made_exp.masks.fixed_orders import ORDERS, SCANS

ImageShape = tuple[int, int]


def inverse_ordering(ordering: Tensor) -> Tensor:
    """Position of each variable in `ordering`.

    Args:
        ordering: (..., D) int64, permutations of 0..D-1.

    Returns:
        (..., D) int64, positions[..., d] = the step at which variable d is modelled.

    Examples:
        >>> inverse_ordering(torch.tensor([2, 0, 1])).tolist()
        [1, 2, 0]
    """
    steps = torch.arange(ordering.shape[-1], device=ordering.device)
    return torch.empty_like(ordering).scatter_(-1, ordering, steps.expand_as(ordering))


def random(num_dims: int, seed: int | Sequence[int]) -> Tensor:
    """A uniformly random permutation, a function of `seed` (>= 0) alone.

    It sorts uniform draws, so that it stays the same in every version of NumPy.

    Examples:
        >>> random(5, seed=0).tolist() == random(5, seed=0).tolist()
        True
    """
    draws = np.random.Generator(np.random.PCG64(seed)).random(num_dims)
    return torch.from_numpy(np.argsort(draws, kind="stable"))


def raster(shape: ImageShape, number: int) -> Tensor:
    """Pixels line after line from one of the corners, by rows or by columns: eight ways.

    Args:
        shape: (height, width).
        number: Which way, modulo 8. 0 is the natural order; adding 1 turns to the opposite corner,
            2 mirrors left and right, 4 takes columns in place of rows.

    Examples:
        >>> raster((2, 3), 0).tolist(), raster((2, 3), 1).tolist(), raster((2, 3), 4).tolist()
        ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 3, 1, 4, 2, 5])
    """
    pixels = torch.arange(shape[0] * shape[1]).reshape(shape)
    if number & 1:
        pixels = pixels.flip(0, 1)
    if number & 2:
        pixels = pixels.flip(1)
    if number & 4:
        pixels = pixels.T
    return pixels.reshape(-1)


def sweep(shape: ImageShape, seed: int | Sequence[int]) -> Tensor:
    """Pixels across the image in a random direction, evenly or raggedly; a function of `seed`.

    Whatever half of an image is known, some of these orderings have it first.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    rows, columns = np.indices(shape)
    down, right = 2 * rng.random(2) - 1
    # Only operations that every machine rounds alike.
    place = (down * rows + right * columns) / np.sqrt(down**2 + right**2)
    raggedness = rng.random() ** 2 * max(shape)
    place = place + raggedness * (rng.random(shape) - 0.5)
    return torch.from_numpy(np.argsort(place.reshape(-1), kind="stable"))


def fixed_ordering(name: str, num_dims: int, image_shape: ImageShape | None = None) -> Tensor:
    """The ordering called `name` in `fixed_orders`, (D,) int64.

    Args:
        name: A rule for any data, or a scan of an image.
        num_dims: Number of variables D.
        image_shape: (height, width) with height * width = D; needed by the scans.

    Raises:
        ValueError: If a scan is asked for without an image.

    Examples:
        >>> fixed_ordering("snake", 6, image_shape=(2, 3)).tolist()
        [0, 1, 2, 5, 4, 3]
    """
    if name in ORDERS:
        return torch.tensor(ORDERS[name](num_dims))
    if image_shape is None or not is_image(image_shape, num_dims):
        raise ValueError(
            f"ordering={name} scans an image, but the data have no image shape "
            f"({num_dims} variables): use one of {', '.join(ORDERS)}, random or custom"
        )
    return torch.tensor(SCANS[name](*image_shape))


def is_due(index: int, share: float) -> bool:
    """Whether `index` is one of the `share` that are special: every stretch has its share."""
    return int((index + 1) * share) > int(index * share)


def is_image(shape: ImageShape | None, num_dims: int) -> bool:
    """Whether D variables are the pixels of an image of this shape."""
    return shape is not None and math.prod(shape) == num_dims
