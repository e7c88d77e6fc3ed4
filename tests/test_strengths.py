"""Strengths of the penalties of an ensemble, and the trial that finds one for all."""

import math
from itertools import pairwise

import pytest
import torch
from training_cases import ENSEMBLE, make_case

from made_exp.settings.training import TrainerSettings
from made_exp.training.strengths import (
    MAX_MEMBER_PULL,
    MAX_PULL,
    WIDTH,
    member_pulls,
    num_in_trial,
    settle,
    settled_pulls,
    trial_pulls,
)

FIVE = {**ENSEMBLE, "num_orderings": 5}


def test_members_of_an_ensemble_have_a_range_of_strengths():
    pulls = member_pulls(0.4, num_batches=2, num_members=6, spread=2.0)
    assert pulls == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.4, 0.4])


def test_each_member_has_its_own_penalty(tmp_path):
    trainer = make_case(
        tmp_path, ordering=ENSEMBLE, trainer={"sparsity": 0.3, "sparsity_spread": 2}
    )
    wanted = member_pulls(0.3, len(trainer.batches), 3, 2.0)
    assert len(set(wanted)) == 2
    for member, trained, pull in zip(
        trainer.learner.model.members, trainer.learner.members, wanted, strict=True
    ):
        assert trained.penalty.pull == pull
        assert list(map(id, trained.penalty.weights)) == list(map(id, member.weights()))


def test_an_epoch_of_few_steps_leaves_weights_alive():
    assert member_pulls(4.0, num_batches=2, num_members=1) == [MAX_PULL]
    pulls = member_pulls(4.0, num_batches=2, num_members=6, spread=6.0)
    assert sorted(set(pulls)) == pytest.approx([1 / 3, 0.2**0.5, 0.6], rel=1e-6)
    pulls = member_pulls(4.0, num_batches=1, num_members=6, spread=6.0)
    assert min(pulls) == MAX_PULL


def test_bad_strengths_are_refused():
    with pytest.raises(ValueError, match=r"sparsity_spread must be >= 1, got 0\.5"):
        TrainerSettings(sparsity_spread=0.5)
    with pytest.raises(ValueError, match=r"sparsity must be >= 0, got -1"):
        TrainerSettings(sparsity=-1)


def test_a_third_of_the_members_try_out_all_strengths():
    counts = (1, 4, 5, 8, 12, 24)
    ranges = [member_pulls(0.2, 2, count, spread=4.1) for count in counts]
    assert [num_in_trial(pulls) for pulls in ranges] == [0, 0, 3, 3, 4, 8]
    assert not num_in_trial(member_pulls(0.2, 2, 24, spread=3.9))
    assert not num_in_trial(member_pulls(0.0, 2, 24, spread=8.0))
    pulls = trial_pulls(0.4, num_batches=2, num_members=5, spread=2.0, num_trial=3)
    assert pulls == pytest.approx([0.1, 0.2, 0.4, 0.2, 0.2])


def test_all_settle_around_what_the_mixture_wants():
    pulls, again = settled_pulls([0.01, 0.04, 0.16], [0.0, 0.5, 0.25], num_members=6)
    middle = 1.5 * math.exp((2 * math.log(0.04) + math.log(0.16)) / 3)
    least, most = middle / WIDTH, middle * WIDTH
    assert pulls[:3] == pytest.approx([least, max(0.04, least), most])
    assert again == [0]
    assert not settled_pulls([0.01, 0.04], [0.1, 0.9], num_members=4)[1]
    ratios = [two / one for one, two in pairwise(pulls[3:])]
    assert ratios == pytest.approx([WIDTH ** (2 / 3)] * 2)
    assert math.prod(pulls[3:]) == pytest.approx(middle**3)
    strong, _ = settled_pulls([0.1, 0.6], [0.0, 1.0], num_members=4)
    assert max(strong) <= MAX_MEMBER_PULL * 1.001


def copies_of(learner):
    """The parameters of each member, by name."""
    return [
        {name: weights.detach().clone() for name, weights in member.network.named_parameters()}
        for member in learner.members
    ]


def test_who_tried_what_is_far_off_begins_again_and_others_go_on(tmp_path):
    trainer = {"sparsity": 0.3, "sparsity_spread": 8, "weight_averaging": 0.9, "epochs": 2}
    made = make_case(tmp_path, ordering=FIVE, trainer=trainer, optimizer="adamw")
    made.train()
    learner = made.learner
    learner.scheduler.num_trial = 3
    for member, pull in zip(learner.members, (0.01, 0.1, 0.11, 0.5, 0.5), strict=True):
        member.penalty.change(pull)
    before = copies_of(learner)
    settle(learner, [0.0, 0.5, 0.5, 0.0, 0.0], seed=3)
    after = copies_of(learner)
    first = learner.members[0]
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        for name, weights in new.items():
            is_redrawn = number == 0 and name.endswith("weight")
            is_zero = number == 0 and "hidden" in name and name.endswith("bias")
            assert is_zero or torch.equal(old[name], weights) != is_redrawn, name
            assert not (is_zero and weights.any())
    bound = 1 / math.sqrt(6)
    assert 0.5 * bound < after[0]["hidden.0.weight"].abs().max() <= bound
    assert not any(value.any() for own in first.optimizer.state.values() for value in own.values())
    for average, weights in zip(first.average.average, first.network.parameters(), strict=True):
        assert torch.equal(average, weights)
    pulls = [member.penalty.pull for member in learner.members]
    assert pulls == settled_pulls([0.01, 0.1, 0.11], [0.0, 0.5, 0.5], 5)[0]
    again = make_case(tmp_path / "again", ordering=FIVE, trainer=trainer, optimizer="adamw")
    for member, saved in zip(again.learner.members, learner.members, strict=True):
        state = saved.state()
        member.load_state(state)
        assert member.penalty.pull == saved.penalty.pull
