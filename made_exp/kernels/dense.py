"""Masked layers with a dense weight, in any order of the units.

Legend: B batch, I inputs, O outputs.
"""

import torch
from torch import Tensor

# Rows are masked in pieces of about this many weights, which stay in the cache until their
# matrix product has used them; the masked weight as a whole never exists.
CHUNK_WEIGHTS = 1_000_000


def masked_linear_plain(
    x: Tensor, weight: Tensor, bias: Tensor | None, in_degrees: Tensor, out_degrees: Tensor
) -> Tensor:
    """The definition, x (W * M)^T + b, left to autograd: the twin of every backend in tests."""
    mask = out_degrees[:, None] >= in_degrees[None, :]
    return torch.nn.functional.linear(x, torch.where(mask, weight, 0), bias)


def dense_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, in_degrees: Tensor, out_degrees: Tensor
) -> Tensor:
    """Map x (B, I) with weight (O, I) to (B, O), in the dtype of x."""
    y = x.new_empty(len(x), len(weight))
    ins, outs = comparable(in_degrees, weight), comparable(out_degrees, weight)
    mask = _buffer(weight)
    for rows in _chunks(weight):
        masked = torch.ge(outs[rows, None], ins, out=mask[: rows.stop - rows.start])
        masked = masked.mul_(weight[rows]).to(x.dtype)
        if bias is None:
            torch.mm(x, masked.t(), out=y[:, rows])
        else:
            torch.addmm(bias[rows].to(x.dtype), x, masked.t(), out=y[:, rows])
    return y


def dense_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    in_degrees: Tensor,
    out_degrees: Tensor,
    needs_x: bool,
    needs_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of x (B, I) and weight (O, I) from grad (B, O); None where not needed."""
    grad_x = torch.zeros_like(x) if needs_x else None
    grad_weight = torch.empty_like(weight) if needs_weight else None
    ins, outs = comparable(in_degrees, weight), comparable(out_degrees, weight)
    mask_buffer = _buffer(weight)
    for rows in _chunks(weight):
        mask = torch.ge(outs[rows, None], ins, out=mask_buffer[: rows.stop - rows.start])
        if grad_weight is not None:
            matmul_into(grad_weight[rows], grad[:, rows].t(), x)
            grad_weight[rows].mul_(mask)
        if grad_x is not None:
            grad_x.addmm_(grad[:, rows], mask.mul_(weight[rows]).to(x.dtype))
    return grad_x, grad_weight


def matmul_into(out: Tensor, left: Tensor, right: Tensor) -> None:
    """Write left @ right into out, added up in float32 or wider and kept in the dtype of out."""
    if out.dtype == left.dtype:
        torch.mm(left, right, out=out)
    elif left.is_cuda:
        out.copy_(torch.mm(left, right, out_dtype=out.dtype))
    else:
        out.copy_(torch.mm(left, right))


def comparable(degrees: Tensor, weight: Tensor) -> Tensor:
    """Degrees as floating numbers, exact to 2**24: the comparison of these is vectorised."""
    return degrees.to(torch.promote_types(weight.dtype, torch.float32))


def _buffer(weight: Tensor) -> Tensor:
    rows = min(len(weight), max(1, CHUNK_WEIGHTS // max(1, weight.shape[1])))
    return weight.new_empty(rows, weight.shape[1])


def _chunks(weight: Tensor) -> list[slice]:
    rows = max(1, CHUNK_WEIGHTS // max(1, weight.shape[1]))
    return [slice(r, min(r + rows, len(weight))) for r in range(0, len(weight), rows)]
