"""Batches, schedules, optimizers, averages: the parts of the training loop."""

import math

import pytest
import torch
from torch import nn
from training_cases import OPTIMIZERS

from made_exp.settings.experiment import OPTIONS
from made_exp.settings.training import (
    ConstantSettings,
    CosineSettings,
    PlateauSettings,
    TrainerSettings,
)
from made_exp.training.batches import Batches
from made_exp.training.optimizers import make_optimizer, set_learning_rate
from made_exp.training.regularisation import WeightAverage
from made_exp.training.schedulers import make_scheduler
from made_exp.training.state import EpochLosses

CPU = torch.device("cpu")


def batches(count=50, size=8, **options):
    data = torch.arange(count * 3).reshape(count, 3)
    return Batches(data, size, device=CPU, **{"seed": 0, **options})


def test_an_epoch_visits_examples_once_in_batches_of_equal_size():
    made = batches()
    order = made.order(0)
    assert len(made) == 6
    assert order.shape == (6, 8)
    assert len(set(order.flatten().tolist())) == 48


def test_order_is_a_function_of_seed_and_epoch():
    made = batches()
    assert torch.equal(made.order(3), batches().order(3))
    assert not torch.equal(made.order(3), made.order(4))
    assert not torch.equal(made.order(3), batches(seed=1).order(3))


def test_every_example_is_seen_in_the_long_run():
    made = batches(count=50, size=8)
    seen = {index for epoch in range(5) for index in made.order(epoch).flatten().tolist()}
    assert seen == set(range(50))


def test_batch_is_the_whole_data_where_it_is_larger():
    made = batches(count=5, size=100)
    assert made.order(0).shape == (1, 5)


def test_gather_takes_rows_and_their_labels():
    made = batches(context=torch.arange(50) % 4)
    index = torch.tensor([7, 3])
    x, context = made.gather(index, None)
    assert x.tolist() == [[21, 22, 23], [9, 10, 11]]
    assert context.tolist() == [3, 3]


def test_dynamic_binarization_draws_by_the_grey_level():
    grey = torch.tensor([0, 64, 128, 255], dtype=torch.uint8).repeat(64, 1)
    made = Batches(grey, 64, seed=0, device=CPU, binarize=True)
    index = torch.arange(64)
    draws = torch.stack([made.gather(index, made.thresholds(step))[0] for step in range(200)])
    assert draws.dtype == torch.uint8
    mean = draws.double().mean((0, 1))
    assert mean[0] == 0
    assert mean[3] == 1
    error = 5 * math.sqrt(0.25 / (200 * 64))
    assert abs(mean[1] - 64 / 255) < error
    assert abs(mean[2] - 128 / 255) < error


def test_binarization_is_a_function_of_the_step():
    grey = torch.full((20, 5), 100, dtype=torch.uint8)
    made = [Batches(grey, 10, seed=0, device=CPU, binarize=True) for _ in range(2)]
    later = made[0].thresholds(9)
    made[1].thresholds(3)
    assert torch.equal(later, made[1].thresholds(9))
    assert not torch.equal(later, made[1].thresholds(10))


@pytest.mark.parametrize("binarize", [False, True])
def test_processes_share_a_batch(binarize):
    options = {"seed": 0, "device": CPU, "binarize": binarize}
    data = torch.randint(256, (30, 4), generator=torch.Generator().manual_seed(0))
    whole = Batches(data, 10, **options)
    parts = [Batches(data, 10, rank=rank, world_size=2, **options) for rank in range(2)]
    assert torch.equal(torch.cat([p.order(1) for p in parts], 1), whole.order(1))
    if binarize:
        assert torch.equal(torch.cat([p.thresholds(5) for p in parts]), whole.thresholds(5))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="batch_size 9 cannot be shared by 2 processes"):
        batches(size=9, world_size=2)
    with pytest.raises(ValueError, match="no training examples"):
        batches(count=0)


def test_constant_rises_to_the_base_rate():
    factors = [
        make_scheduler(ConstantSettings(warmup_steps=4), lr=1, total_steps=9).factor(s)
        for s in range(6)
    ]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_cosine_falls_to_its_final_fraction():
    made = make_scheduler(CosineSettings(final_fraction=0.1), lr=1, total_steps=100)
    assert made.factor(0) == 1
    assert made.factor(50) == pytest.approx(0.55)
    assert made.factor(100) == made.factor(1000) == pytest.approx(0.1)
    warm = make_scheduler(CosineSettings(warmup_steps=10), lr=1, total_steps=100)
    assert warm.factor(4) == pytest.approx(5 / 11)
    assert warm.factor(10) == 1
    assert warm.factor(100) == pytest.approx(0)


def test_plateau_cuts_after_its_patience():
    made = make_scheduler(PlateauSettings(patience=1, min_lr=0.03), lr=0.1, total_steps=1)
    factors = []
    for nll in (3, 2, 2, 2, 1, 2, 2, 2, 2):
        made.observe(nll)
        factors.append(made.factor(0))
    assert factors == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3])
    again = make_scheduler(PlateauSettings(), lr=0.1, total_steps=1)
    again.load_state_dict(made.state_dict())
    assert again.factor(0) == pytest.approx(0.3)


def test_values_out_of_range_are_refused():
    for kind, option in [
        (CosineSettings, {"final_fraction": 2}),
        (ConstantSettings, {"warmup_steps": -1}),
        (PlateauSettings, {"factor": 1.0}),
    ]:
        with pytest.raises(ValueError, match=next(iter(option))):
            kind(**option)
    for option in [
        {"epochs": -1},
        {"batch_size": 0},
        {"grad_clip": 0.0},
        {"precision": "fp8"},
        {"weight_averaging": 1.0},
        {"max_minutes": -1.0},
        {"eval_every": 0},
    ]:
        with pytest.raises(ValueError, match=next(iter(option))):
            TrainerSettings(**option)


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


def test_average_follows_its_formula_and_is_only_lent(dtype):
    model = nn.Linear(2, 2).to(dtype)
    made = WeightAverage(model.parameters(), 0.9)
    expected = model.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            model.weight.add_(1.0)
        made.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    own = model.weight.detach().clone()
    with made.applied():
        torch.testing.assert_close(model.weight.detach(), expected)
    assert torch.equal(model.weight, own)
    made.restart()
    with made.applied():
        assert torch.equal(model.weight, own)


def test_losses_name_the_first_that_is_not_finite():
    made = EpochLosses(5, CPU)
    for position, value in enumerate([1.0, 2.0, math.inf, math.nan]):
        made.put(position, torch.tensor(value))
    assert float(made.mean(0, 2)) == 1.5
    assert made.first_bad(0, 2) is None
    assert made.first_bad(0, 4) == (2, math.inf)
    position, value = made.first_bad(3, 4)
    assert position == 3
    assert math.isnan(value)
    assert made.first_bad(4, 4) is None
