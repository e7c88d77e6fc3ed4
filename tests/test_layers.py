"""A masked layer is the same layer however its weights are stored."""

import copy
import io

import pytest
import torch

from made_exp.kernels.dense import masked_linear_plain
from made_exp.model.layers import MaskedLinear

SIZES = [(1, 1), (7, 5), (1, 9), (9, 1), (300, 270)]


def degrees(num_in, num_out, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ins = torch.randint(1, max(2, num_in), (num_in,), generator=generator)
    return ins, torch.randint(0, max(2, num_in), (num_out,), generator=generator)


def make_layer(num_in, num_out, *, fixed=True, backend="staircase", dtype=torch.float64):
    ins, outs = degrees(num_in, num_out)
    generator = torch.Generator().manual_seed(1)
    given = {"degrees": (ins, outs)} if fixed else {}
    layer = MaskedLinear(num_in, num_out, backend=backend, generator=generator, **given)
    return layer.to(dtype), ins, outs


@pytest.mark.parametrize(("num_in", "num_out"), SIZES)
@pytest.mark.parametrize("backend", ["auto", "staircase", "dense"])
def test_fixed_and_resampled_layers_agree(num_in, num_out, backend, dtype):
    fixed, ins, outs = make_layer(num_in, num_out, backend=backend, dtype=dtype)
    free, _, _ = make_layer(num_in, num_out, fixed=False, backend=backend, dtype=dtype)
    free.load_state_dict(fixed.state_dict())
    x = torch.randn(4, num_in, dtype=dtype, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(fixed(x), free(x, ins, outs))
    torch.testing.assert_close(
        fixed(x, activation="relu"), torch.relu(free(x, ins, outs)), rtol=1e-5, atol=1e-6
    )
    weight = fixed.masked_weight()
    torch.testing.assert_close(weight, free.masked_weight(ins, outs), rtol=0, atol=0)
    torch.testing.assert_close(fixed(x), x @ weight.t() + fixed.bias)


@pytest.mark.parametrize("num_units", [20, 2100])  # masks that are kept, and made again
def test_one_loss_may_use_several_resampled_masks(num_units, dtype):
    """Gradients of a sum over mask sets are those of the definition, whichever came last."""
    layer, *_ = make_layer(500, num_units, fixed=False, backend="auto", dtype=dtype)
    x = torch.randn(4, 500, dtype=dtype, generator=torch.Generator().manual_seed(2))
    given = [degrees(500, num_units, seed) for seed in (3, 4)]
    sum(layer(x, *pair).square().sum() for pair in given).backward()
    found, layer.weight.grad = layer.weight.grad, None
    plain = (masked_linear_plain(x, layer.weight, layer.bias, *pair) for pair in given)
    sum(y.square().sum() for y in plain).backward()
    torch.testing.assert_close(found, layer.weight.grad)


def test_initial_weights_do_not_depend_on_storage_or_global_generator():
    torch.manual_seed(3)
    packed, _, _ = make_layer(300, 270)
    dense, _, _ = make_layer(300, 270, backend="dense")
    assert torch.equal(packed.masked_weight(), dense.masked_weight())
    bound = 300**-0.5
    assert packed.masked_weight().abs().max() <= bound
    assert packed.weight.numel() < 0.9 * 300 * 270


@pytest.mark.parametrize("backend", ["auto", "staircase", "dense"])
@pytest.mark.parametrize("fixed", [True, False])
def test_a_given_bias_replaces_the_own_one(backend, fixed, dtype):
    layer, ins, outs = make_layer(7, 5, backend=backend, fixed=fixed, dtype=dtype)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, 7, dtype=dtype, generator=generator)
    bias = torch.randn(5, dtype=dtype, generator=generator).requires_grad_()
    pair = () if fixed else (ins, outs)
    y = layer(x, *pair, bias=bias)
    torch.testing.assert_close(y, layer(x, *pair) + bias)
    y.sum().backward()
    assert torch.equal(bias.grad, torch.full_like(bias, 4))
    assert layer.bias.grad is None


def test_products_follow_a_weight_that_is_replaced_or_copied(dtype):
    layer, _, _ = make_layer(300, 270, dtype=dtype)
    x = torch.randn(4, 300, dtype=dtype, generator=torch.Generator().manual_seed(2))
    expected = layer(x)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        layer.weight.mul_(2)
        assert torch.equal(layer(x), 2 * expected)
        assert torch.equal(twin(x), expected)
        kept, layer.weight.data = layer.weight.data, layer.weight.data * 2
        assert torch.equal(layer(x), 4 * expected)
        layer.weight.data = kept
        assert torch.equal(layer(x), 2 * expected)


OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, weight_decay=0.1, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, weight_decay=0.1),
    "adadelta": lambda p: torch.optim.Adadelta(p, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("backend", ["auto", "staircase", "dense"])
def test_masked_weights_stay_exactly_zero(name, backend):
    layer, ins, outs = make_layer(300, 270, backend=backend)
    optimizer = OPTIMIZERS[name](layer.parameters())
    before = layer.masked_weight().detach()
    x = torch.randn(8, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for _ in range(3):
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        optimizer.step()
    stored = layer.dense_layout(layer.weight)
    assert (stored[outs[:, None] < ins] == 0).all()
    assert (layer.state_dict()["weight"][outs[:, None] < ins] == 0).all()
    assert not torch.equal(layer.masked_weight(), before)


def test_training_is_the_same_in_both_storages():
    results = []
    for backend in ("auto", "staircase", "dense"):
        layer, _, _ = make_layer(300, 270, backend=backend)
        optimizer = torch.optim.Adam(layer.parameters())
        x = torch.randn(8, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        for _ in range(3):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
        moments = optimizer.state[layer.weight]["exp_avg_sq"]
        results.append((layer.state_dict(), layer.dense_layout(moments)))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_state_dict_is_dense_and_moves_between_backends():
    packed, _, _ = make_layer(300, 270)
    state = packed.state_dict()
    assert {name: tuple(t.shape) for name, t in state.items()} == {
        "weight": (270, 300),
        "bias": (270,),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    for backend in ("auto", "dense", "staircase"):
        other, _, _ = make_layer(300, 270, backend=backend)
        with torch.no_grad():
            other.weight.add_(1)
        other.load_state_dict(torch.load(buffer, weights_only=True))
        buffer.seek(0)
        assert torch.equal(other.masked_weight(), packed.masked_weight())


def test_loading_clears_what_the_mask_removes():
    layer, ins, outs = make_layer(300, 270)
    state = layer.state_dict()
    state["weight"] = torch.ones_like(state["weight"])
    layer.load_state_dict(state)
    assert torch.equal(layer.masked_weight(), (outs[:, None] >= ins).to(torch.float64))
    assert (state["weight"] == 1).all(), "the caller's state was changed"
    assert torch.equal(layer.dense_layout(layer.weight), layer.masked_weight())


def test_loading_a_wrong_shape_is_refused():
    layer, _, _ = make_layer(7, 5)
    state = layer.state_dict() | {"weight": torch.zeros(5, 8)}
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        layer.load_state_dict(state)


def test_missing_weight_is_refused():
    layer, _, _ = make_layer(7, 5)
    with pytest.raises(RuntimeError, match="Missing key"):
        layer.load_state_dict({"bias": torch.zeros(5)})


@pytest.mark.parametrize("backend", ["auto", "staircase", "dense"])
def test_stored_and_dense_layouts_undo_each_other(backend):
    layer, ins, outs = make_layer(300, 270, backend=backend)
    dense = torch.randn(270, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dense[outs[:, None] < ins] = 0
    assert torch.equal(layer.dense_layout(layer.stored_layout(dense)), dense)
    assert layer.stored_layout(dense).shape == layer.weight.shape


def test_copies_are_independent_and_compute_the_same():
    layer, _, _ = make_layer(300, 270)
    x = torch.randn(2, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    twin = copy.deepcopy(layer)
    expected = layer(x)
    with torch.no_grad():
        layer.weight.zero_()
    torch.testing.assert_close(twin(x), expected)


def test_casting_keeps_degrees():
    layer, ins, outs = make_layer(300, 270)
    small = copy.deepcopy(layer).to(torch.bfloat16).to(torch.float64)
    hidden = outs[:, None] < ins
    assert (small.masked_weight()[hidden] == 0).all()
    torch.testing.assert_close(small.masked_weight(), layer.masked_weight(), rtol=0.01, atol=1e-3)


def test_device_of_the_test_run(device):
    layer, _, _ = make_layer(300, 270, dtype=torch.float32)
    x = torch.randn(2, 300, generator=torch.Generator().manual_seed(0))
    expected = layer(x)
    moved = copy.deepcopy(layer).to(device)
    torch.testing.assert_close(moved(x.to(device)).cpu(), expected, rtol=1e-4, atol=1e-5)


def test_degrees_are_needed_in_each_call_where_they_are_not_fixed():
    layer, ins, _ = make_layer(7, 5, fixed=False)
    with pytest.raises(ValueError, match="needs both in each call"):
        layer(torch.zeros(1, 7, dtype=torch.float64), ins)


@pytest.mark.parametrize("backend", ["auto", "dense"])
@pytest.mark.parametrize("count", [1, 4])
def test_resampled_degrees_of_the_wrong_length_are_refused(backend, count):
    layer = MaskedLinear(3, 2, backend=backend)
    wrong = torch.ones(count, dtype=torch.int64)
    for pair in ((wrong, torch.ones(2)), (torch.ones(3), wrong)):
        with pytest.raises(ValueError, match="_degrees: got shape"):
            layer(torch.zeros(5, 3), *pair)


def test_fixed_layer_refuses_degrees():
    layer, ins, outs = make_layer(7, 5)
    x = torch.zeros(1, 7, dtype=torch.float64)
    for given in ((ins, outs), (ins, outs + 1), (ins,), (ins[None], outs)):
        with pytest.raises(ValueError, match="got degrees; a layer of fixed connectivity"):
            layer(x, *given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "best"}, "backend: got 'best'"),
        ({"degrees": (torch.ones(7), torch.ones(4))}, "out_degrees: got shape"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskedLinear(7, 5, **arguments)


def test_layer_without_bias_and_without_visible_inputs():
    layer = MaskedLinear(
        400, 300, bias=False,
        degrees=(torch.arange(1, 401), torch.zeros(300, dtype=torch.int64)),
    )  # fmt: skip
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    y = layer(torch.ones(2, 400))
    y.sum().backward()
    optimizer.step()
    assert torch.equal(y, torch.zeros(2, 300))
    assert not layer.masked_weight().any()


@pytest.mark.parametrize("backend", ["auto", "staircase", "dense"])
def test_autocast_keeps_float32_weights_and_gradients(backend, device):
    layer, _, _ = make_layer(300, 270, backend=backend, dtype=torch.float32)
    layer.to(device)
    x = torch.randn(4, 300, generator=torch.Generator().manual_seed(0)).to(device)
    x.requires_grad_()
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = layer(x)
        second = layer(y.new_ones(2, 300))
    assert y.dtype == second.dtype == torch.bfloat16
    expected = layer(x)
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.05)
    found = torch.autograd.grad(y.float().sum(), [x, *layer.parameters()])
    assert {g.dtype for g in found} == {torch.float32}
    torch.testing.assert_close(
        found, torch.autograd.grad(expected.sum(), [x, *layer.parameters()]), rtol=0.05, atol=0.05
    )


def test_what_is_stored_depends_on_where_products_are_taken(monkeypatch):
    monkeypatch.setattr("made_exp.kernels.backends.triton_is_installed", lambda: True)
    ins, outs = torch.arange(1, 1001), torch.arange(1000)
    gpu, choices = torch.device("cuda"), {}
    for name, given in {
        "cpu": {},
        "gpu": {"device": gpu},
        "gpu, half": {"device": gpu, "dtype": torch.bfloat16},
        "gpu, blocks": {"device": gpu, "backend": "staircase"},
    }.items():
        layer = MaskedLinear(1000, 1000, degrees=(ins, outs), **given)
        choices[name] = layer.stores_blocks
    assert choices == {"cpu": True, "gpu": False, "gpu, half": True, "gpu, blocks": True}


@pytest.mark.gpu
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_large_layers_on_a_gpu(fixed, half, device):
    """Triton where products are of half precision, whatever the layer was built for."""
    generator = torch.Generator().manual_seed(0)
    ins, outs = degrees(1100, 1000)
    given = {"degrees": (ins, outs)} if fixed else {}
    layer = MaskedLinear(1100, 1000, generator=generator, **given).to(device)
    x = torch.randn(7, 1100, generator=generator).to(device)
    pair = () if fixed else (ins.to(device), outs.to(device))
    expected = x @ layer.masked_weight(*pair).t()
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=half):
        y, product = layer(x, *pair), layer.product(x, *pair)
    assert (type(product).__name__ == "TritonProduct") == half
    tolerance = 0.05 if half else 1e-4
    torch.testing.assert_close(y.float(), expected, rtol=tolerance, atol=tolerance)
    y.float().square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
