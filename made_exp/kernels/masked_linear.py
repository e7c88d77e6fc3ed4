"""A linear layer whose mask is given by degrees: y = x (W * M)^T + b, M[o, i] = [d_o >= d_i].

Legend: B batch, I inputs, O outputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from made_exp.kernels.backends import (
    ACTIVATIONS,
    MAX_KEPT_MASK,
    check_backend,
    choose_backend,
    compute_dtype,
)
from made_exp.kernels.dense import dense_backward, dense_forward, kept_mask_linear, make_mask
from made_exp.kernels.packing import build_structure, pack, unpack
from made_exp.kernels.staircase import (
    seen_inputs,
    staircase_forward,
    staircase_grad_input,
    staircase_grad_weight,
)


def masked_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    *,
    backend: str = "auto",
    activation: str = "none",
) -> Tensor:
    """Map x (B, I) to (B, O); output o sees input i where out_degrees[o] >= in_degrees[i].

    Exact for any weights, also where the mask removes them, and for degrees in any order.

    Args:
        x: (B, I).
        weight: (O, I), the dtype of x unless autocast is on.
        bias: (O,) or None.
        in_degrees: (I,) int64.
        out_degrees: (O,) int64.
        backend: auto, dense, staircase (sorts and gathers in each call) or triton.
        activation: none or relu, applied to the result.

    Raises:
        ValueError: Shapes, dtypes or names that do not fit, or a backend that cannot run here.
    """
    _check(x, weight, bias, in_degrees, out_degrees, activation)
    check_backend(backend, x.device)
    dtype, chosen = compute_dtype(x, weight), backend
    if backend == "auto":
        chosen = choose_backend(x.device, x.shape[1], len(weight), batch=len(x), resampled=True)
        if chosen == "dense" and weight.numel() <= MAX_KEPT_MASK:
            mask = make_mask(in_degrees, out_degrees, weight.dtype)
            return kept_mask_linear(x, weight, bias, mask, activation)
    arguments = (x, weight, bias, in_degrees, out_degrees, chosen, activation, dtype)
    if torch.compiler.is_compiling():
        return masked_linear_op(*arguments)
    return _MaskedLinear.apply(*arguments)


def _check(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    activation: str,
) -> None:
    num_out, num_in = weight.shape
    expected = {"in_degrees": (num_in,), "out_degrees": (num_out,), "bias": (num_out,)}
    given = {"in_degrees": in_degrees, "out_degrees": out_degrees, "bias": bias}
    for name, tensor in given.items():
        if tensor is not None and tuple(tensor.shape) != expected[name]:
            raise ValueError(
                f"{name}: got shape {tuple(tensor.shape)}; allowed: {expected[name]}, "
                f"for a weight of shape {tuple(weight.shape)}"
            )
    if x.ndim != 2 or x.shape[1] != num_in:
        raise ValueError(f"x: got shape {tuple(x.shape)}; allowed: (batch, {num_in})")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: got {activation!r}; allowed: {', '.join(ACTIVATIONS)}")


def masked_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    backend: str,
    activation: str,
    dtype: torch.dtype,
) -> Tensor:
    """The result (B, O) by a backend that is not auto."""
    x, relu = x.to(dtype), activation == "relu"
    if backend == "triton":
        kernels = _triton()
        rows = kernels.dense_rows(in_degrees, out_degrees)
        return kernels.triton_forward(x, weight.contiguous(), bias, rows, relu=relu, dtype=dtype)
    if backend == "staircase":
        s = build_structure(in_degrees, out_degrees)
        if s.in_order is not None:
            x = x.index_select(1, s.in_order[0])
        y = staircase_forward(seen_inputs(x, s), pack(weight, s), None, s)
        y = y if s.out_order is None else y.index_select(1, s.out_order[1])
        y = y if bias is None else y.add_(bias)
    else:
        y = dense_forward(x, weight, bias, in_degrees, out_degrees)
    return y.relu_() if relu else y


def masked_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    backend: str,
    dtype: torch.dtype,
    needs: Sequence[bool],
    out: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of x, weight and bias.

    y is given where it went through a relu; the dense kernel writes the gradient of the weight
    into `out` where that is given.
    """
    grad, needs_x, needs_weight = grad.to(dtype), needs[0], needs[1]
    if y is not None:
        grad = torch.ops.aten.threshold_backward.default(grad, y, 0)
    grad_bias = grad.sum(0, dtype=weight.dtype) if needs[2] else None
    grad_x: Tensor | None = None
    grad_weight: Tensor | None = None
    x_dtype, x = x.dtype, x.to(dtype)
    if backend == "triton":
        kernels, weight = _triton(), weight.contiguous()
        rows = kernels.dense_rows(in_degrees, out_degrees)
        if needs_x:
            grad_x = kernels.triton_grad_input(grad, weight, rows, dtype=dtype)
        if needs_weight:
            grad_weight = kernels.triton_grad_weight(grad, x, weight, rows, dtype=dtype)
    elif backend == "staircase":
        grad_x, grad_weight = _staircase_backward(
            grad, x, weight, in_degrees, out_degrees, needs_x, needs_weight
        )
    else:
        grad_x, grad_weight = dense_backward(
            grad, x, weight, in_degrees, out_degrees, needs_x, needs_weight, out
        )
    return grad_x if grad_x is None else grad_x.to(x_dtype), grad_weight, grad_bias


def _staircase_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    in_degrees: Tensor,
    out_degrees: Tensor,
    needs_x: bool,
    needs_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    s = build_structure(in_degrees, out_degrees)
    if s.in_order is not None:
        x = x.index_select(1, s.in_order[0])
    if s.out_order is not None:
        grad = grad.index_select(1, s.out_order[0])
    stored = pack(weight, s)
    grad_x = staircase_grad_input(grad, stored, s) if needs_x else None
    seen = seen_inputs(x, s)
    grad_weight = staircase_grad_weight(grad, seen, stored, s) if needs_weight else None
    if grad_x is not None and s.in_order is not None:
        grad_x = grad_x.index_select(1, s.in_order[1])
    return grad_x, None if grad_weight is None else unpack(grad_weight, s)


class _MaskedLinear(torch.autograd.Function):
    """The op without the dispatcher's cost, which a small network would feel."""

    # A separate setup_context would inspect the signature in each call, at ten times the cost.
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        in_degrees: Tensor,
        out_degrees: Tensor,
        backend: str,
        activation: str,
        dtype: torch.dtype,
    ) -> Tensor:
        y = masked_forward(x, weight, bias, in_degrees, out_degrees, backend, activation, dtype)
        kept = y if activation == "relu" else None
        ctx.save_for_backward(x, weight, kept, in_degrees, out_degrees)
        ctx.backend, ctx.dtype = backend, dtype
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight, y, ins, outs = ctx.saved_tensors
        needs = ctx.needs_input_grad
        found = masked_backward(grads[0], x, weight, y, ins, outs, ctx.backend, ctx.dtype, needs)
        return *found, *[None] * 5


@torch.library.custom_op("made_exp::masked_linear", mutates_args=())
def masked_linear_op(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    backend: str,
    activation: str,
    dtype: torch.dtype,
) -> Tensor:
    """`masked_linear` as an operator that torch.compile sees."""
    return masked_forward(x, weight, bias, in_degrees, out_degrees, backend, activation, dtype)


@masked_linear_op.register_fake
def _(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], dtype=rest[-1])


@torch.library.custom_op("made_exp::masked_linear_backward", mutates_args=())
def masked_linear_backward_op(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    backend: str,
    dtype: torch.dtype,
    needs: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias; empty where `needs` is 0."""
    found = masked_backward(
        grad, x, weight, y, in_degrees, out_degrees, backend, dtype, [bool(n) for n in needs]
    )
    a, b, c = (grad.new_empty(0) if g is None else g for g in found)
    return a, b, c


@masked_linear_backward_op.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    needs = rest[-1]
    return (
        torch.empty_like(x) if needs[0] else grad.new_empty(0),
        torch.empty_like(weight) if needs[1] else grad.new_empty(0),
        weight.new_empty(weight.shape[0]) if needs[2] else grad.new_empty(0),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, in_degrees, out_degrees, ctx.backend, activation, ctx.dtype = inputs
    y = output if activation == "relu" else None
    ctx.save_for_backward(x, weight, y, in_degrees, out_degrees)


def _op_backward(ctx: Any, grad: Tensor) -> Any:
    needs = ctx.needs_input_grad[:3]
    grads = masked_linear_backward_op(
        grad, *ctx.saved_tensors, ctx.backend, ctx.dtype, [int(n) for n in needs]
    )
    found = [g if needed else None for g, needed in zip(grads, needs, strict=True)]
    return *found, *[None] * 5


masked_linear_op.register_autograd(_op_backward, setup_context=_setup_context)


def _triton() -> Any:
    from made_exp.kernels import triton_linear

    return triton_linear
