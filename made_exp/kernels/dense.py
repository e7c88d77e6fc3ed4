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


def kept_mask_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, activation: str
) -> Tensor:
    """The definition again, with a mask (O, I) of 0 and 1, which autograd keeps."""
    y = torch.nn.functional.linear(x, weight * mask, bias)
    return y.relu_() if activation == "relu" else y


def make_mask(in_degrees: Tensor, out_degrees: Tensor, dtype: torch.dtype) -> Tensor:
    """(O, I) of 0 and 1 in `dtype`, from degrees (I,) and (O,), made at the least cost."""
    size = out_degrees.size(0), in_degrees.size(0)
    mask = torch.empty(size, dtype=dtype, device=in_degrees.device)
    return torch.ge(out_degrees.unsqueeze(1), in_degrees, out=mask)


def dense_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, in_degrees: Tensor, out_degrees: Tensor
) -> Tensor:
    """Map x (B, I) with weight (O, I) to (B, O), in the dtype of x."""
    ins, outs = _comparable(in_degrees, out_degrees)
    bias = None if bias is None else bias.to(x.dtype)
    chunks = _chunks(weight)
    mask = weight.new_empty(chunks[0].stop, weight.shape[1])
    if len(chunks) == 1:
        masked = torch.ge(outs, ins, out=mask).mul_(weight)
        return torch.nn.functional.linear(x, masked.to(x.dtype), bias)
    y = x.new_zeros(len(x), len(weight))
    if bias is not None:
        y.copy_(bias)
    for rows in chunks:
        masked = torch.ge(outs[rows], ins, out=mask[: rows.stop - rows.start]).mul_(weight[rows])
        y[:, rows].addmm_(x, masked.to(x.dtype).t())
    return y


def dense_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    in_degrees: Tensor,
    out_degrees: Tensor,
    needs_x: bool,
    needs_weight: bool,
    out: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of x (B, I) and weight (O, I) from grad (B, O); None where not needed.

    That of the weight is written into `out` where that is given.
    """
    ins, outs = _comparable(in_degrees, out_degrees)
    chunks = _chunks(weight)
    buffer = weight.new_empty(chunks[0].stop, weight.shape[1])
    if len(chunks) == 1 and grad.dtype == weight.dtype:
        mask = torch.ge(outs, ins, out=buffer)
        grad_weight = torch.mm(grad.t(), x, out=out).mul_(mask) if needs_weight else None
        return grad.mm(mask.mul_(weight)) if needs_x else None, grad_weight
    grad_weight = None
    if needs_weight:
        grad_weight = torch.empty_like(weight) if out is None else out
    grad_x = torch.zeros_like(x) if needs_x else None
    for rows in chunks:
        mask = torch.ge(outs[rows], ins, out=buffer[: rows.stop - rows.start])
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


def _comparable(in_degrees: Tensor, out_degrees: Tensor) -> tuple[Tensor, Tensor]:
    """Degrees as (1, I) and (O, 1) floating numbers, exact to 2**24: vectorised to compare."""
    return in_degrees.float()[None, :], out_degrees.float()[:, None]


def _chunks(weight: Tensor) -> list[slice]:
    if weight.is_cuda:  # launches cost more there than the cache gains
        return [slice(0, len(weight))]
    num_rows = max(1, CHUNK_WEIGHTS // max(1, weight.shape[1]))
    starts = range(0, max(1, len(weight)), num_rows)
    return [slice(start, min(start + num_rows, len(weight))) for start in starts]
