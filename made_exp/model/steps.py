"""A masked weight whose inputs are sorted by degree, as blocks of what its units see.

Legend: I inputs, O units, B examples; units come first in all arrays.
"""

from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

# Blocks of fewer units, or more blocks, cost more than they save.
_LEAST_HEIGHT, _MOST = 8, 64


@final
@dataclass(frozen=True, eq=False)
class Steps:
    """Rows of a weight, and of each run of them the first inputs, which are all that it sees.

    Attributes:
        blocks: The rows of each run, and their weights (rows, width).
    """

    blocks: tuple[tuple[slice, Tensor], ...]

    @classmethod
    def of(cls, turned: Tensor, ins: Tensor, outs: Tensor) -> Self:
        """The blocks of a weight (I, O) whose inputs have degrees ins (I,), rising, outs (O,)."""
        degrees, heights = torch.unique_consecutive(outs, return_counts=True)
        widths = torch.searchsorted(ins, degrees, right=True).tolist()
        least = max(_LEAST_HEIGHT, len(outs) // _MOST)
        blocks, start = list[tuple[slice, Tensor]](), 0
        seen = list[tuple[int, int]]()
        for pair in zip(heights.tolist(), widths, strict=True):
            seen.append(pair)
            rows = slice(start, start + sum(height for height, _ in seen))
            if rows.stop - start < least and rows.stop < len(outs):
                continue
            if width := max(width for _, width in seen):
                block = turned[:width, rows]
                if len(seen) > 1:
                    block = block * (outs[rows] >= ins[:width, None])
                blocks.append((rows, block.t().contiguous()))
            start, seen = rows.stop, []
        return cls(tuple(blocks))

    def add_to(self, node: Tensor, h: Tensor) -> None:
        """Add the product with h (I, B) to a node (O, B)."""
        for rows, block in self.blocks:
            node[rows].addmm_(block, h[: block.shape[1]])
