"""Every backend computes the definition, forward and backward, for any degrees and shapes."""

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.kernels import check_backend, choose_backend, masked_linear, packing
from made_exp.kernels.dense import DenseProduct, masked_linear_plain
from made_exp.kernels.layout import MULTIPLE, first_rows, plan_blocks, visible_counts
from made_exp.kernels.masked_linear import product_of
from made_exp.kernels.packing import build_structure, pack, unpack
from made_exp.kernels.product import masked_product
from made_exp.kernels.staircase import StaircaseProduct

SHAPES = [(1, 1, 1), (3, 1, 9), (2, 9, 1), (5, 7, 5), (4, 33, 65), (3, 310, 270)]
BACKENDS = ["auto", "dense", "staircase"]


def make_layer(batch, num_in, num_out, *, kind, device, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    high = max(2, num_in)
    ins = torch.randint(1, high, (num_in,), generator=generator)
    outs = torch.randint(0, high, (num_out,), generator=generator)
    if kind == "sorted":
        ins, outs = ins.sort().values, outs.sort().values
    elif kind == "nothing":
        outs = torch.zeros_like(outs)
    elif kind == "everything":
        outs = torch.full_like(outs, high)
    x, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)
        for shape in ((batch, num_in), (num_out, num_in), (num_out,))
    )
    tensors = [t.requires_grad_() for t in (x, weight, bias)]
    return *tensors, ins.to(device), outs.to(device)


def packed_linear(x, stored, bias, structure, activation="none"):
    return masked_product(StaircaseProduct(structure), x, stored, bias, activation)


def gradients(y, *tensors):
    ramp = torch.linspace(-1, 1, y.numel(), device=y.device).reshape(y.shape).to(y.dtype)
    return torch.autograd.grad(y, tensors, ramp)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["random", "sorted", "nothing", "everything"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_backend_equals_definition(backend, kind, shape, activation, device, dtype):
    x, weight, bias, ins, outs = make_layer(*shape, kind=kind, device=device, dtype=dtype)
    expected = masked_linear_plain(x, weight, bias, ins, outs)
    expected = expected.relu() if activation == "relu" else expected
    y = masked_linear(x, weight, bias, ins, outs, backend=backend, activation=activation)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(gradients(y, x, weight, bias), gradients(expected, x, weight, bias))


@pytest.mark.parametrize("kind", ["random", "sorted", "nothing", "everything"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("masks", ["kept", "made"])
def test_packed_layer_equals_definition(kind, shape, masks, device, dtype, monkeypatch):
    if masks == "made":
        monkeypatch.setattr(packing, "MAX_KEPT_STEPS", 0)
    x, weight, bias, ins, outs = make_layer(*shape, kind=kind, device=device, dtype=dtype)
    structure = build_structure(ins, outs)
    stored = pack(weight.detach(), structure).requires_grad_()
    expected = masked_linear_plain(x, weight, bias, ins, outs)
    y = packed_linear(x, stored, bias, structure)
    torch.testing.assert_close(y, expected)
    grad_x, grad_stored, grad_bias = gradients(y, x, stored, bias)
    found = grad_x, unpack(grad_stored, structure), grad_bias
    torch.testing.assert_close(found, gradients(expected, x, weight, bias))


@pytest.mark.parametrize("largest", [0, packing.MAX_KEPT_STEPS])
def test_gradient_of_stored_but_masked_weights_is_exactly_zero(largest, device, dtype, monkeypatch):
    monkeypatch.setattr(packing, "MAX_KEPT_STEPS", largest)
    x, weight, _, ins, outs = make_layer(5, 300, 400, kind="random", device=device, dtype=dtype)
    structure = build_structure(ins, outs)
    stored = pack(torch.ones_like(weight), structure).requires_grad_()
    assert (stored == 0).any(), "no masked weight is stored: the test would be empty"
    (grad,) = torch.autograd.grad(packed_linear(x, stored, None, structure).sum(), stored)
    assert (grad[stored == 0] == 0).all()


def test_masked_weights_do_not_matter_whatever_they_are(device, dtype):
    x, weight, bias, ins, outs = make_layer(3, 40, 50, kind="random", device=device, dtype=dtype)
    hidden = outs[:, None] < ins
    wild = torch.where(hidden, 1e30, weight.detach())
    for backend in BACKENDS:
        torch.testing.assert_close(
            masked_linear(x, wild, bias, ins, outs, backend=backend),
            masked_linear(x, weight, bias, ins, outs, backend=backend),
        )


@pytest.mark.parametrize("batch", [1, 2])
def test_forward_and_backward_leave_their_arguments_alone(batch, device, dtype):
    for kind in ("random", "sorted"):
        layer = make_layer(batch, 30, 40, kind=kind, device=device, dtype=dtype)
        *tensors, ins, outs = layer
        structure = build_structure(ins, outs)
        stored = pack(tensors[1].detach(), structure).requires_grad_()
        before = [t.detach().clone() for t in (*tensors, stored)]
        packed_linear(tensors[0], stored, tensors[2], structure).sum().backward()
        for backend in BACKENDS:
            masked_linear(*layer, backend=backend, activation="relu").sum().backward()
        assert all(torch.equal(a, b) for a, b in zip((*tensors, stored), before, strict=True))


def test_packed_storage_is_little_more_than_half(device):
    degrees = torch.arange(1, 785)
    hidden = torch.arange(2000) * 783 // 2000 + 1
    assert build_structure(degrees, hidden).layout.num_stored < 0.6 * 784 * 2000


@settings(max_examples=60, deadline=None)
@given(
    ins=st.lists(st.integers(0, 12), min_size=1, max_size=30),
    outs=st.lists(st.integers(0, 12), min_size=1, max_size=30),
)
def test_bounds_hide_nothing_that_is_visible(ins, outs):
    in_degrees, out_degrees = torch.tensor(ins), torch.tensor(outs)
    mask = out_degrees[:, None] >= in_degrees
    columns, rows = torch.arange(len(ins)), torch.arange(len(outs))
    visible = visible_counts(in_degrees, out_degrees)
    assert not mask[columns >= visible[:, None]].any()
    first = first_rows(in_degrees, out_degrees)
    assert not mask[rows[:, None] < first].any()
    ordered = visible_counts(in_degrees.sort().values, out_degrees)
    assert (ordered == mask.sum(1)).all()


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    num_in=st.integers(1, 2000),
    block_cost=st.integers(1, 5000),
)
def test_blocks_cover_the_staircase_and_tile_the_rows(steps, num_in, block_cost):
    visible = torch.tensor(steps).cumsum(0).clamp(max=num_in).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("made_exp.kernels.layout.BLOCK_COST", block_cost)
        layout = plan_blocks(visible, num_in)
    assert layout.row_starts[0] == 0
    assert layout.row_starts[-1] == len(visible)
    assert all(a < b for a, b in zip(layout.row_starts, layout.row_starts[1:], strict=False))
    for b, (width, shared) in enumerate(zip(layout.widths, layout.shared, strict=True)):
        rows = visible[layout.row_starts[b] : layout.row_starts[b + 1]]
        assert shared <= rows[0]
        assert rows[-1] <= width <= num_in
        assert width == num_in or width % MULTIPLE == 0
        assert layout.row_starts[b] % MULTIPLE == 0
    assert layout.row_widths().sum() == layout.num_stored


def test_gradcheck(device):
    x, weight, bias, ins, outs = make_layer(
        3, 5, 6, kind="random", device=device, dtype=torch.float64
    )
    structure = build_structure(ins, outs)
    stored = pack(weight.detach(), structure).requires_grad_()
    zeros = stored == 0
    for backend in BACKENDS:
        assert torch.autograd.gradcheck(
            lambda x, w, b, backend=backend: masked_linear(x, w, b, ins, outs, backend=backend),
            (x, weight, bias),
        )
    # Stored weights under the mask are zero by contract: they do not vary.
    assert torch.autograd.gradcheck(
        lambda x, w, b: packed_linear(x, w.masked_fill(zeros, 0), b, structure), (x, stored, bias)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_computes_in_bfloat16_and_keeps_float32_gradients(backend, device):
    x, weight, bias, ins, outs = make_layer(
        8, 60, 50, kind="random", device=device, dtype=torch.float32
    )
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = masked_linear(x, weight, bias, ins, outs, backend=backend)
    assert y.dtype == torch.bfloat16
    expected = masked_linear_plain(x, weight, bias, ins, outs)
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.2)
    found = gradients(y, x, weight, bias)
    assert {g.dtype for g in found} == {torch.float32}
    torch.testing.assert_close(found, gradients(expected, x, weight, bias), rtol=0.05, atol=0.2)


def test_only_small_weights_and_resampled_ones_are_dense():
    cpu = torch.device("cpu")
    assert choose_backend(cpu, 784, 500) == "staircase"
    assert choose_backend(cpu, 784, 32) == "dense"
    x, weight, _, ins, outs = make_layer(
        2, 784, 500, kind="random", device=cpu, dtype=torch.float32
    )
    for backend in BACKENDS:
        assert type(product_of(backend, x, weight, ins, outs)) is DenseProduct


HALF, SINGLE, DOUBLE = torch.bfloat16, torch.float32, torch.float64


@pytest.mark.parametrize(
    ("dtype", "size", "chosen"),
    [
        (SINGLE, (784, 500), "dense"),
        (SINGLE, (2000, 2000), "dense"),
        (SINGLE, (784, 8000), "staircase"),
        (DOUBLE, (8000, 8000), "staircase"),
        (HALF, (500, 500), "dense"),
        (HALF, (784, 2000), "triton"),
        (HALF, (8000, 8000), "triton"),
    ],
)
def test_choice_on_a_gpu(monkeypatch, dtype, size, chosen):
    gpu = torch.device("cuda")
    monkeypatch.setattr("made_exp.kernels.backends.triton_is_installed", lambda: True)
    assert choose_backend(gpu, *size, dtype=dtype) == chosen
    monkeypatch.setattr("made_exp.kernels.backends.triton_is_installed", lambda: False)
    assert choose_backend(gpu, *size, dtype=dtype) != "triton"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 4)}, r"x: got shape \(2, 4\); allowed: \(batch, 3\)"),
        ({"bias": torch.zeros(3)}, r"bias: got shape \(3,\); allowed: \(2,\)"),
        ({"in_degrees": torch.zeros(2)}, r"in_degrees: got shape \(2,\)"),
        ({"backend": "fast"}, "backend: got 'fast'; allowed: auto, dense, staircase, triton"),
        ({"activation": "tanh"}, "activation: got 'tanh'; allowed: none, relu"),
        ({"x": torch.zeros(2, 3, dtype=torch.float64)}, "x: got torch.float64"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {
        "x": torch.zeros(5, 3),
        "weight": torch.zeros(2, 3),
        "bias": None,
        "in_degrees": torch.ones(3, dtype=torch.int64),
        "out_degrees": torch.ones(2, dtype=torch.int64),
    }
    with pytest.raises(ValueError, match=message):
        masked_linear(**(arguments | change))


def test_triton_is_refused_where_it_cannot_run(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("made_exp.kernels.backends.triton_is_installed", lambda: True)
    with pytest.raises(ValueError, match="kernel=triton: needs a CUDA device, got device 'cpu'"):
        check_backend("triton", torch.device("cpu"))
    monkeypatch.setattr("made_exp.kernels.backends.triton_is_installed", lambda: False)
    with pytest.raises(ValueError, match="kernel=triton: the package triton is not installed"):
        check_backend("triton", torch.device("cpu"))


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_triton_kernels_in_the_interpreter(device):
    """Triton decides when it is imported whether it interprets: these tests need a process."""
    if device.type == "cuda":
        pytest.skip("test_kernels_triton.py runs compiled in this process")
    numbers = {name: [int(n) for n in version(name).split(".")[:2]] for name in ("triton", "numpy")}
    if numbers["triton"] < [3, 9] and numbers["numpy"] >= [2, 5]:
        pytest.skip("the interpreter of this Triton needs numpy < 2.5")
    path = Path(__file__).with_name("test_kernels_triton.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "skipped" not in done.stdout
