"""Masked layers of fixed connectivity: only the visible blocks of the weight are stored.

Legend: B batch, I inputs, O outputs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from made_exp.kernels.backends import compute_dtype
from made_exp.kernels.layout import BlockLayout
from made_exp.kernels.packing import PackedStructure
from made_exp.kernels.staircase import (
    seen_inputs,
    staircase_forward,
    staircase_grad_input,
    staircase_grad_weight,
)


def packed_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    structure: PackedStructure,
    *,
    backend: str = "staircase",
    activation: str = "none",
) -> Tensor:
    """Map x (B, I), units in the caller's order, to (B, O).

    Args:
        x: (B, I).
        weight: (num_stored,) blocks of the sorted weight; zero where the mask is.
        bias: (O,) in the caller's order, or None.
        structure: Which weights are stored and seen.
        backend: staircase or triton.
        activation: none or relu, applied to the result.
    """
    s, dtype = structure, compute_dtype(x, weight)
    if not torch.compiler.is_compiling():
        return _PackedLinear.apply(x, weight, bias, s, backend, activation, dtype)
    tensors = (s.in_degrees, s.out_degrees, s.rows, s.first_rows, s.in_order, s.out_order)
    lists = (list(s.layout.row_starts), list(s.layout.widths), list(s.layout.shared))
    return packed_linear_op(x, weight, bias, *tensors, *lists, backend, activation, dtype)


def packed_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    structure: PackedStructure,
    backend: str,
    activation: str,
    dtype: torch.dtype,
) -> tuple[Tensor, list[Tensor] | None]:
    """The result (B, O), and what the blocks saw where the backward pass can use it again."""
    s, relu = structure, activation == "relu"
    sorted_bias = bias if bias is None or s.out_order is None else bias[s.out_order[0]]
    sorted_x = _take(x.to(dtype), s.in_order, 0)
    if backend == "staircase":
        seen = seen_inputs(sorted_x, s)
        y = staircase_forward(seen, weight, sorted_bias, s)
        y = y.relu_() if relu else y
        return _take(y, s.out_order, 1), seen if sorted_x is x else None
    y = _triton().triton_forward(sorted_x, weight, sorted_bias, _rows(s), relu=relu, dtype=dtype)
    return _take(y, s.out_order, 1), None


def packed_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    structure: PackedStructure,
    backend: str,
    dtype: torch.dtype,
    needs: Sequence[bool],
    seen: Sequence[Tensor] | None = None,
    out: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of x, weight and bias.

    y is given where it went through a relu, `seen` where the forward pass kept it; by blocks the
    gradient of the weight is written into `out` where that is given.
    """
    s = structure
    grad = grad.to(dtype)
    if y is not None:
        grad = torch.ops.aten.threshold_backward.default(grad, y, 0)
    grad_bias = grad.sum(0, dtype=weight.dtype) if needs[2] else None
    grad = _take(grad, s.out_order, 0)
    sorted_x = x if seen else _take(x.to(dtype), s.in_order, 0)
    grad_x: Tensor | None
    grad_weight: Tensor | None
    if backend == "triton":
        kernels, rows = _triton(), _rows(s)
        grad_x = kernels.triton_grad_input(grad, weight, rows, dtype=dtype) if needs[0] else None
        grad_weight = (
            kernels.triton_grad_weight(grad, sorted_x, weight, rows, dtype=dtype)
            if needs[1]
            else None
        )
    else:
        grad_x = staircase_grad_input(grad, weight, s) if needs[0] else None
        seen = seen or seen_inputs(sorted_x, s)
        grad_weight = staircase_grad_weight(grad, seen, weight, s, out) if needs[1] else None
    if grad_x is not None:
        grad_x = _take(grad_x, s.in_order, 1).to(x.dtype)
    return grad_x, grad_weight, grad_bias


class _PackedLinear(torch.autograd.Function):
    """The op without the dispatcher's cost, which a small network would feel."""

    # A separate setup_context would inspect the signature in each call, at ten times the cost.
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        structure: PackedStructure,
        backend: str,
        activation: str,
        dtype: torch.dtype,
    ) -> Tensor:
        y, ctx.seen = packed_forward(x, weight, bias, structure, backend, activation, dtype)
        ctx.save_for_backward(x, weight, y if activation == "relu" else None)
        ctx.structure, ctx.backend, ctx.dtype = structure, backend, dtype
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight, y = ctx.saved_tensors
        options = (ctx.structure, ctx.backend, ctx.dtype, ctx.needs_input_grad, ctx.seen)
        return *packed_backward(grads[0], x, weight, y, *options), None, None, None, None


@torch.library.custom_op("made_exp::packed_linear", mutates_args=())
def packed_linear_op(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    rows: Tensor,
    first_rows: Tensor,
    in_order: Tensor | None,
    out_order: Tensor | None,
    row_starts: Sequence[int],
    widths: Sequence[int],
    shared: Sequence[int],
    backend: str,
    activation: str,
    dtype: torch.dtype,
) -> Tensor:
    """`packed_linear` as an operator that torch.compile sees; the lists are the BlockLayout."""
    layout = BlockLayout(len(in_degrees), tuple(row_starts), tuple(widths), tuple(shared))
    s = PackedStructure(layout, in_degrees, out_degrees, rows, first_rows, in_order, out_order)
    return packed_forward(x, weight, bias, s, backend, activation, dtype)[0]


@packed_linear_op.register_fake
def _(x: Tensor, weight: Tensor, bias: Any, in_degrees: Tensor, out_degrees: Tensor,
      *rest: Any) -> Tensor:  # fmt: skip
    return x.new_empty(x.shape[0], out_degrees.shape[0], dtype=rest[-1])


@torch.library.custom_op("made_exp::packed_linear_backward", mutates_args=())
def packed_linear_backward_op(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    in_degrees: Tensor,
    out_degrees: Tensor,
    rows: Tensor,
    first_rows: Tensor,
    in_order: Tensor | None,
    out_order: Tensor | None,
    row_starts: Sequence[int],
    widths: Sequence[int],
    shared: Sequence[int],
    backend: str,
    dtype: torch.dtype,
    needs: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias; empty where `needs` is 0."""
    layout = BlockLayout(len(in_degrees), tuple(row_starts), tuple(widths), tuple(shared))
    s = PackedStructure(layout, in_degrees, out_degrees, rows, first_rows, in_order, out_order)
    wanted = [bool(n) for n in needs]
    found = packed_backward(grad, x, weight, y, s, backend, dtype, wanted)
    a, b, c = (grad.new_empty(0) if g is None else g for g in found)
    return a, b, c


@packed_linear_backward_op.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    needs = rest[-1]
    return (
        torch.empty_like(x) if needs[0] else grad.new_empty(0),
        torch.empty_like(weight) if needs[1] else grad.new_empty(0),
        weight.new_empty(grad.shape[1]) if needs[2] else grad.new_empty(0),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2], output if inputs[13] == "relu" else None, *inputs[3:9])
    ctx.lists, ctx.backend, ctx.dtype = inputs[9:12], inputs[12], inputs[14]


def _op_backward(ctx: Any, grad: Tensor) -> Any:
    needs = ctx.needs_input_grad[:3]
    grads = packed_linear_backward_op(
        grad, *ctx.saved_tensors, *ctx.lists, ctx.backend, ctx.dtype, [int(n) for n in needs]
    )
    found = [g if needed else None for g, needed in zip(grads, needs, strict=True)]
    return *found, *[None] * 12


packed_linear_op.register_autograd(_op_backward, setup_context=_setup_context)


def _take(x: Tensor, order: Tensor | None, which: int) -> Tensor:
    return x if order is None else x.index_select(1, order[which])


def _triton() -> Any:
    from made_exp.kernels import triton_linear

    return triton_linear


def _rows(s: PackedStructure) -> Any:
    offsets, widths, visible = s.rows
    aligned = all(width % 16 == 0 for width in s.layout.widths)
    return _triton().Rows(
        s.in_degrees, s.out_degrees, offsets, widths, visible, s.first_rows, aligned
    )
