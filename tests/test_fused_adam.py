"""The direct step of Adam and AdamW against torch's own, bit for bit."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from made_exp.training import fused_adam
from made_exp.training.fused_adam import FusedAdam, FusedAdamW

PAIRS = {"adam": (FusedAdam, torch.optim.Adam), "adamw": (FusedAdamW, torch.optim.AdamW)}


@pytest.fixture(params=PAIRS)
def pair(request, dtype):
    """Two equal networks, ours and theirs, with the optimizer of each."""
    models = [_network(dtype), _network(dtype)]
    made = [
        kind(_groups(model), lr=0.01, betas=(0.8, 0.9), fused=True)
        for kind, model in zip(PAIRS[request.param], models, strict=True)
    ]
    return models, made


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


def test_steps_equal_those_of_torch(pair, monkeypatch):
    models, made = pair
    monkeypatch.setattr(fused_adam, "_torch_step", None)
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


@pytest.mark.parametrize("option", ["amsgrad", "maximize"])
def test_special_options_are_left_to_torch(pair, option):
    models, made = pair
    for optimizer in made:
        for group in optimizer.param_groups:
            group[option] = True
    _train(models, made)
    _assert_same(models, made)


def test_closures_and_hooks_are_called(pair):
    models, made = pair
    _train(models, made)
    calls = []
    for optimizer in made:
        optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
        optimizer.register_step_post_hook(lambda *_: calls.append("after"))
        assert optimizer.step(lambda: 3.0) == 3.0
        optimizer.step()
    assert calls == ["before", "after"] * 4
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
