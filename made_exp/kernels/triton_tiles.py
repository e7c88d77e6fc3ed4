"""How much one program of a Triton kernel computes at once."""

from typing import Literal, NamedTuple

import torch

TritonKernel = Literal["forward", "grad_input", "grad_weight"]

_MANY_EXAMPLES, _WIDE = 128, 4000
_LEAST = 16  # tl.dot wants as many


class Tiles(NamedTuple):
    """Sizes along batch, inputs and outputs, and the warps and stages of a program."""

    b: int
    i: int
    o: int
    warps: int = 4
    stages: int = 3


_ANY = Tiles(64, 64, 64)
# For products in half precision: the fastest of some two hundred on an H100, by kernel, whether
# there are many examples, and whether the result is wide. Narrow ones have too few tiles to keep
# all of the processor busy, unless these are small.
_HALF: dict[tuple[TritonKernel, bool, bool], Tiles] = {
    ("forward", False, False): Tiles(64, 128, 32, stages=4),
    ("forward", False, True): Tiles(128, 64, 64, stages=4),
    ("forward", True, False): Tiles(128, 64, 64, warps=8),
    ("forward", True, True): Tiles(128, 64, 64),
    ("grad_input", False, False): Tiles(16, 32, 128, stages=4),
    ("grad_input", False, True): Tiles(64, 32, 128, stages=4),
    ("grad_input", True, False): Tiles(128, 32, 128, warps=8),
    ("grad_input", True, True): Tiles(128, 64, 64, warps=8, stages=2),
    ("grad_weight", False, True): Tiles(32, 64, 128, stages=4),
    ("grad_weight", True, False): Tiles(32, 128, 128, stages=4),
    ("grad_weight", True, True): Tiles(32, 128, 128, stages=4),
}


def tiles_of(kernel: TritonKernel, dtype: torch.dtype, batch: int, width: int) -> Tiles:
    """The tiles of a kernel.

    Args:
        kernel: Which.
        dtype: Of the products.
        batch: Number of examples B.
        width: Columns of the result; of the gradient of the weight its narrower side.
    """
    tiles = _ANY
    if dtype != torch.float32:
        tiles = _HALF.get((kernel, batch > _MANY_EXAMPLES, width >= _WIDE), _ANY)
    least = max(_LEAST, 1 << max(0, batch - 1).bit_length())  # no more along the batch than it has
    return tiles._replace(b=min(tiles.b, least))
