"""Masked layers by blocks: sorted by degree, each block multiplies only the inputs it sees.

Legend: B batch, I inputs, O outputs, both sorted by degree.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from made_exp.kernels.dense import matmul_into
from made_exp.kernels.packing import PackedStructure


def seen_inputs(x: Tensor, structure: PackedStructure) -> list[Tensor]:
    """For each block the view (B, width) of the first columns of x (B, I), all that it sees."""
    size, stride, num_in = x.size(0), x.stride(), x.size(1)  # narrow takes twice as long
    return [
        x if width == num_in else x.as_strided((size, width), stride)
        for width in structure.layout.widths
    ]


def staircase_forward(
    seen: Sequence[Tensor], weight: Tensor, bias: Tensor | None, structure: PackedStructure
) -> Tensor:
    """Map `seen_inputs` of x (B, I) with stored weight (num_stored,) and bias (O,) to (B, O).

    Stored weights that the mask removes must be zero.
    """
    layout, x = structure.layout, seen[0]
    y = x.new_empty(x.size(0), layout.num_out)
    blocks = structure.views.of(weight, layout, x.dtype)
    parts = y.split_with_sizes(layout.heights, 1)
    for part, inputs, (_, transposed) in zip(parts, seen, blocks, strict=True):
        torch.mm(inputs, transposed, out=part)
    return y if bias is None else y.add_(bias)


def staircase_grad_input(grad: Tensor, weight: Tensor, structure: PackedStructure) -> Tensor:
    """The gradient of x (B, I), from grad (B, O) and the stored weight."""
    layout = structure.layout
    parts = grad.split_with_sizes(layout.heights, 1)
    blocks = structure.views.of(weight, layout, grad.dtype)
    grad_x = grad.new_empty(grad.size(0), layout.num_in)
    # The widest block comes last: what it does not reach no block does.
    if layout.widths[-1] < layout.num_in:
        grad_x[:, layout.widths[-1] :] = 0
    columns = seen_inputs(grad_x, structure)
    torch.mm(parts[-1], blocks[-1][0], out=columns[-1])
    for part, (block, _), reached in zip(
        parts[-2::-1], blocks[-2::-1], columns[-2::-1], strict=True
    ):
        reached.addmm_(part, block)
    return grad_x


def staircase_grad_weight(
    grad: Tensor,
    seen: Sequence[Tensor],
    weight: Tensor,
    structure: PackedStructure,
    out: Tensor | None = None,
) -> Tensor:
    """The gradient of the stored weight, in its dtype, from grad (B, O) and `seen_inputs`.

    It is written into `out` where that is given.
    """
    layout = structure.layout
    grad_weight = torch.empty_like(weight) if out is None else out
    parts, blocks = grad.t().split_with_sizes(layout.heights), layout.blocks(grad_weight)
    for part, block, inputs in zip(parts, blocks, seen, strict=True):
        matmul_into(block, part, inputs)
    if structure.whole_mask is not None:
        return grad_weight.mul_(structure.whole_mask)
    for b, (block, width, shared) in enumerate(
        zip(blocks, layout.widths, layout.shared, strict=True)
    ):
        mask = structure.step_mask(b)
        if mask is not None:
            block.narrow(1, shared, width - shared).mul_(mask)
    return grad_weight
