"""Masked layers by blocks: sorted by degree, each block multiplies only the inputs it sees.

Legend: B batch, I inputs, O outputs, both sorted by degree.
"""

import torch
from torch import Tensor

from made_exp.kernels.dense import matmul_into
from made_exp.kernels.packing import PackedStructure


def staircase_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, structure: PackedStructure
) -> Tensor:
    """Map x (B, I) with the stored weight (num_stored,) and bias (O,) to (B, O).

    Stored weights that the mask removes must be zero.
    """
    layout = structure.layout
    y = x.new_empty(len(x), layout.num_out)
    if bias is not None:
        y.copy_(bias)
    for rows, width, block in layout.blocks(weight):
        part, seen, transposed = y[:, rows], x.narrow(1, 0, width), block.to(x.dtype).t()
        if bias is None:
            torch.mm(seen, transposed, out=part)
        else:
            part.addmm_(seen, transposed)
    return y


def staircase_grad_input(grad: Tensor, weight: Tensor, structure: PackedStructure) -> Tensor:
    """The gradient of x (B, I), from grad (B, O) and the stored weight."""
    layout = structure.layout
    grad_x = grad.new_empty(len(grad), layout.num_in)
    covered = 0
    for rows, width, block in reversed(layout.blocks(weight)):
        part, rising, block = grad_x.narrow(1, 0, width), grad[:, rows], block.to(grad.dtype)
        if covered:
            part.addmm_(rising, block)
        else:  # the widest block comes first: what it does not reach no block does
            torch.mm(rising, block, out=part)
            grad_x[:, width:] = 0
        covered = max(covered, width)
    return grad_x


def staircase_grad_weight(
    grad: Tensor, x: Tensor, weight: Tensor, structure: PackedStructure
) -> Tensor:
    """The gradient of the stored weight, in its dtype, from grad (B, O) and x (B, I)."""
    layout = structure.layout
    masks = structure.step_masks
    grad_weight = torch.empty_like(weight)
    for b, (rows, width, block) in enumerate(layout.blocks(grad_weight)):
        matmul_into(block, grad[:, rows].t(), x.narrow(1, 0, width))
        mask = masks[b] if masks else structure.step_mask(b)
        if mask is not None:
            block.narrow(1, layout.shared[b], width - layout.shared[b]).mul_(mask)
    return grad_weight
