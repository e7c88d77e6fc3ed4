"""The optimizers against those of torch; Adam and AdamW on the CPU bit for bit."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from training_cases import OPTIMIZERS

from made_exp.settings.experiment import OPTIONS
from made_exp.training.optimizers import CpuAdam, make_optimizer, set_learning_rate


@pytest.fixture(params=[torch.optim.Adam, torch.optim.AdamW])
def pair(request, dtype):
    """Two equal networks, ours and theirs, with the optimizer of each."""
    models, options = [_network(dtype), _network(dtype)], {"lr": 0.01, "betas": (0.8, 0.9)}
    decoupled = {"decoupled_weight_decay": request.param is torch.optim.AdamW}
    ours = CpuAdam(_groups(models[0]), fused=True, **decoupled, **options)
    return models, [ours, request.param(_groups(models[1]), fused=True, **options)]


def _network(dtype):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


def _groups(model):
    weights = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    return [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}]


def _train(models, made, num_steps=4, used=slice(None)):
    for step in range(num_steps):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(6, 5, generator=generator, dtype=models[0][0].weight.dtype)
        for model, optimizer in zip(models, made, strict=True):
            optimizer.zero_grad()
            (model[used](x) ** 2).sum().backward()
            optimizer.step()


def _assert_same(models, made):
    ours, theirs = made
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)
        assert ours.state[a].keys() == theirs.state[b].keys()
        assert all(torch.equal(ours.state[a][key], theirs.state[b][key]) for key in ours.state[a])
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]


def test_steps_equal_those_of_torch(pair):
    models, made = pair
    _train(models, made)
    for optimizer in made:
        for group in optimizer.param_groups:
            group["lr"] *= 0.3
    _train(models, made)
    _assert_same(models, made)


def test_loaded_states_go_on_alike(pair):
    models, made = pair
    _train(models, made)
    saved = [copy.deepcopy(optimizer.state_dict()) for optimizer in made]
    _train(models, made, 2)
    for optimizer, state in zip(made, reversed(saved), strict=True):  # each other's
        optimizer.load_state_dict(state)
    _train(models, made)
    _assert_same(models, made)


def test_parameters_without_gradient_stay(pair):
    models, made = pair
    _train(models, made, 2, used=slice(0, 1))
    _train(models, made, 2)
    _train(models, made, 2, used=slice(0, 1))
    _assert_same(models, made)


def test_nothing_imports_the_compiler_of_torch():
    code = """
import sys, torch
from made_exp.settings.training import AdamWSettings
from made_exp.training.optimizers import make_optimizer
layer = torch.nn.Linear(3, 2)
optimizer = make_optimizer(AdamWSettings(lr=0.1, weight_decay=0.1), layer)
layer(torch.ones(1, 3)).sum().backward()
optimizer.step()
assert "torch._dynamo" not in sys.modules, "it takes a second to import"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_do_what_those_of_torch_do(name, device, dtype):
    options = {k: v for k, v in OPTIMIZERS[name].items() if k not in ("name", "lr")}
    settings = OPTIONS["optimizer"][name](**{**options, "lr": 0.5, "weight_decay": 0.1})
    ours = nn.Linear(5, 3).to(device, dtype)
    theirs = nn.Linear(5, 3).to(device, dtype)
    theirs.load_state_dict(ours.state_dict())
    options["weight_decay"] = 0.1
    made = make_optimizer(settings, ours)
    set_learning_rate(made, 0.05)
    classes = {
        "adam": "Adam",
        "adamw": "AdamW",
        "sgd": "SGD",
        "adagrad": "Adagrad",
        "adadelta": "Adadelta",
    }
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    bias = {**options, "weight_decay": 0.0, "params": [theirs.bias]}
    plain = getattr(torch.optim, classes[name])(
        [{**options, "params": [theirs.weight]}, bias], lr=0.05, foreach=False
    )
    x = torch.randn(20, 5, device=device, dtype=dtype)
    for _ in range(5):
        for model, optimizer in ((ours, made), (theirs, plain)):
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)
