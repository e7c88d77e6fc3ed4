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
    if layout.is_dense:
        dense = weight.view(layout.num_out, layout.num_in).to(x.dtype)
        return torch.nn.functional.linear(x, dense, None if bias is None else bias.to(x.dtype))
    y = x.new_zeros(len(x), layout.num_out)
    if bias is not None:
        y.copy_(bias)
    for rows, width, block in layout.blocks(weight):
        y[:, rows].addmm_(x[:, :width], block.to(x.dtype).t())
    return y


def staircase_grad_input(grad: Tensor, weight: Tensor, structure: PackedStructure) -> Tensor:
    """The gradient of x (B, I), from grad (B, O) and the stored weight."""
    layout = structure.layout
    if layout.is_dense:
        return grad.mm(weight.view(layout.num_out, layout.num_in).to(grad.dtype))
    grad_x = grad.new_zeros(len(grad), layout.num_in)
    for rows, width, block in layout.blocks(weight):
        grad_x[:, :width].addmm_(grad[:, rows], block.to(grad.dtype))
    return grad_x


def staircase_grad_weight(
    grad: Tensor, x: Tensor, weight: Tensor, structure: PackedStructure
) -> Tensor:
    """The gradient of the stored weight, in its dtype, from grad (B, O) and x (B, I)."""
    layout = structure.layout
    in_degrees, out_degrees = structure.comparable_degrees
    if layout.is_dense and grad.dtype == weight.dtype:
        dense = grad.t().mm(x)
        return dense.mul_(torch.ge(out_degrees, in_degrees, out=torch.empty_like(dense))).view(-1)
    grad_weight = torch.empty_like(weight)
    for (rows, width, block), shared in zip(layout.blocks(grad_weight), layout.shared, strict=True):
        matmul_into(block, grad[:, rows].t(), x[:, :width])
        if shared < width:
            mask = block.new_empty(len(block), width - shared)
            torch.ge(out_degrees[rows], in_degrees[:, shared:width], out=mask)
            block[:, shared:].mul_(mask)
    return grad_weight
