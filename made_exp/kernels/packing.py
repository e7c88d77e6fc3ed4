"""Between a dense weight in the caller's order of units and the stored blocks of the sorted one."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from made_exp.kernels.layout import BlockLayout, plan_blocks, visible_counts

# Vectors of up to this many weights are masked in one go, by a float32 mask that is kept.
MAX_WHOLE_MASK = 250_000


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
    def comparable_degrees(self) -> tuple[Tensor, Tensor]:
        """Degrees of inputs (1, I) and outputs (O, 1) as float32, exact to 2**24.

        The comparison of floating numbers is vectorised.
        """
        return self.in_degrees.float()[None, :], self.out_degrees.float()[:, None]

    @cached_property
    def whole_mask(self) -> Tensor | None:
        """The mask (num_stored,), 0 or 1, of a small vector, which is masked as a whole.

        None where that would take longer than to mask each block where not all its rows see all.
        """
        layout = self.layout
        if layout.num_stored > MAX_WHOLE_MASK:
            return None
        mask = self.out_degrees.new_ones(layout.num_stored, dtype=torch.float32)
        for b, block in enumerate(layout.blocks(mask)):
            step = self.step_mask(b)
            if step is not None:
                block[:, layout.shared[b] :] = step
        return mask

    def step_mask(self, b: int) -> Tensor | None:
        """The mask (rows, width - shared), 0 or 1, of what not all rows of block b see, or None."""
        in_degrees, out_degrees = self.comparable_degrees
        rows = slice(self.layout.row_starts[b], self.layout.row_starts[b + 1])
        columns = slice(self.layout.shared[b], self.layout.widths[b])
        if columns.start == columns.stop:
            return None
        mask = in_degrees.new_empty(rows.stop - rows.start, columns.stop - columns.start)
        return torch.ge(out_degrees[rows], in_degrees[:, columns], out=mask)


def build_structure(in_degrees: Tensor, out_degrees: Tensor) -> PackedStructure:
    """Sort the units and choose the blocks.

    Args:
        in_degrees: (I,) int64.
        out_degrees: (O,) int64, O >= 1.
    """
    in_order, out_order = _sorting_order(in_degrees), _sorting_order(out_degrees)
    ins = in_degrees if in_order is None else in_degrees[in_order[0]]
    outs = out_degrees if out_order is None else out_degrees[out_order[0]]
    layout = plan_blocks(visible_counts(ins, outs).tolist(), len(ins))
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
