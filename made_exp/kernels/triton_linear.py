"""Masked layers as Triton kernels: the mask exists only in registers, unseen tiles are skipped.

One weight format serves all: row o starts at `row_offsets[o]` of a flat vector and has
`row_widths[o]` numbers; a dense (O, I) matrix is the case o * I and I. `visible[o]` bounds the
inputs that output o reads, `first_rows[i]` the outputs that input i feeds, for any degrees; where
units are sorted by degree the bounds are tight and half of the tiles are never touched.

Legend: B batch, I inputs, O outputs; b, i, o run over them.
"""

from typing import Any, NamedTuple, final

# mypy: disallow-untyped-defs=False
# ruff: noqa: ANN001, ANN202  (what a kernel takes are pointers and numbers of Triton)
import torch
import triton
import triton.language as tl
from torch import Tensor
from typing_extensions import override

from made_exp.kernels.backends import triton_is_interpreted
from made_exp.kernels.layout import first_rows, visible_counts
from made_exp.kernels.packing import PackedStructure
from made_exp.kernels.product import MaskedProduct
from made_exp.kernels.triton_tiles import Tiles, TritonKernel, tiles_of


class Rows(NamedTuple):
    """Where the weights of a layer lie and which of them matter.

    Attributes:
        in_degrees: (I,) int64.
        out_degrees: (O,) int64.
        offsets: (O,) int64.
        widths: (O,) int64.
        visible: (O,) int64.
        first_rows: (I,) int64.
        aligned: Whether every row starts at a multiple of 16 numbers, so that wide loads are
            possible.
    """

    in_degrees: Tensor
    out_degrees: Tensor
    offsets: Tensor
    widths: Tensor
    visible: Tensor
    first_rows: Tensor
    aligned: bool


def dense_rows(in_degrees: Tensor, out_degrees: Tensor) -> Rows:
    """The rows of a dense (O, I) weight, units in any order; no host synchronisation."""
    width = len(in_degrees)
    widths = torch.full_like(out_degrees, width, dtype=torch.int64)
    return _rows(in_degrees, out_degrees, widths, width % 16 == 0)


def packed_rows(structure: PackedStructure) -> Rows:
    """The rows of stored blocks."""
    ins, outs, layout = structure.in_degrees, structure.out_degrees, structure.layout
    aligned = all(width % 16 == 0 for width in layout.widths)
    return _rows(ins, outs, layout.row_widths().to(ins.device), aligned)


def _rows(ins: Tensor, outs: Tensor, widths: Tensor, aligned: bool) -> Rows:
    visible, first = visible_counts(ins, outs), first_rows(ins, outs)
    return Rows(ins, outs, widths.cumsum(0) - widths, widths, visible, first, aligned)


@final
class TritonProduct(MaskedProduct):
    """The product by one kernel forward and two backward, each with its mask in registers.

    Products are float32, bfloat16 or float16 as x is, and added up in float32.

    Args:
        rows: Where the weights lie.
        in_order: (2, I) int64, the order of the inputs in `rows` and its inverse; or None.
        out_order: (2, O) int64, likewise for the outputs.
    """

    def __init__(
        self, rows: Rows, in_order: Tensor | None = None, out_order: Tensor | None = None
    ) -> None:
        self.rows, self.in_order, self.out_order = rows, in_order, out_order

    @override
    def forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool
    ) -> tuple[Tensor, Tensor]:
        x = x.contiguous()
        return self._product(x, weight, bias, relu=relu, backward=False), x

    @override
    def backward(
        self, grad: Tensor, weight: Tensor, kept: Tensor, needs_x: bool, out: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        grad, grad_x = grad.contiguous(), None
        if needs_x:
            grad_x = self._product(grad, weight, None, relu=False, backward=True)
        return grad_x, self._grad_weight(grad, kept, weight)

    def _product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, *, relu: bool, backward: bool
    ) -> Tensor:
        """From x (B, I) to x W^T (B, O), or backward from x (B, O) to x W (B, I)."""
        weight, num_in = weight.contiguous(), len(self.rows.in_degrees)
        num_out = len(self.rows.out_degrees)
        kernel: TritonKernel = "grad_input" if backward else "forward"
        width = num_in if backward else num_out
        options = _options(x, self.rows, tiles_of(kernel, x.dtype, len(x), width))
        y = x.new_empty(len(x), num_in if backward else num_out)
        if y.numel():
            columns = options["TILE_I" if backward else "TILE_O"]
            grid = triton.cdiv(len(x), options["TILE_B"]), triton.cdiv(y.shape[1], columns)
            with _on(x):
                _product_kernel[grid](
                    x, weight, weight if bias is None else bias, y, *self.rows[:6],
                    len(x), num_in, num_out,
                    BACKWARD=backward, HAS_BIAS=bias is not None, RELU=relu, **options,
                )  # fmt: skip
        return y

    def _grad_weight(self, grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        width = min(grad.shape[1], x.shape[1])
        options = _options(x, self.rows, tiles_of("grad_weight", x.dtype, len(x), width))
        grad_weight = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
        num_out, num_in = grad.shape[1], x.shape[1]
        if grad_weight.numel():
            grid = (
                triton.cdiv(num_in, options["TILE_I"]), triton.cdiv(num_out, options["TILE_O"])
            )  # fmt: skip
            with _on(x):
                _grad_weight_kernel[grid](
                    grad, x, grad_weight, *self.rows[:6], len(x), num_in, num_out, **options
                )
        return grad_weight


@triton.jit
def _product_kernel(
    x, weight, bias, y,
    in_degrees, out_degrees, row_offsets, row_widths, visible, first_rows,
    num_b, num_i, num_o,
    BACKWARD: tl.constexpr, HAS_BIAS: tl.constexpr, RELU: tl.constexpr,
    DTYPE: tl.constexpr, PRODUCT: tl.constexpr, PRECISION: tl.constexpr, ALIGNED: tl.constexpr,
    TILE_B: tl.constexpr, TILE_I: tl.constexpr, TILE_O: tl.constexpr,
):  # fmt: skip
    # Forward the columns c of the result are outputs and the sum runs over inputs k; backward the
    # columns are inputs and the sum runs over outputs.
    TILE_C: tl.constexpr = TILE_I if BACKWARD else TILE_O
    TILE_K: tl.constexpr = TILE_O if BACKWARD else TILE_I
    num_c = num_i if BACKWARD else num_o
    num_k = num_o if BACKWARD else num_i
    b = tl.program_id(0) * TILE_B + tl.arange(0, TILE_B)
    c = tl.program_id(1) * TILE_C + tl.arange(0, TILE_C)
    has_b, has_c = b < num_b, c < num_c
    if BACKWARD:
        in_degree = tl.load(in_degrees + c, mask=has_c, other=0).to(tl.int32)[None, :]
        first = tl.min(tl.load(first_rows + c, mask=has_c, other=num_o).to(tl.int32), axis=0)
        first = first // TILE_K * TILE_K
        limit = num_o
    else:
        out_degree = tl.load(out_degrees + c, mask=has_c, other=0).to(tl.int32)[None, :]
        row = tl.load(row_offsets + c, mask=has_c, other=0)
        width = tl.load(row_widths + c, mask=has_c, other=0).to(tl.int32)
        first = 0
        limit = tl.max(tl.load(visible + c, mask=has_c, other=0).to(tl.int32), axis=0)
        if ALIGNED:  # told so, the compiler loads several numbers at once
            row, width = tl.multiple_of(row, 16), tl.multiple_of(width, 16)
            limit = tl.cdiv(limit, 16) * 16
    total = tl.zeros((TILE_B, TILE_C), dtype=tl.float32)
    for start in range(first, limit, TILE_K):
        k = start + tl.arange(0, TILE_K)
        has_k = k < limit
        x_tile = tl.load(
            x + b[:, None].to(tl.int64) * num_k + k[None, :],
            mask=has_b[:, None] & has_k[None, :],
            other=0.0,
        )
        if BACKWARD:
            out_degree = tl.load(out_degrees + k, mask=has_k, other=0).to(tl.int32)[:, None]
            row = tl.load(row_offsets + k, mask=has_k, other=0)
            width = tl.load(row_widths + k, mask=has_k, other=0).to(tl.int32)
            if ALIGNED:
                row, width = tl.multiple_of(row, 16), tl.multiple_of(width, 16)
            where = weight + row[:, None] + c[None, :]
            stored = c[None, :] < width[:, None]
        else:
            in_degree = tl.load(in_degrees + k, mask=has_k, other=0).to(tl.int32)[:, None]
            where = weight + row[None, :] + k[:, None]
            stored = k[:, None] < width[None, :]
        w_tile = tl.load(where, mask=stored, other=0.0)
        w_tile = tl.where(out_degree >= in_degree, w_tile, 0.0)
        x_tile, w_tile = x_tile.to(DTYPE).to(PRODUCT), w_tile.to(DTYPE).to(PRODUCT)
        total += tl.dot(x_tile, w_tile, input_precision=PRECISION)
    if HAS_BIAS:
        total += tl.load(bias + c, mask=has_c, other=0.0).to(tl.float32)[None, :]
    if RELU:
        total = tl.maximum(total, 0.0, propagate_nan=tl.PropagateNan.ALL)
    to = y + b[:, None].to(tl.int64) * num_c + c[None, :]
    tl.store(to, total.to(y.dtype.element_ty), mask=has_b[:, None] & has_c[None, :])


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


def _options(x: Tensor, rows: Rows, tiles: Tiles) -> dict[str, Any]:
    """What the kernels are specialised for, with x (B, ...) in the dtype of their products."""
    if x.dtype not in _TL_DTYPES:
        allowed = ", ".join(str(d) for d in _TL_DTYPES)
        raise ValueError(f"kernel=triton: got {x.dtype}; allowed: {allowed}")
    # Triton's interpreter would multiply the bits of bfloat16 numbers, not their values.
    widened = triton_is_interpreted() and x.dtype == torch.bfloat16
    return {
        "DTYPE": _TL_DTYPES[x.dtype],
        "PRODUCT": tl.float32 if widened else _TL_DTYPES[x.dtype],
        "PRECISION": _precision(),
        "ALIGNED": rows.aligned,
        "TILE_B": tiles.b,
        "TILE_I": tiles.i,
        "TILE_O": tiles.o,
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
        "enable_fp_fusion": True,
    }


def _precision() -> str:
    """How float32 products are taken: as torch's own matrix products are."""
    precision = torch.backends.cuda.matmul.fp32_precision
    if precision == "none":  # it inherits the setting of all backends
        precision = getattr(torch.backends, "fp32_precision", "ieee")
    return "tf32" if precision == "tf32" else "ieee"


def _on(tensor: Tensor) -> torch.cuda.device:
    """Kernels go to the current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device if tensor.is_cuda else -1)
