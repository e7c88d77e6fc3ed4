"""The proximal step of the L1 penalty, and the moving average of the weights."""

import math

import pytest
import torch
from builders import build_made, make_schedules
from torch import nn
from training_cases import ENSEMBLE, make_case

from made_exp.settings.training import TrainerSettings
from made_exp.training.regularisation import L1Penalty, WeightAverage
from made_exp.training.strengths import member_pulls
from made_exp.variables.variable import binary_variables


def make_model(ordering="natural"):
    schedules = make_schedules(ordering, 6, [9])
    return build_made(
        binary_variables(6),
        schedules,
        direct_connections=True,
        conditioning_weights=True,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("ordering", ["natural", "agnostic"])
def test_every_weight_is_pulled_by_the_same_amount_and_stops_at_zero(ordering):
    model = make_model(ordering)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    (pull,) = member_pulls(2.0, num_batches=10, num_members=1)
    L1Penalty(model.members[0].weights(), pull).shrink(lr=0.5)
    for name, after in model.named_parameters():
        pulled = name.split(".")[2] in ("hidden", "output", "direct") and name.endswith("weight")
        pull = 0.1 if pulled else 0.0
        wanted = before[name].sign() * (before[name].abs() - pull).clamp(min=0)
        torch.testing.assert_close(after, wanted, msg=name)
    assert any((p == 0).any() for name, p in model.named_parameters() if "direct" in name)


def test_the_penalty_minimises_what_it_says():
    """Gradient descent on (w - a)^2 / 2 with the pull ends at soft-threshold(a)."""
    model = make_model()
    weight = model.members[0].direct.weight
    target = torch.linspace(-1, 1, weight.numel()).view_as(weight)
    penalty = L1Penalty([weight], pull=0.3)
    with torch.no_grad():
        for _ in range(400):
            weight -= 0.1 * (weight - target)
            penalty.shrink(lr=0.1)
    wanted = torch.nn.functional.softshrink(target, 0.3)
    torch.testing.assert_close(weight.detach(), wanted, atol=1e-5, rtol=0)


def test_the_penalty_is_the_same_in_one_pass(dtype):
    weight = nn.Parameter(torch.randn(50, 40, generator=torch.Generator().manual_seed(0)).to(dtype))
    plain = nn.Parameter(weight.detach().clone())
    L1Penalty([weight], pull=0.3).shrink(lr=0.5)
    L1Penalty([plain], pull=0.3).shrink(lr=torch.tensor(0.5, dtype=dtype))
    assert torch.equal(weight, plain)
    assert 0 < int((weight == 0).sum()) < weight.numel()


def test_batches_of_long_tables_are_larger_and_pull_no_more_a_step(tmp_path):
    """60 rows in batches of 8: seven steps an epoch, or three of 24."""
    trainer = {"batch_size": 8, "sparsity": 0.3}
    short = make_case(tmp_path / "short", trainer=trainer | {"longest_epoch": 3})
    plain = make_case(tmp_path / "plain", trainer=trainer | {"longest_epoch": 8})
    assert (short.batches.batch_size, len(short.batches)) == (24, 2)
    assert (plain.batches.batch_size, len(plain.batches)) == (8, 7)
    for case in (short, plain):
        (member,) = case.learner.members
        assert member.penalty.pull == pytest.approx(0.3 / 7)


def test_about_a_hundred_evaluations_whatever_the_size_of_an_epoch():
    settings = TrainerSettings(epochs=10**6, max_steps=20_000, eval_every=None)
    assert settings.total_steps(14) == 20_000
    assert settings.epochs_between(14) == 14
    assert settings.epochs_between(5_000) == 1


def test_small_tables_get_more_epochs():
    settings = TrainerSettings(epochs=20, min_steps=1000)
    assert settings.total_epochs(10) == 100
    assert settings.total_epochs(999) == 20
    assert settings.total_steps(14) == 72 * 14


def test_average_follows_its_formula_and_is_only_lent(dtype):
    model = nn.Linear(2, 2).to(dtype)
    made = WeightAverage(model.parameters(), 0.9)
    expected = model.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            model.weight.add_(1.0)
        share = made.share_at(step)
        made.update(torch.tensor(share, dtype=dtype) if step % 2 else share)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    own = model.weight.detach().clone()
    with made.applied():
        torch.testing.assert_close(model.weight.detach(), expected)
    assert torch.equal(model.weight, own)
    made.restart()
    with made.applied():
        assert torch.equal(model.weight, own)


@pytest.mark.parametrize(
    ("decay", "every"), [(0.9, 1), (0.98, 2), (0.99, 4), (0.994, 4), (0.999, 32)]
)
def test_what_reaches_far_back_is_looked_at_rarely(decay, every):
    made = WeightAverage(nn.Linear(2, 2).parameters(), decay)
    assert [made.share_at(step) > 0 for step in range(9)] == [True] * 9
    first, last = 640 * every, 704 * every
    shares = [made.share_at(step) for step in range(first, last)]
    looked_at = [step for step, share in enumerate(shares, first) if share]
    assert looked_at == list(range(first + every - 1, last, every))
    assert math.prod(1 - share for share in shares) == pytest.approx(decay ** (64 * every))


def test_an_average_looks_at_every_member_alike(tmp_path):
    """Four members, whose turns are every fourth step, are all averaged."""
    case = make_case(
        tmp_path, ordering=ENSEMBLE | {"num_orderings": 4}, trainer={"weight_averaging": 0.99}
    )
    shares = {}
    for step in range(8000, 8016):
        number = case.learner.number_at(step)
        share = case.learner.members[number].share_at(case.learner.model.turn_at(step))
        shares.setdefault(number, []).append(share)
    assert {sum(share > 0 for share in own) for own in shares.values()} == {1}
