"""The Triton kernels compile for a GPU, which needs none: tensor cores, wide loads, no spills."""

import os
import re

import pytest
import torch

pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("these tests compile, they do not interpret", allow_module_level=True)

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from made_exp.kernels import triton_linear
from made_exp.kernels.triton_tiles import Tiles, tiles_of

HOPPER = GPUTarget("cuda", 90, 32)
SQUARE = Tiles(64, 64, 64)
SHARED = 227 * 1024  # bytes that a block may have there
TABLES = ("in_degrees", "out_degrees", "row_offsets", "row_widths", "visible", "first_rows")
KERNELS = {
    "forward": ("_product_kernel", {"x": "x", "weight": "w", "bias": "w", "y": "x"}),
    "grad_input": ("_product_kernel", {"x": "x", "weight": "w", "bias": "w", "y": "x"}),
    "grad_weight": ("_grad_weight_kernel", {"grad": "x", "x": "x", "grad_weight": "w"}),
}
# What the activations are, how products are taken, and what the machine code then contains.
PRECISIONS = {
    "fp32": ("fp32", tl.float32, "ieee", "fma.rn.f32"),
    "tf32": ("fp32", tl.float32, "tf32", "tf32"),
    "bf16": ("bf16", tl.bfloat16, "ieee", "bf16"),
}


def compiled(kernel, precision, *, aligned=True, tiles=SQUARE):
    name, pointers = KERNELS[kernel]
    x_type, dtype, products, _ = PRECISIONS[precision]
    function = getattr(triton_linear, name)
    constants = {
        "DTYPE": dtype, "PRODUCT": dtype, "PRECISION": products, "ALIGNED": aligned,
        "TILE_B": tiles.b, "TILE_I": tiles.i, "TILE_O": tiles.o, "BACKWARD": kernel == "grad_input",
        "HAS_BIAS": kernel == "forward", "RELU": kernel == "forward",
    }  # fmt: skip
    signature, constexprs, attributes = {}, {}, {}
    for position, argument in enumerate(function.arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
            constexprs[(position,)] = constants[argument]
        elif argument in pointers:
            signature[argument] = "*" + {"x": x_type, "w": "fp32"}[pointers[argument]]
        else:
            signature[argument] = "*i64" if argument in TABLES else "i32"
        if signature[argument].startswith("*") or (aligned and argument in ("num_i", "num_o")):
            attributes[(position,)] = [["tt.divisibility", 16]]
    source = ASTSource(function, signature, constexprs, attributes)
    options = {"num_warps": tiles.warps, "num_stages": tiles.stages, "enable_fp_fusion": True}
    return triton.compile(source, target=HOPPER, options=options)


def machine_code(kernel, precision, *, aligned):
    return compiled(kernel, precision, aligned=aligned).asm["ptx"]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_kernel_compiles_to_the_right_products(kernel, precision):
    code = machine_code(kernel, precision, aligned=True)
    products = re.findall(r"(?:wgmma\.mma_async|mma\.sync)\S*|fma\.rn\.f32", code)
    assert any(PRECISIONS[precision][3] in product for product in products)


@pytest.mark.parametrize("kernel", ["forward", "grad_input"])
def test_aligned_rows_are_loaded_sixteen_bytes_at_a_time(kernel):
    copies = re.findall(r"cp\.async\.c[ag]\S* [^;]*;", machine_code(kernel, "bf16", aligned=True))
    assert copies
    # Eight bytes are one degree; four would be a single weight.
    assert {re.findall(r"0x[0-9a-f]+", copy)[0] for copy in copies} <= {"0x10", "0x8"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_compiles_for_rows_that_are_not_aligned(kernel):
    assert "fma.rn.f32" in machine_code(kernel, "fp32", aligned=False)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_tiles_of_half_precision_fit_and_use_tensor_cores(kernel):
    sizes = [(100, 500), (100, 8000), (1000, 500), (1000, 8000)]
    for tiles in {tiles_of(kernel, torch.bfloat16, *size) for size in sizes}:
        made = compiled(kernel, "bf16", tiles=tiles)
        assert made.metadata.shared <= SHARED, tiles
        assert re.search(r"mma(_async|\.sync)\S*bf16", made.asm["ptx"]), tiles
        assert not re.search(r"\.local", made.asm["ptx"]), tiles
