"""Masked layers by blocks: sorted by degree, each block multiplies only the inputs it sees.

Legend: B batch, I inputs, O outputs, both sorted by degree.
"""

from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.kernels.dense import matmul_into
from made_exp.kernels.packing import PackedStructure
from made_exp.kernels.product import MaskedProduct


@final
class StaircaseProduct(MaskedProduct):
    """The product with the stored blocks (num_stored,) of a weight, one block after the other.

    The weight in use is cut up once and not in each call. Its blocks keep its memory from other
    use, and so its address tells whether it is the same. A copy starts without any.

    Args:
        structure: Which weights are stored and seen; stored ones that the mask removes are zero.
    """

    def __init__(self, structure: PackedStructure) -> None:
        self.structure, self.layout = structure, structure.layout
        self.in_order, self.out_order = structure.in_order, structure.out_order
        self._key: tuple[int, torch.dtype] | None = None
        self._blocks: list[tuple[Tensor, Tensor]] = []

    def __reduce__(self) -> tuple[type[Self], tuple[PackedStructure]]:
        return type(self), (self.structure,)

    @override
    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool
    ) -> tuple[Tensor, list[Tensor]]:
        seen = self._seen(x)
        y = x.new_empty(x.size(0), self.layout.num_out)
        parts = y.split_with_sizes(self.layout.heights, 1)
        for part, inputs, (_, transposed) in zip(
            parts, seen, self._cut(weight, x.dtype), strict=True
        ):
            torch.mm(inputs, transposed, out=part)
        if bias is not None:
            y.add_(bias)
        return y.relu_() if relu else y, seen

    @override
    def backward(
        self, grad: Tensor, weight: Tensor, kept: list[Tensor], needs_x: bool, out: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        grad_x = self._grad_input(grad, weight) if needs_x else None
        return grad_x, self._grad_weight(grad, kept, weight, out)

    def _grad_input(self, grad: Tensor, weight: Tensor) -> Tensor:
        layout = self.layout
        parts = grad.split_with_sizes(layout.heights, 1)
        blocks = self._cut(weight, grad.dtype)
        grad_x = grad.new_empty(grad.size(0), layout.num_in)
        # The widest block comes last: what it does not reach no block does.
        if layout.widths[-1] < layout.num_in:
            grad_x[:, layout.widths[-1] :] = 0
        columns = self._seen(grad_x)
        torch.mm(parts[-1], blocks[-1][0], out=columns[-1])
        for part, (block, _), reached in zip(
            parts[-2::-1], blocks[-2::-1], columns[-2::-1], strict=True
        ):
            reached.addmm_(part, block)
        return grad_x

    def _grad_weight(
        self, grad: Tensor, seen: Sequence[Tensor], weight: Tensor, out: Tensor | None
    ) -> Tensor:
        structure, layout = self.structure, self.layout
        grad_weight = torch.empty_like(weight) if out is None else out
        parts, blocks = grad.t().split_with_sizes(layout.heights), layout.blocks(grad_weight)
        for part, block, inputs in zip(parts, blocks, seen, strict=True):
            matmul_into(block, part, inputs)
        shared, widths = layout.shared, layout.widths
        steps = [blocks[b].narrow(1, shared[b], widths[b] - shared[b]) for b in structure.stepped]
        if steps and structure.kept_masks is not None:
            torch._foreach_mul_(steps, structure.kept_masks)
        else:
            for b, step in zip(structure.stepped, steps, strict=True):
                step.mul_(structure.step_mask(b))
        return grad_weight

    def _seen(self, x: Tensor) -> list[Tensor]:
        """For each block the view (B, width) of the first columns of x (B, I), all it sees."""
        size, stride, num_in = x.size(0), x.stride(), x.size(1)  # narrow takes twice as long
        return [
            x if width == num_in else x.as_strided((size, width), stride)
            for width in self.layout.widths
        ]

    def _cut(self, weight: Tensor, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """The blocks of `weight` in `dtype`, (rows, width) and (width, rows)."""
        key = (weight.data_ptr(), weight.dtype)
        if key != self._key:
            blocks = self.layout.blocks(weight.detach())
            self._key, self._blocks = key, [(block, block.t()) for block in blocks]
        if weight.dtype == dtype:
            return self._blocks
        converted = [block.to(dtype) for block, _ in self._blocks]
        return [(block, block.t()) for block in converted]
