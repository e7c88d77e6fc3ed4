"""Orderings: in which sequence an autoregressive model generates the variables.

One convention everywhere: `ordering[t]` is the variable modelled at step t. Its inverse gives
each variable's position: `positions[ordering[t]] == t`.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

ImageShape = tuple[int, int]


def inverse_ordering(ordering: Tensor) -> Tensor:
    """Position of each variable in `ordering`.

    Args:
        ordering: (..., D) int64, permutations of 0..D-1.

    Returns:
        (..., D) int64, positions[..., d] = the step at which variable d is modelled.

    >>> inverse_ordering(torch.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    steps = torch.arange(ordering.shape[-1], device=ordering.device)
    return torch.empty_like(ordering).scatter_(-1, ordering, steps.expand_as(ordering))


def check_ordering(order: Sequence[int], num_dims: int) -> Tensor:
    """Return `order` as a (D,) int64 tensor.

    Raises:
        ValueError: If `order` is not a permutation of 0..num_dims-1; the first entry that is
            out of range or repeated is named by its index.
    """
    if len(order) != num_dims:
        raise ValueError(
            f"ordering has {len(order)} entries, the data have {num_dims} variables: "
            f"give each of 0..{num_dims - 1} once"
        )
    seen: dict[int, int] = {}
    for step, variable in enumerate(order):
        if int(variable) != variable or not 0 <= variable < num_dims:
            raise ValueError(f"ordering[{step}] = {variable} is not one of 0..{num_dims - 1}")
        if variable in seen:
            raise ValueError(
                f"ordering[{step}] = {variable} repeats ordering[{seen[variable]}]: "
                f"give each of 0..{num_dims - 1} once"
            )
        seen[variable] = step
    return torch.tensor([int(variable) for variable in order], dtype=torch.int64)


def natural(num_dims: int) -> Tensor:
    """Variables in the order of the data: 0, 1, ..., D-1 (row-major for images)."""
    return torch.arange(num_dims)


def reversed_natural(num_dims: int) -> Tensor:
    """Variables from last to first: D-1, ..., 1, 0."""
    return torch.arange(num_dims - 1, -1, -1)


def random(num_dims: int, seed: int | Sequence[int]) -> Tensor:
    """A uniformly random permutation, a function of `seed` (>= 0) alone.

    It sorts uniform draws, so that it stays the same in every version of NumPy.
    """
    draws = np.random.Generator(np.random.PCG64(seed)).random(num_dims)
    return torch.from_numpy(np.argsort(draws, kind="stable"))


def column_major(shape: ImageShape) -> Tensor:
    """Pixels column by column, each from top to bottom."""
    return _pixels(shape).T.reshape(-1)


def snake(shape: ImageShape) -> Tensor:
    """Pixels row by row, every second row from right to left, so that neighbours follow."""
    pixels = _pixels(shape)
    pixels[1::2] = pixels[1::2].flip(1)
    return pixels.reshape(-1)


def spiral(shape: ImageShape) -> Tensor:
    """Pixels along a clockwise spiral from the top left corner to the centre."""
    pixels, turns = _pixels(shape), []
    while pixels.numel():
        turns.append(pixels[0])
        pixels = pixels[1:].T.flip(0)
    return torch.cat(turns)


def centre_out(shape: ImageShape) -> Tensor:
    """Pixels by their distance from the centre of the image, ties in row-major order."""
    rows = torch.arange(shape[0], dtype=torch.float64) - (shape[0] - 1) / 2
    columns = torch.arange(shape[1], dtype=torch.float64) - (shape[1] - 1) / 2
    distance = rows[:, None] ** 2 + columns[None, :] ** 2
    return torch.argsort(distance.reshape(-1), stable=True)


def raster(shape: ImageShape, number: int) -> Tensor:
    """Pixels line after line from one of the corners, by rows or by columns: eight ways.

    Args:
        shape: (height, width).
        number: Which way, modulo 8. 0 is the natural order; adding 1 turns to the opposite corner,
            2 mirrors left and right, 4 takes columns in place of rows.
    """
    pixels = _pixels(shape)
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


IMAGE_SCANS: dict[str, Callable[[ImageShape], Tensor]] = {
    "column_major": column_major,
    "snake": snake,
    "spiral": spiral,
    "centre_out": centre_out,
}


def make_ordering(
    name: str,
    num_dims: int,
    *,
    seed: int = 0,
    image_shape: ImageShape | None = None,
    order: Sequence[int] | None = None,
) -> Tensor:
    """Build the ordering called `name`.

    Args:
        name: natural, reversed, random, custom, or an image scan (column_major, snake, spiral,
            centre_out).
        num_dims: Number of variables D.
        seed: Seed of the random ordering.
        image_shape: (height, width) with height * width = D; needed by the image scans.
        order: The permutation of a custom ordering.

    Returns:
        (D,) int64.

    Raises:
        ValueError: If the name is unknown, an image scan is asked for without an image, or
            `order` is not a permutation.
    """
    if name == "natural":
        return natural(num_dims)
    if name == "reversed":
        return reversed_natural(num_dims)
    if name == "random":
        return random(num_dims, seed)
    if name == "custom":
        if order is None:
            raise ValueError("ordering=custom needs order: a permutation of the variables")
        return check_ordering(order, num_dims)
    if name in IMAGE_SCANS:
        if image_shape is None or image_shape[0] * image_shape[1] != num_dims:
            raise ValueError(
                f"ordering={name} scans an image, but the data have no image shape "
                f"({num_dims} variables): use natural, reversed, random or custom"
            )
        return IMAGE_SCANS[name](image_shape)
    names = ["natural", "reversed", "random", "custom", *IMAGE_SCANS]
    raise ValueError(f"ordering '{name}' is not one of {', '.join(names)}")


def _pixels(shape: ImageShape) -> Tensor:
    return torch.arange(shape[0] * shape[1]).reshape(shape)


def is_due(index: int, share: float) -> bool:
    """Whether `index` is one of the `share` that are special: every stretch has its share."""
    return int((index + 1) * share) > int(index * share)


def check_image_share(
    name: str, share: float, num_dims: int, image_shape: ImageShape | None
) -> None:
    """Raise ValueError unless `share` of the orderings, 0..1, can read D variables as an image."""
    check_share(name, share)
    if share and (image_shape is None or math.prod(image_shape) != num_dims):
        raise ValueError(f"{name}={share} needs images, but the data have no image shape")


def check_share(name: str, share: float) -> None:
    """Raise ValueError unless `share` is in 0..1."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} must be in 0..1, got {share}")
