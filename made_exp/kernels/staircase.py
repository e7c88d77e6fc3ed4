"""Masked layers by blocks: sorted by degree, each block multiplies only the inputs it sees.

Legend: B batch, I inputs, O outputs, both sorted by degree.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from made_exp.kernels.dense import matmul_into
from made_exp.kernels.layout import BlockLayout
from made_exp.kernels.packing import PackedStructure


def staircase_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, structure: PackedStructure
) -> Tensor:
    """Map x (B, I) with the stored weight (num_stored,) and bias (O,) to (B, O).

    Stored weights that the mask removes must be zero.
    """
    layout = structure.layout
    y = x.new_empty(len(x), layout.num_out)
    for part, block in zip(_columns(y, layout), structure.views.of(weight, layout), strict=True):
        torch.mm(_first(x, block.shape[1]), block.to(x.dtype).t(), out=part)
    return y if bias is None else y.add_(bias)


def staircase_grad_input(grad: Tensor, weight: Tensor, structure: PackedStructure) -> Tensor:
    """The gradient of x (B, I), from grad (B, O) and the stored weight."""
    layout = structure.layout
    parts, blocks = _columns(grad, layout), structure.views.of(weight, layout)
    grad_x = grad.new_empty(len(grad), layout.num_in)
    # The widest block comes last: what it does not reach no block does.
    widest = layout.widths[-1]
    if widest < layout.num_in:
        grad_x[:, widest:] = 0
    torch.mm(parts[-1], blocks[-1].to(grad.dtype), out=_first(grad_x, widest))
    for part, block in zip(parts[-2::-1], blocks[-2::-1], strict=True):
        _first(grad_x, block.shape[1]).addmm_(part, block.to(grad.dtype))
    return grad_x


def staircase_grad_weight(
    grad: Tensor, x: Tensor, weight: Tensor, structure: PackedStructure
) -> Tensor:
    """The gradient of the stored weight, in its dtype, from grad (B, O) and x (B, I)."""
    layout = structure.layout
    masks = structure.step_masks
    grad_weight = torch.empty_like(weight)
    parts, blocks = _columns(grad, layout), layout.blocks(grad_weight)
    for b, (part, block) in enumerate(zip(parts, blocks, strict=True)):
        width, shared = layout.widths[b], layout.shared[b]
        matmul_into(block, part.t(), _first(x, width))
        mask = masks[b] if masks else structure.step_mask(b)
        if mask is not None:
            block.narrow(1, shared, width - shared).mul_(mask)
    return grad_weight


def _columns(y: Tensor, layout: BlockLayout) -> Sequence[Tensor]:
    """The columns (B, rows) of y (B, O) that each block gives."""
    return y.split_with_sizes(layout.heights, 1)


def _first(x: Tensor, width: int) -> Tensor:
    """The first columns (B, width) of x (B, I)."""
    return x if x.shape[1] == width else x.narrow(1, 0, width)
