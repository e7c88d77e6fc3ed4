"""The Triton kernels against the definition, on a GPU or in Triton's interpreter.

`pytest --device cuda` compiles them. On the CPU they need TRITON_INTERPRET=1 from the start of
the process: test_kernels.py starts one. Shapes are tiny, because the interpreter is slow.
"""

import os

import pytest
import torch

pytest.importorskip("triton")

from made_exp.kernels import masked_linear
from made_exp.kernels.backends import check_backend
from made_exp.kernels.dense import masked_linear_plain
from made_exp.kernels.masked_linear import product_of_blocks
from made_exp.kernels.packing import build_structure, pack, unpack
from made_exp.kernels.product import masked_product
from made_exp.model.layers import MaskedLinear

# Older interpreters turn arrays of one number into integers.
pytestmark = pytest.mark.filterwarnings("default:Conversion of an array:DeprecationWarning")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
SHAPES = [(1, 1, 1), (3, 1, 9), (2, 9, 1), (5, 70, 33), (20, 64, 128), (70, 17, 65)]
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
TOLERANCES = {"fp32": (1e-4, 1e-4), "tf32": (2e-2, 2e-2), "bf16": (3e-2, 6e-2)}


@pytest.fixture(autouse=True)
def _runs_here(device):
    if device.type != "cuda" and not INTERPRETED:
        pytest.skip("needs --device cuda, or TRITON_INTERPRET=1 from the start")


@pytest.fixture
def precision(request):
    """Set how torch takes float32 products, which the kernels follow."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if request.param == "tf32" else "ieee"
    yield request.param
    matmul.fp32_precision = before


def make_layer(batch, num_in, num_out, *, kind, device, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    high = max(2, num_in)
    ins = torch.randint(1, high, (num_in,), generator=generator)
    outs = torch.randint(0, high, (num_out,), generator=generator)
    if kind == "sorted":
        ins, outs = ins.sort().values, outs.sort().values
    elif kind == "nothing":
        outs = torch.zeros_like(outs)
    x, weight, bias = (
        torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()
        for shape in ((batch, num_in), (num_out, num_in), (num_out,))
    )
    return x, weight, bias, ins.to(device), outs.to(device)


def triton_product(s):
    return product_of_blocks("triton", s.in_degrees.device, torch.float32, s)


def gradients(y, *tensors):
    ramp = torch.linspace(-1, 1, y.numel(), device=y.device).reshape(y.shape).to(y.dtype)
    return [g.double() for g in torch.autograd.grad(y, tensors, ramp)]


def definition(x, weight, bias, ins, outs, activation="none"):
    """The twin in float64, on the values given."""
    tensors = [t.detach().double().requires_grad_() for t in (x, weight, bias)]
    y = masked_linear_plain(*tensors, ins, outs)
    y = y.relu() if activation == "relu" else y
    return y.detach(), gradients(y, *tensors)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"], indirect=True)
@pytest.mark.parametrize("kind", ["random", "sorted", "nothing"])
@pytest.mark.parametrize("shape", SHAPES)
def test_triton_equals_definition(precision, kind, shape, device):
    x, weight, bias, ins, outs = make_layer(
        *shape, kind=kind, device=device, dtype=DTYPES[precision]
    )
    expected, expected_gradients = definition(x, weight, bias, ins, outs)
    y = masked_linear(x, weight, bias, ins, outs, backend="triton")
    assert y.dtype == DTYPES[precision]
    rtol, atol = TOLERANCES[precision]
    torch.testing.assert_close(y.double(), expected, rtol=rtol, atol=atol)
    found = gradients(y, x, weight, bias)
    torch.testing.assert_close(found, expected_gradients, rtol=rtol, atol=atol)


@pytest.mark.parametrize("activation", ["none", "relu"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_bias_and_activation_in_the_kernel(activation, with_bias, device):
    x, weight, bias, ins, outs = make_layer(9, 30, 40, kind="random", device=device)
    given = bias if with_bias else torch.zeros_like(bias)
    expected, expected_gradients = definition(x, weight, given, ins, outs, activation)
    y = masked_linear(
        x, weight, bias if with_bias else None, ins, outs, backend="triton", activation=activation
    )
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4)
    found = gradients(y, x, weight)
    torch.testing.assert_close(found, expected_gradients[:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["random", "sorted", "nothing"])
@pytest.mark.parametrize("shape", [(5, 7, 5), (3, 310, 270)])
def test_packed_blocks(kind, shape, device):
    x, weight, bias, ins, outs = make_layer(*shape, kind=kind, device=device)
    s = build_structure(ins, outs)
    stored = pack(weight.detach(), s).requires_grad_()
    expected, (grad_x, grad_weight, grad_bias) = definition(x, weight, bias, ins, outs)
    y = masked_product(triton_product(s), x, stored, bias, "none")
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4)
    found = gradients(y, x, stored, bias)
    found[1] = unpack(found[1], s)
    torch.testing.assert_close(found, [grad_x, grad_weight, grad_bias], rtol=1e-4, atol=1e-4)


def test_gradient_of_stored_but_masked_weights_is_exactly_zero(device):
    x, weight, _, ins, outs = make_layer(3, 300, 260, kind="random", device=device)
    s = build_structure(ins, outs)
    stored = pack(torch.ones_like(weight), s).requires_grad_()
    y = masked_product(triton_product(s), x, stored, None, "none")
    (grad,) = torch.autograd.grad(y.sum(), stored)
    assert (stored == 0).any()
    assert (grad[stored == 0] == 0).all()


def test_autocast(device):
    x, weight, bias, ins, outs = make_layer(8, 30, 20, kind="random", device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = masked_linear(x, weight, bias, ins, outs, backend="triton")
    assert y.dtype == torch.bfloat16
    expected, _ = definition(x, weight, bias, ins, outs)
    torch.testing.assert_close(y.double(), expected, rtol=0.05, atol=0.1)
    grads = torch.autograd.grad(y.float().sum(), (x, weight, bias))
    assert {g.dtype for g in grads} == {torch.float32}


def test_layer_computes_the_same_with_triton(device):
    generator = torch.Generator().manual_seed(0)
    ins = torch.randint(1, 20, (30,), generator=generator)
    outs = torch.randint(0, 20, (25,), generator=generator)
    layer = MaskedLinear(30, 25, degrees=(ins, outs), backend="triton", generator=generator).to(
        device
    )
    x = torch.randn(4, 30, generator=generator).to(device)
    y = layer(x, activation="relu")
    expected = torch.relu(x @ layer.masked_weight().t() + layer.bias)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_empty_batch(device):
    x, weight, bias, ins, outs = make_layer(0, 5, 6, kind="random", device=device)
    y = masked_linear(x, weight, bias, ins, outs, backend="triton")
    assert y.shape == (0, 6)
    (grad,) = torch.autograd.grad(y.sum(), weight)
    assert not grad.any()


def test_float64_is_refused(device):
    x, weight, bias, ins, outs = make_layer(
        2, 5, 6, kind="random", device=device, dtype=torch.float64
    )
    with pytest.raises(ValueError, match=r"kernel=triton: got torch.float64; allowed"):
        masked_linear(x, weight, bias, ins, outs, backend="triton")


def test_triton_is_accepted_here(device):
    check_backend("triton", device)
