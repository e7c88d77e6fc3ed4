"""Masked layers as Triton kernels: the mask exists only in registers, unseen tiles are skipped.

One weight format serves all: row o starts at `row_offsets[o]` of a flat vector and has
`row_widths[o]` numbers; a dense (O, I) matrix is the case o * I and I. `visible[o]` bounds the
inputs that output o reads, `first_rows[i]` the outputs that input i feeds, for any degrees; where
units are sorted by degree the bounds are tight and half of the tiles are never touched.

Legend: B batch, I inputs, O outputs; b, i, o run over them.
"""

from typing import Any, NamedTuple

# mypy: disallow-untyped-defs=False
# ruff: noqa: ANN001, ANN202  (what a kernel takes are pointers and numbers of Triton)
import torch
import triton
import triton.language as tl
from torch import Tensor

from made_exp.kernels.backends import triton_is_interpreted
from made_exp.kernels.layout import first_rows, visible_counts


class Rows(NamedTuple):
    """Where the weights of a layer lie and which of them matter; all int64."""

    in_degrees: Tensor
    """(I,)"""
    out_degrees: Tensor
    """(O,)"""
    offsets: Tensor
    """(O,)"""
    widths: Tensor
    """(O,)"""
    visible: Tensor
    """(O,)"""
    first_rows: Tensor
    """(I,)"""
    aligned: bool
    """Whether every row starts at a multiple of 16 numbers, so that wide loads are possible."""


class Tiles(NamedTuple):
    """Tile sizes along the batch, the inputs and the outputs, and warps per program."""

    batch: int = 64
    inputs: int = 64
    outputs: int = 64
    num_warps: int = 4


def dense_rows(in_degrees: Tensor, out_degrees: Tensor) -> Rows:
    """The rows of a dense (O, I) weight, units in any order; no host synchronisation."""
    num_in, num_out = len(in_degrees), len(out_degrees)
    offsets = torch.arange(num_out, device=in_degrees.device) * num_in
    return Rows(
        in_degrees,
        out_degrees,
        offsets,
        torch.full_like(offsets, num_in),
        visible_counts(in_degrees, out_degrees),
        first_rows(in_degrees, out_degrees),
        num_in % 16 == 0,
    )


def triton_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, rows: Rows, *, relu: bool, dtype: torch.dtype
) -> Tensor:
    """Map x (B, I) to (B, O) in `dtype`, with bias and activation in the same kernel."""
    _check_dtype(dtype)
    x, num_out = x.contiguous(), len(rows.out_degrees)
    y = torch.empty(len(x), num_out, dtype=dtype, device=x.device)
    if not y.numel():
        return y
    tiles = _tiles(len(x))
    grid = (triton.cdiv(len(x), tiles.batch), triton.cdiv(num_out, tiles.outputs))
    with _on(x):
        _forward_kernel[grid](
            x, weight, weight if bias is None else bias, y, *rows[:6],
            len(x), x.shape[1], num_out,
            HAS_BIAS=bias is not None, RELU=relu,
            **_options(tiles, rows, dtype),
        )  # fmt: skip
    return y


def triton_grad_input(grad: Tensor, weight: Tensor, rows: Rows, *, dtype: torch.dtype) -> Tensor:
    """The gradient of x (B, I) in `dtype` from grad (B, O)."""
    grad, num_in = grad.contiguous(), len(rows.in_degrees)
    grad_x = torch.empty(len(grad), num_in, dtype=dtype, device=grad.device)
    if not grad_x.numel():
        return grad_x
    tiles = _tiles(len(grad))
    grid = (triton.cdiv(len(grad), tiles.batch), triton.cdiv(num_in, tiles.inputs))
    with _on(grad):
        _grad_input_kernel[grid](
            grad, weight, grad_x, *rows[:6],
            len(grad), num_in, grad.shape[1],
            **_options(tiles, rows, dtype),
        )  # fmt: skip
    return grad_x


def triton_grad_weight(
    grad: Tensor, x: Tensor, weight: Tensor, rows: Rows, *, dtype: torch.dtype
) -> Tensor:
    """The gradient of the weight, in its shape and dtype, from grad (B, O) and x (B, I).

    Products are taken in `dtype` and added up in float32.
    """
    grad, x = grad.contiguous(), x.contiguous()
    grad_weight = torch.empty_like(weight)
    num_out, num_in = grad.shape[1], x.shape[1]
    if not grad_weight.numel():
        return grad_weight
    tiles = _tiles(len(x))
    grid = (triton.cdiv(num_in, tiles.inputs), triton.cdiv(num_out, tiles.outputs))
    with _on(x):
        _grad_weight_kernel[grid](
            grad, x, grad_weight, *rows[:6],
            len(x), num_in, num_out,
            **_options(tiles, rows, dtype),
        )  # fmt: skip
    return grad_weight


@triton.jit
def _forward_kernel(
    x, weight, bias, y,
    in_degrees, out_degrees, row_offsets, row_widths, visible, first_rows,
    num_b, num_i, num_o,
    HAS_BIAS: tl.constexpr, RELU: tl.constexpr,
    DTYPE: tl.constexpr, PRODUCT: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
    TILE_B: tl.constexpr, TILE_I: tl.constexpr, TILE_O: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0) * TILE_B + tl.arange(0, TILE_B)
    o = tl.program_id(1) * TILE_O + tl.arange(0, TILE_O)
    has_b, has_o = b < num_b, o < num_o
    out_degree = tl.load(out_degrees + o, mask=has_o, other=0).to(tl.int32)
    row = tl.load(row_offsets + o, mask=has_o, other=0)
    width = tl.load(row_widths + o, mask=has_o, other=0).to(tl.int32)
    limit = tl.max(tl.load(visible + o, mask=has_o, other=0).to(tl.int32), axis=0)
    if ALIGNED:  # told so, the compiler loads several numbers at once
        row, width = tl.multiple_of(row, 16), tl.multiple_of(width, 16)
        limit = tl.cdiv(limit, 16) * 16
    total = tl.zeros((TILE_B, TILE_O), dtype=tl.float32)
    for start in range(0, limit, TILE_I):
        i = start + tl.arange(0, TILE_I)
        has_i = i < limit
        in_degree = tl.load(in_degrees + i, mask=has_i, other=0).to(tl.int32)
        x_tile = tl.load(
            x + b[:, None].to(tl.int64) * num_i + i[None, :],
            mask=has_b[:, None] & has_i[None, :],
            other=0.0,
        )
        stored = i[:, None] < width[None, :]
        w_tile = tl.load(weight + row[None, :] + i[:, None], mask=stored, other=0.0)
        w_tile = tl.where(out_degree[None, :] >= in_degree[:, None], w_tile, 0.0)
        x_tile, w_tile = x_tile.to(DTYPE).to(PRODUCT), w_tile.to(DTYPE).to(PRODUCT)
        total += tl.dot(x_tile, w_tile, input_precision=PRECISION)
    if HAS_BIAS:
        total += tl.load(bias + o, mask=has_o, other=0.0).to(tl.float32)[None, :]
    if RELU:
        total = tl.maximum(total, 0.0, propagate_nan=tl.PropagateNan.ALL)
    where = y + b[:, None].to(tl.int64) * num_o + o[None, :]
    tl.store(where, total.to(y.dtype.element_ty), mask=has_b[:, None] & has_o[None, :])


@triton.jit
def _grad_input_kernel(
    grad, weight, grad_x,
    in_degrees, out_degrees, row_offsets, row_widths, visible, first_rows,
    num_b, num_i, num_o,
    DTYPE: tl.constexpr, PRODUCT: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
    TILE_B: tl.constexpr, TILE_I: tl.constexpr, TILE_O: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0) * TILE_B + tl.arange(0, TILE_B)
    i = tl.program_id(1) * TILE_I + tl.arange(0, TILE_I)
    has_b, has_i = b < num_b, i < num_i
    in_degree = tl.load(in_degrees + i, mask=has_i, other=0).to(tl.int32)
    first = tl.min(tl.load(first_rows + i, mask=has_i, other=num_o).to(tl.int32), axis=0)
    total = tl.zeros((TILE_B, TILE_I), dtype=tl.float32)
    for start in range(first // TILE_O * TILE_O, num_o, TILE_O):
        o = start + tl.arange(0, TILE_O)
        has_o = o < num_o
        out_degree = tl.load(out_degrees + o, mask=has_o, other=0).to(tl.int32)
        row = tl.load(row_offsets + o, mask=has_o, other=0)
        width = tl.load(row_widths + o, mask=has_o, other=0).to(tl.int32)
        if ALIGNED:
            row, width = tl.multiple_of(row, 16), tl.multiple_of(width, 16)
        g_tile = tl.load(
            grad + b[:, None].to(tl.int64) * num_o + o[None, :],
            mask=has_b[:, None] & has_o[None, :],
            other=0.0,
        )
        stored = i[None, :] < width[:, None]
        w_tile = tl.load(weight + row[:, None] + i[None, :], mask=stored, other=0.0)
        w_tile = tl.where(out_degree[:, None] >= in_degree[None, :], w_tile, 0.0)
        g_tile, w_tile = g_tile.to(DTYPE).to(PRODUCT), w_tile.to(DTYPE).to(PRODUCT)
        total += tl.dot(g_tile, w_tile, input_precision=PRECISION)
    where = grad_x + b[:, None].to(tl.int64) * num_i + i[None, :]
    tl.store(where, total.to(grad_x.dtype.element_ty), mask=has_b[:, None] & has_i[None, :])


@triton.jit
def _grad_weight_kernel(
    grad, x, grad_weight,
    in_degrees, out_degrees, row_offsets, row_widths, visible, first_rows,
    num_b, num_i, num_o,
    DTYPE: tl.constexpr, PRODUCT: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
    TILE_B: tl.constexpr, TILE_I: tl.constexpr, TILE_O: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * TILE_I + tl.arange(0, TILE_I)
    o = tl.program_id(1) * TILE_O + tl.arange(0, TILE_O)
    has_i, has_o = i < num_i, o < num_o
    in_degree = tl.load(in_degrees + i, mask=has_i, other=0).to(tl.int32)
    out_degree = tl.load(out_degrees + o, mask=has_o, other=0).to(tl.int32)
    row = tl.load(row_offsets + o, mask=has_o, other=0)
    width = tl.load(row_widths + o, mask=has_o, other=0).to(tl.int32)
    if ALIGNED:
        row, width = tl.multiple_of(row, 16), tl.multiple_of(width, 16)
    limit = tl.max(tl.load(visible + o, mask=has_o, other=0).to(tl.int32), axis=0)
    total = tl.zeros((TILE_O, TILE_I), dtype=tl.float32)
    if tl.program_id(0) * TILE_I < limit:
        for start in range(0, num_b, TILE_B):
            b = start + tl.arange(0, TILE_B)
            has_b = b < num_b
            g_tile = tl.load(
                grad + b[None, :].to(tl.int64) * num_o + o[:, None],
                mask=has_b[None, :] & has_o[:, None],
                other=0.0,
            )
            x_tile = tl.load(
                x + b[:, None].to(tl.int64) * num_i + i[None, :],
                mask=has_b[:, None] & has_i[None, :],
                other=0.0,
            )
            g_tile, x_tile = g_tile.to(DTYPE).to(PRODUCT), x_tile.to(DTYPE).to(PRODUCT)
            total += tl.dot(g_tile, x_tile, input_precision=PRECISION)
    total = tl.where(out_degree[:, None] >= in_degree[None, :], total, 0.0)
    stored = i[None, :] < width[:, None]  # no row beyond the last has a width
    where = grad_weight + row[:, None] + i[None, :]
    tl.store(where, total.to(grad_weight.dtype.element_ty), mask=stored)


_TL_DTYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


def _check_dtype(dtype: torch.dtype) -> None:
    if dtype not in _TL_DTYPES:
        allowed = ", ".join(str(d) for d in _TL_DTYPES)
        raise ValueError(f"kernel=triton: got {dtype}; allowed: {allowed}")


def _options(tiles: Tiles, rows: Rows, dtype: torch.dtype) -> dict[str, Any]:
    """What all three kernels are specialised for."""
    # Triton's interpreter would multiply the bits of bfloat16 numbers, not their values.
    widened = triton_is_interpreted() and dtype == torch.bfloat16
    return {
        "DTYPE": _TL_DTYPES[dtype],
        "PRODUCT": tl.float32 if widened else _TL_DTYPES[dtype],
        "PRECISION": _precision(),
        "ALIGNED": rows.aligned,
        "TILE_B": tiles.batch,
        "TILE_I": tiles.inputs,
        "TILE_O": tiles.outputs,
        "num_warps": tiles.num_warps,
        "enable_fp_fusion": True,
    }


def _tiles(batch: int) -> Tiles:
    """Tiles no larger along the batch than it needs; tl.dot wants 16 at least."""
    return Tiles(batch=min(64, max(16, triton.next_power_of_2(batch))))


def _precision() -> str:
    """How float32 products are taken: as torch's own matrix products are."""
    precision = torch.backends.cuda.matmul.fp32_precision
    if precision == "none":  # it inherits the setting of all backends
        precision = getattr(torch.backends, "fp32_precision", "ieee")
    return "tf32" if precision == "tf32" else "ieee"


def _on(tensor: Tensor) -> torch.cuda.device:
    """Kernels go to the current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device if tensor.is_cuda else -1)
