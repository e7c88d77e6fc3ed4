"""Masked layers by blocks: sorted by degree, each block multiplies only the inputs it sees.

Legend: B batch, I inputs, O outputs, both sorted by degree.
"""

import torch
from torch import Tensor

from made_exp.kernels.dense import comparable, matmul_into
from made_exp.kernels.layout import BlockLayout


def staircase_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, layout: BlockLayout
) -> Tensor:
    """Map x (B, I) with the stored weight (num_stored,) and bias (O,) to (B, O).

    Stored weights that the mask removes must be zero.
    """
    # `repeat` copies even for a batch of one, where an expanded bias would be its own storage.
    filled = x.new_zeros(layout.num_out) if bias is None else bias.to(x.dtype)
    y = filled.repeat(len(x), 1)
    for b, block in enumerate(layout.blocks(weight)):
        rows = y[:, layout.row_starts[b] : layout.row_starts[b + 1]]
        if layout.widths[b]:
            rows.addmm_(x[:, : layout.widths[b]], block.to(x.dtype).t())
    return y


def staircase_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    in_degrees: Tensor,
    out_degrees: Tensor,
    layout: BlockLayout,
    needs_x: bool,
    needs_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of x (B, I) and of the stored weight, from grad (B, O).

    Args:
        grad: (B, O), dtype of x.
        x: (B, I) input of the forward pass.
        weight: (num_stored,) stored blocks.
        in_degrees: (I,) sorted degrees.
        out_degrees: (O,) sorted degrees.
        layout: The blocks.
        needs_x: Whether the first gradient is wanted.
        needs_weight: Whether the second is.
    """
    grad_x = torch.zeros_like(x) if needs_x else None
    grad_weight = torch.empty_like(weight) if needs_weight else None
    if grad_weight is not None:
        ins, outs = comparable(in_degrees, weight), comparable(out_degrees, weight)
        for b, block in enumerate(layout.blocks(grad_weight)):
            rows = slice(layout.row_starts[b], layout.row_starts[b + 1])
            width, shared = layout.widths[b], layout.shared[b]
            matmul_into(block, grad[:, rows].t(), x[:, :width])
            if shared < width:
                step = block[:, shared:]
                mask = torch.empty_like(step, memory_format=torch.contiguous_format)
                torch.ge(outs[rows, None], ins[shared:width], out=mask)
                step.mul_(mask)
    if grad_x is not None:
        for b, block in enumerate(layout.blocks(weight)):
            rows = slice(layout.row_starts[b], layout.row_starts[b + 1])
            if layout.widths[b]:
                grad_x[:, : layout.widths[b]].addmm_(grad[:, rows], block.to(x.dtype))
    return grad_x, grad_weight
