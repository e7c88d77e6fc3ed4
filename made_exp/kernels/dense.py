"""Masked layers with a dense weight, in any order of the units, or in one for each example.

Legend: B batch, I inputs, O outputs.
"""

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import linear
from typing_extensions import override

from made_exp.kernels.product import MaskedProduct, cast

# On the CPU the mask of up to this many weights (4 MB) is made once and used by the backward pass
# too. Larger ones are made in pieces of this size, which stay in the cache until their product
# has used them; such a mask as a whole never exists.
MAX_KEPT_MASK = 1_000_000

_Kept = tuple[Tensor, Tensor | None, Tensor | None]


def masked_linear_plain(
    x: Tensor, weight: Tensor, bias: Tensor | None, in_degrees: Tensor, out_degrees: Tensor
) -> Tensor:
    """The definition, x (W * M)^T + b, left to autograd: the twin of every backend in tests."""
    mask = out_degrees[:, None] >= in_degrees[None, :]
    return linear(x, torch.where(mask, weight, 0), bias)


def make_mask(in_degrees: Tensor, out_degrees: Tensor, dtype: torch.dtype) -> Tensor:
    """(O, I) of 0 and 1 in `dtype`, from degrees (I,) and (O,), made at the least cost."""
    # Floating numbers, exact to 2**24, are vectorised to compare.
    ins, outs = in_degrees.float(), out_degrees.float().unsqueeze(1)
    mask = torch.empty(outs.size(0), ins.size(0), dtype=dtype, device=ins.device)
    return torch.ge(outs, ins, out=mask)


@final
class DenseProduct(MaskedProduct):
    """x (W * M)^T + b as it is written, W dense.

    Args:
        in_degrees: (I,).
        out_degrees: (O,).
        mask: (O, I) of 0 and 1 in the dtype of the weight, where it is at hand already.
    """

    def __init__(self, in_degrees: Tensor, out_degrees: Tensor, mask: Tensor | None = None) -> None:
        self.in_degrees, self.out_degrees, self.mask = in_degrees, out_degrees, mask

    @override
    def is_differentiable(self, weight: Tensor) -> bool:
        return weight.is_cpu and weight.numel() <= MAX_KEPT_MASK

    @override
    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool
    ) -> tuple[Tensor, _Kept]:
        mask = masked = None
        if bias is not None:
            bias = cast(bias, x.dtype)
        if weight.is_cuda or weight.numel() <= MAX_KEPT_MASK:
            mask = self.mask
            if mask is None:
                mask = make_mask(self.in_degrees, self.out_degrees, weight.dtype)
            masked = cast(weight * mask, x.dtype)
            y = linear(x, masked, bias)
        else:
            y = x.new_zeros(len(x), len(weight)) if bias is None else bias.repeat(len(x), 1)
            for rows, piece in self._pieces(weight):
                y[:, rows].addmm_(x, piece.mul_(weight[rows]).to(x.dtype).t())
        return y.relu_() if relu else y, (x, mask, masked)

    @override
    def backward(
        self, grad: Tensor, weight: Tensor, kept: _Kept, needs_x: bool, out: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        x, mask, masked = kept
        grad_weight = torch.empty_like(weight) if out is None else out
        if mask is not None and masked is not None:
            matmul_into(grad_weight, grad.t(), x)
            grad_weight.mul_(mask)
            return grad.mm(masked) if needs_x else None, grad_weight
        grad_x = torch.zeros_like(x) if needs_x else None
        for rows, piece in self._pieces(weight):
            matmul_into(grad_weight[rows], grad[:, rows].t(), x)
            grad_weight[rows].mul_(piece)
            if grad_x is not None:
                grad_x.addmm_(grad[:, rows], piece.mul_(weight[rows]).to(x.dtype))
        return grad_x, grad_weight

    def _pieces(self, weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Rows of the weight and the mask of them, which may be written over."""
        ins, outs = self.in_degrees.float(), self.out_degrees.float().unsqueeze(1)
        height = max(1, MAX_KEPT_MASK // weight.shape[1])
        buffer = weight.new_empty(height, weight.shape[1])
        for start in range(0, len(weight), height):
            rows = slice(start, min(start + height, len(weight)))
            yield rows, torch.ge(outs[rows], ins, out=buffer[: rows.stop - start])


def per_example_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, in_degrees: Tensor, out_degrees: Tensor
) -> Tensor:
    """y[b, o] = bias[o] + sum_i weight[o, i] x[b, i] [out_degrees[b, o] >= in_degrees[b, i]].

    No masked weight serves all examples. Inputs of one degree are multiplied together, and their
    product reaches the outputs that may see them.

    Args:
        x: (B, I), or (1, I) for every example.
        weight: (O, I).
        bias: (O,) or None.
        in_degrees: (B, I) int64; neighbours are alike in all examples or in none, as the features
            of one variable are; or (I,), in any order.
        out_degrees: (B, O) or (O,).

    Returns:
        (B, O).
    """
    if in_degrees.ndim == 1:
        order = torch.argsort(in_degrees, stable=True)
        x, weight, in_degrees = x[:, order], weight[:, order], in_degrees[order][None]
    batch = max(len(x), len(in_degrees), len(out_degrees) if out_degrees.ndim == 2 else 1)
    sizes = torch.unique_consecutive(in_degrees[0], return_counts=True)[1].tolist()
    blocks = zip(x.split(sizes, 1), weight.split(sizes, 1), in_degrees.split(sizes, 1), strict=True)
    y = weight.new_zeros(batch, len(weight)) if bias is None else bias.expand(batch, -1)
    for values, weights, degrees in blocks:
        y = y + torch.where(out_degrees >= degrees[:, :1], linear(values, weights), 0)
    return y


def matmul_into(out: Tensor, left: Tensor, right: Tensor) -> None:
    """Write left @ right into out, added up in float32 or wider and kept in the dtype of out."""
    if out.dtype == left.dtype:
        torch.mm(left, right, out=out)
    elif left.is_cuda:
        out.copy_(torch.mm(left, right, out_dtype=out.dtype))
    else:
        out.copy_(torch.mm(left, right))
