"""A linear layer whose mask is given by degrees: y = x (W * M)^T + b, M[o, i] = [d_o >= d_i].

How it is computed, forward and backward, is a `MaskedProduct`: a pair of functions outside
autograd. `masked_product` puts one under autograd, `product_vjp` gives its pullback itself.

Legend: B batch, I inputs, O outputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from made_exp.kernels.backends import compute_dtype

# From the gradient (B, O) of the result to those of x (B, I), the weight and the bias: that of x
# where the second argument says so, that of the weight in the memory of the third, if given.
Gradients = tuple[Tensor | None, Tensor, Tensor | None]
Pullback = Callable[[Tensor, bool, Tensor | None], Gradients]


class MaskedProduct(ABC):
    """One way to compute a masked product; `product_forward` says what it stands for.

    Attributes:
        in_order: (2, I) int64: the order of inputs in which the two methods take x and give its
            gradient, and its inverse; None for the caller's.
        out_order: (2, O) int64: likewise for the outputs.
    """

    in_order: Tensor | None = None
    out_order: Tensor | None = None

    def is_differentiable(self, weight: Tensor) -> bool:
        """Whether autograd can follow `forward` and takes less time than a function of Python."""
        return False

    @abstractmethod
    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool
    ) -> tuple[Tensor, Any]:
        """The result (B, O) in the dtype of x (B, I), and what `backward` can use again."""

    @abstractmethod
    def backward(
        self, grad: Tensor, weight: Tensor, kept: Any, needs_x: bool, out: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """Gradients of x, None if not needed, and weight from grad (B, O) before the relu.

        That of the weight has its dtype, and may be written into `out` where that is given.
        """


def product_forward(
    product: MaskedProduct,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    relu: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Any]:
    """The result (B, O) in `dtype`, units in the caller's order, and what the gradient can use."""
    outs = product.out_order
    sorted_bias = bias if bias is None or outs is None else bias[outs[0]]
    sorted_x = _take(cast(x, dtype), product.in_order, 0)
    y, kept = product.forward(sorted_x, weight, sorted_bias, relu)
    return _take(y, outs, 1), kept


def product_backward(
    product: MaskedProduct,
    grad: Tensor,
    weight: Tensor,
    y: Tensor | None,
    kept: Any,
    dtype: torch.dtype,
    needs_x: bool,
    needs_bias: bool,
    out: Tensor | None = None,
) -> Gradients:
    """Gradients of x, in `dtype`, weight and bias; y is given where it went through a relu."""
    grad = cast(grad, dtype)
    if y is not None:
        grad = torch.ops.aten.threshold_backward.default(grad, y, 0)
    grad_bias = grad.sum(0, dtype=weight.dtype) if needs_bias else None
    grad = _take(grad, product.out_order, 0)
    grad_x, grad_weight = product.backward(grad, weight, kept, needs_x, out)
    if grad_x is not None:
        grad_x = _take(grad_x, product.in_order, 1)
    return grad_x, grad_weight, grad_bias


def masked_product(
    product: MaskedProduct, x: Tensor, weight: Tensor, bias: Tensor | None, activation: str
) -> Tensor:
    """Map x (B, I) to (B, O) under autograd.

    Args:
        product: How; it fits the weight.
        x: (B, I), the dtype of the weight unless autocast is on.
        weight: (O, I), or the blocks that the product takes.
        bias: (O,) or None.
        activation: none or relu, applied to the result.
    """
    dtype, relu = compute_dtype(x, weight), activation == "relu"
    if product.is_differentiable(weight):
        return product_forward(product, x, weight, bias, relu, dtype)[0]
    return _Product.apply(x, weight, bias, product, relu, dtype)


def product_vjp(
    product: MaskedProduct, x: Tensor, weight: Tensor, bias: Tensor | None, activation: str
) -> tuple[Tensor, Pullback]:
    """`masked_product` outside autograd, and its pullback; arguments are the same."""
    dtype, relu = compute_dtype(x, weight), activation == "relu"
    y, kept = product_forward(product, x, weight, bias, relu, dtype)
    seen = y if relu else None

    def pullback(grad: Tensor, needs_x: bool, out: Tensor | None) -> Gradients:
        needs_bias = bias is not None
        return product_backward(product, grad, weight, seen, kept, dtype, needs_x, needs_bias, out)

    return y, pullback


class _Product(torch.autograd.Function):
    """The product without the dispatcher's cost, which a small network would feel."""

    # A separate setup_context would inspect the signature in each call, at ten times the cost.
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        product: MaskedProduct,
        relu: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        y, ctx.kept = product_forward(product, x, weight, bias, relu, dtype)
        ctx.save_for_backward(weight, y if relu else None)
        ctx.product, ctx.dtype, ctx.x_dtype = product, dtype, x.dtype
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        weight, y = ctx.saved_tensors
        needs_x, _, needs_bias = ctx.needs_input_grad[:3]
        grad_x, *others = product_backward(
            ctx.product, grads[0], weight, y, ctx.kept, ctx.dtype, needs_x, needs_bias
        )
        grad_x = None if grad_x is None else grad_x.to(ctx.x_dtype)
        return grad_x, *others, None, None, None


def cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x.to(dtype)` at a tenth of the cost where x has that dtype."""
    return x if x.dtype is dtype else x.to(dtype)


def _take(x: Tensor, order: Tensor | None, which: int) -> Tensor:
    return x if order is None else x.index_select(1, order[which])
