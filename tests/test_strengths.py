"""Strengths of the penalties of an ensemble."""

import pytest
from training_cases import ENSEMBLE, make_case

from made_exp.settings.training import TrainerSettings
from made_exp.training.strengths import MAX_PULL, member_pulls


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
