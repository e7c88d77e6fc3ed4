"""Of very many examples: a piece at a time, or some of them."""

import torch
from torch import Tensor

ROWS = 2**16
"""Examples that are looked at together, of however many."""
# Cells of train by which what is simple is fitted, more of those that take a byte.
_MAX_CELLS, _MAX_BYTES, _MIN_ROWS = 2**23, 2**26, 50_000


def num_fitted(train: Tensor) -> int:
    """To how many of the training examples (N, D) what is simple is fitted: millions of cells."""
    most = (_MAX_BYTES if train.dtype == torch.uint8 else _MAX_CELLS) // train.shape[1]
    return min(len(train), max(most, _MIN_ROWS))


def fitted_rows(train: Tensor) -> Tensor:
    """The training examples to which what is simple is fitted."""
    return some_rows(train, num_fitted(train))


def some_rows(x: Tensor, count: int) -> Tensor:
    """All rows of x (N, ...), or `count` of them, spread evenly, if there are more."""
    if len(x) <= count:
        return x
    return x[torch.arange(count) * len(x) // max(count, 1)]
