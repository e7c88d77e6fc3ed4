"""Between a dense weight in the caller's order of units and the stored blocks of the sorted one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from made_exp.kernels.dense import make_mask
from made_exp.kernels.layout import BlockLayout, plan_blocks, visible_counts

# Masks of the steps of a staircase are kept up to this many numbers (4 MB), else made in each call.
MAX_KEPT_STEPS = 1_000_000


@dataclass(frozen=True)
class PackedStructure:
    """What a packed layer needs besides its weights.

    Attributes:
        layout: The stored blocks.
        in_degrees: (I,) int64 sorted degrees.
        out_degrees: (O,) int64 sorted degrees.
        in_order: (2, I) int64: the order that sorts the inputs, and its inverse; None if sorted.
        out_order: (2, O) int64: likewise for the outputs.
    """

    layout: BlockLayout
    in_degrees: Tensor
    out_degrees: Tensor
    in_order: Tensor | None = None
    out_order: Tensor | None = None

    @cached_property
    def stepped(self) -> tuple[int, ...]:
        """The blocks whose rows do not all see the same inputs."""
        pairs = zip(self.layout.shared, self.layout.widths, strict=True)
        return tuple(b for b, (shared, width) in enumerate(pairs) if shared < width)

    @cached_property
    def kept_masks(self) -> list[Tensor] | None:
        """`step_mask` of each of the `stepped` blocks; None where they are too large to be kept."""
        heights, shared, widths = self.layout.heights, self.layout.shared, self.layout.widths
        size = sum(heights[b] * (widths[b] - shared[b]) for b in self.stepped)
        return [self.step_mask(b) for b in self.stepped] if size <= MAX_KEPT_STEPS else None

    def step_mask(self, b: int) -> Tensor:
        """The mask (rows, width - shared), 0 or 1, of the inputs that not all of block b sees."""
        rows = slice(self.layout.row_starts[b], self.layout.row_starts[b + 1])
        columns = slice(self.layout.shared[b], self.layout.widths[b])
        return make_mask(self.in_degrees[columns], self.out_degrees[rows], torch.float32)


def build_structure(
    in_degrees: Tensor, out_degrees: Tensor, dtype: torch.dtype = torch.float32
) -> PackedStructure:
    """Sort the units and choose the blocks.

    Args:
        in_degrees: (I,) int64.
        out_degrees: (O,) int64, O >= 1.
        dtype: In which products are mostly taken.
    """
    in_order, out_order = _sorting_order(in_degrees), _sorting_order(out_degrees)
    ins = in_degrees if in_order is None else in_degrees[in_order[0]]
    outs = out_degrees if out_order is None else out_degrees[out_order[0]]
    layout = plan_blocks(visible_counts(ins, outs).tolist(), len(ins), dtype)
    return PackedStructure(layout, ins, outs, in_order, out_order)


def pack(dense: Tensor, structure: PackedStructure) -> Tensor:
    """The stored vector (num_stored,) of a dense (O, I) weight; zero where the mask is."""
    s = structure
    columns = dense if s.in_order is None else dense.index_select(1, s.in_order[0])
    ordered = columns if s.out_order is None else columns.index_select(0, s.out_order[0])
    flat = dense.new_zeros(s.layout.num_stored)
    for rows, block in zip(s.layout.row_slices(), s.layout.blocks(flat), strict=True):
        width = block.shape[1]
        seen = s.out_degrees[rows, None] >= s.in_degrees[None, :width]
        block.copy_(torch.where(seen, ordered[rows, :width], 0))
    return flat


def unpack(flat: Tensor, structure: PackedStructure) -> Tensor:
    """The dense (O, I) weight, in the caller's order, of a stored vector (num_stored,)."""
    s = structure
    ordered = flat.new_zeros(s.layout.num_out, s.layout.num_in)
    for rows, block in zip(s.layout.row_slices(), s.layout.blocks(flat), strict=True):
        ordered[rows, : block.shape[1]] = block
    if s.out_order is not None:
        ordered = ordered.index_select(0, s.out_order[1])
    return ordered if s.in_order is None else ordered.index_select(1, s.in_order[1])


def _sorting_order(degrees: Tensor) -> Tensor | None:
    """(2, n) the stable order that sorts the degrees and its inverse; None if sorted already."""
    order = torch.argsort(degrees, stable=True)
    positions = torch.arange(len(degrees), device=degrees.device)
    if torch.equal(order, positions):
        return None
    inverse = torch.empty_like(order)
    inverse[order] = positions
    return torch.stack([order, inverse])
