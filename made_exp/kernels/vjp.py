"""Masked products outside autograd: each returns its result and the pullback of its gradient.

What autograd does around the products of a small network takes a fifth of a training step.
Legend: B batch, I inputs, O outputs.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from made_exp.kernels.backends import choose_backend, compute_dtype
from made_exp.kernels.masked_linear import masked_backward, masked_forward
from made_exp.kernels.packed_linear import packed_backward, packed_forward
from made_exp.kernels.packing import PackedStructure

# From the gradient (B, O) of the result to those of x (B, I), the weight and the bias: that of x
# where the second argument says so, that of the weight in the memory of the third, if given.
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]
Pullback = Callable[[Tensor, bool, Tensor | None], Gradients]


def packed_linear_vjp(
    x: Tensor, weight: Tensor, bias: Tensor | None, structure: PackedStructure, activation: str
) -> tuple[Tensor, Pullback]:
    """`packed_linear` by blocks and its pullback; arguments are the same."""
    dtype = compute_dtype(x, weight)
    y, seen = packed_forward(x, weight, bias, structure, "staircase", activation, dtype)
    kept = y if activation == "relu" else None

    def pullback(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
        needs = needs_x, True, bias is not None
        return packed_backward(
            grad, x, weight, kept, structure, "staircase", dtype, needs, seen, out
        )

    return y, pullback


def kept_mask_vjp(
    x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, activation: str
) -> tuple[Tensor, Pullback]:
    """`kept_mask_linear` and its pullback; arguments are the same."""
    masked = weight * mask
    y = torch.nn.functional.linear(x, masked, bias)
    kept = y.relu_() if activation == "relu" else None

    def pullback(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
        if kept is not None:
            grad = torch.ops.aten.threshold_backward.default(grad, kept, 0)
        grad_x = grad.mm(masked) if needs_x else None
        grad_weight = torch.mm(grad.t(), x, out=out).mul_(mask)
        return grad_x, grad_weight, None if bias is None else grad.sum(0)

    return y, pullback


def masked_linear_vjp(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    backend: str,
    activation: str,
) -> tuple[Tensor, Pullback]:
    """`masked_linear` and its pullback; arguments are the same."""
    dtype, degrees = compute_dtype(x, weight), (in_degrees, out_degrees)
    if backend == "auto":
        num_out, num_in = weight.shape
        backend = choose_backend(x.device, num_in, num_out, batch=x.size(0), resampled=True)
    y = masked_forward(x, weight, bias, *degrees, backend, activation, dtype)
    kept = y if activation == "relu" else None

    def pullback(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
        needs = needs_x, True, bias is not None
        return masked_backward(grad, x, weight, kept, *degrees, backend, dtype, needs, out)

    return y, pullback
