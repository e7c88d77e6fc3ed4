"""Which blocks of a masked weight are stored when its units are sorted by degree.

Sorted by degree, output o sees the first `visible[o]` inputs, and that number never falls with o:
the layer is a staircase. Cut into a few blocks of rows, block b needs only as many columns as its
last row sees. The blocks lie behind each other, row by row, in one flat vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

# A block costs about as much as this many weights: the calls around three matrix products.
BLOCK_COST = 10_000
# The library that multiplies in bfloat16 takes 20 microseconds a call, the arithmetic a quarter.
BFLOAT16_BLOCK_COST = 40_000
MAX_CUTS = 96
MAX_BLOCKS = 8
# Widths are rounded up and cuts down, so that rows of a weight and of a result start at addresses
# from which wide loads are possible: a third of the time of a forward product of 500 units.
MULTIPLE = 16


@dataclass(frozen=True)
class BlockLayout:
    """A staircase of blocks; block b holds rows row_starts[b]..row_starts[b+1].

    Attributes:
        num_in: Number of inputs I.
        row_starts: First row of each block, and at the end the number of outputs O.
        widths: How many of the sorted inputs the rows of a block have a weight for.
        shared: How many of those every row of the block sees; only the rest needs a mask.
    """

    num_in: int
    row_starts: tuple[int, ...]
    widths: tuple[int, ...]
    shared: tuple[int, ...]

    @property
    def num_out(self) -> int:
        """Number of outputs O."""
        return self.row_starts[-1]

    @property
    def num_stored(self) -> int:
        """Length of the flat vector."""
        return sum(self.sizes)

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """Number of rows of each block."""
        return tuple(end - start for start, end in pairwise(self.row_starts))

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and width of each block."""
        return tuple(zip(self.heights, self.widths, strict=True))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of weights of each block."""
        return tuple(height * width for height, width in self.shapes)

    def blocks(self, flat: Tensor) -> list[Tensor]:
        """The view (rows, width) of each block into a flat vector."""
        parts = flat.split_with_sizes(self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def row_slices(self) -> list[slice]:
        """The rows of each block."""
        return [slice(start, end) for start, end in pairwise(self.row_starts)]

    def row_widths(self) -> Tensor:
        """(O,) int64: how many weights each row has."""
        return torch.tensor(self.widths).repeat_interleave(torch.tensor(self.heights))


def visible_counts(in_degrees: Tensor, out_degrees: Tensor) -> Tensor:
    """How many leading inputs a kernel must read for each output, for any order of the inputs.

    Args:
        in_degrees: (I,) degrees; sorted, the count is the number of inputs seen, else an upper
            bound that leaves out only the unseen tail.
        out_degrees: (O,) degrees.

    Returns:
        (O,) int64 in 0..I.
    """
    lowest_from_here = (
        in_degrees.flip(0).cummin(0).values.flip(0) if len(in_degrees) else in_degrees
    )
    return torch.searchsorted(lowest_from_here.contiguous(), out_degrees.contiguous(), right=True)


def first_rows(in_degrees: Tensor, out_degrees: Tensor) -> Tensor:
    """The first output that may see each input, for any order of the outputs.

    Args:
        in_degrees: (I,) degrees.
        out_degrees: (O,) degrees.

    Returns:
        (I,) int64 in 0..O; O where no output sees the input.
    """
    highest_so_far = out_degrees.cummax(0).values if len(out_degrees) else out_degrees
    return torch.searchsorted(highest_so_far.contiguous(), in_degrees.contiguous())


def plan_blocks(
    visible: Sequence[int], num_in: int, dtype: torch.dtype = torch.float32
) -> BlockLayout:
    """Cut the rows into blocks with the least stored weights plus a cost for each block.

    Args:
        visible: (O,) number of sorted inputs each sorted output sees, never falling.
        num_in: Number of inputs I.
        dtype: In which products are taken.
    """
    least_cost = BFLOAT16_BLOCK_COST if dtype == torch.bfloat16 else BLOCK_COST
    # Beyond eight blocks little is left to save, and each product becomes small.
    block_cost = max(least_cost, len(visible) * num_in // (2 * MAX_BLOCKS**2))
    cuts = _candidate_cuts(visible)
    widths = [min(num_in, -(-visible[cut - 1] // MULTIPLE) * MULTIPLE) for cut in cuts[1:]]
    best, origin = [0], [0]
    for end in range(1, len(cuts)):
        costs = [
            best[start] + (cuts[end] - cuts[start]) * widths[end - 1] + block_cost
            for start in range(end)
        ]
        best.append(min(costs))
        origin.append(costs.index(best[-1]))
    chosen = [len(cuts) - 1]
    while chosen[-1]:
        chosen.append(origin[chosen[-1]])
    chosen.reverse()
    row_starts = tuple(cuts[c] for c in chosen)
    return BlockLayout(
        num_in,
        row_starts,
        tuple(widths[c - 1] for c in chosen[1:]),
        tuple(visible[r] for r in row_starts[:-1]),
    )


def _candidate_cuts(visible: Sequence[int]) -> list[int]:
    """Multiples of 16 at or just before rises of the staircase, at most MAX_CUTS, and both ends."""
    rises = [r for r in range(1, len(visible)) if visible[r] != visible[r - 1]]
    rows = sorted({r - r % MULTIPLE for r in rises} - {0})
    stride = max(1, -(-len(rows) // MAX_CUTS))
    return [0, *rows[stride - 1 :: stride], len(visible)]
