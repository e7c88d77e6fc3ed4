"""Interrupted and resumed equals uninterrupted, bit for bit on a CPU."""

import math

import pytest
import torch
from training_cases import AGNOSTIC, ENSEMBLE, OPTIMIZERS, SCHEDULERS, Crash, Listener, make_case

from made_exp.training.agreement import NONE, Agreement

FEATURES = {
    "dropout": {"network": {"dropout": 0.3}},
    "dynamic binarization": {"binarize": True},
    "agnostic": {"ordering": AGNOSTIC, "network": {"conditioning_weights": True}},
    "cycle of orderings": {"ordering": {**AGNOSTIC, "num_orderings": 3}},
    "weight averaging": {"trainer": {"weight_averaging": 0.9}},
    "clipping": {"trainer": {"grad_clip": 0.1}},
    "labels": {"num_classes": 3},
    "ensemble": {"ordering": ENSEMBLE, "trainer": {"sparsity": 0.2, "weight_averaging": 0.9}},
    "staircase": {"kernel": "staircase"},
    "rare evaluation": {"trainer": {"eval_every": 3}},
    "least number of steps": {"trainer": {"min_steps": 14}},
    "a hundred evaluations": {"trainer": {"eval_every": None}},
    "sparsity": {"trainer": {"sparsity": 0.5, "weight_averaging": 0.9}},
    "implications": {
        "network": {"implications": True, "direct_connections": True},
        "trainer": {"sparsity": 0.5},
    },
    "patience": {"trainer": {"patience": 2, "epochs": 30}, "lr": 0.1},
    "step limit": {"trainer": {"max_steps": 8}},
}


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch):
    """What is compared here does not depend on when the disk has it."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def tensors_of(value, prefix=""):
    """All tensors and numbers in nested dictionaries and lists, by path."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {prefix: value}
    return {k: v for key, item in items for k, v in tensors_of(item, f"{prefix}/{key}").items()}


def assert_same_training(first, second):
    one, two = (tensors_of(trainer.keeper._content()) for trainer in (first, second))
    assert one.keys() == two.keys()
    for key, value in one.items():
        if "seconds" in key:
            continue
        if torch.is_tensor(value):
            assert torch.equal(value, two[key]), key
        else:
            assert value == two[key], key


def run_with_crashes(path, crashes, when_evaluated, **case):
    """Train in several lives, each ended at a step of `crashes` or by the end of training."""
    lines = []
    for number, crash_at in enumerate([*crashes, None]):
        listener = Listener(crash_at, when_evaluated=when_evaluated)
        trainer = make_case(path, listener=listener, **case)
        if number:
            trainer.keeper.restore()
            lines = [line for line in lines if line[0] <= trainer.state.evaluated_step]
        try:
            trainer.train()
        except Crash:
            lines += trainer.observer.lines
        else:
            assert crash_at is None
    return trainer, lines + trainer.observer.lines


def check(tmp_path, crashes, every_step=True, when_evaluated=False, **case):
    whole = make_case(tmp_path / "whole", **case)
    whole.train()
    if every_step:
        case = {**case, "trainer": {**case.get("trainer", {}), "checkpoint_every_seconds": 0.0}}
    resumed, lines = run_with_crashes(tmp_path / "resumed", crashes, when_evaluated, **case)
    assert_same_training(whole, resumed)
    assert lines == whole.observer.lines
    best = [torch.load(t.keeper.run.best, weights_only=True)["model"] for t in (whole, resumed)]
    for name, value in best[0].items():
        assert torch.equal(value, best[1][name])


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_scheduler_resumes_exactly(tmp_path, optimizer, scheduler):
    check(tmp_path, [5, 11], optimizer=optimizer, scheduler=scheduler)


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_resumes_exactly(tmp_path, feature):
    check(tmp_path, [2, 4] if feature == "patience" else [2, 8], **FEATURES[feature])


@pytest.mark.parametrize("crash_at", [3, 4, 6, 9, 12])
def test_resumes_exactly_from_any_step(tmp_path, crash_at):
    check(tmp_path, [crash_at], network={"dropout": 0.2}, binarize=True)


@pytest.mark.parametrize("share", [0.01, math.inf])
def test_resumes_exactly_from_the_checkpoints_of_evaluations(tmp_path, monkeypatch, share):
    monkeypatch.setattr("made_exp.training.keeper.SHARE_OF_TIME", share)
    check(tmp_path, [5, 10], every_step=False, optimizer="adam")


@pytest.mark.parametrize("trainer", [{}, {"eval_every": 2}, {"max_steps": 8}], ids=str)
@pytest.mark.parametrize("saves", ["after each step", "before evaluations"])
def test_resumes_with_the_evaluation_that_was_about_to_come(tmp_path, monkeypatch, trainer, saves):
    if saves == "before evaluations":
        monkeypatch.setattr(Agreement, "after", lambda *_: NONE)
    steps = [step for step, *_ in lines_of(tmp_path, trainer=trainer) if step]
    check(tmp_path, steps, when_evaluated=True, trainer=trainer)


def lines_of(tmp_path, **case):
    trainer = make_case(tmp_path / "lines", **case)
    trainer.train()
    return trainer.observer.lines


def test_resumes_in_single_precision(tmp_path):
    check(tmp_path, [5], dtype=torch.float32, scheduler="cosine")


def test_resuming_twice_without_a_step_between_changes_nothing(tmp_path):
    check(tmp_path, [5, 5, 5])


def test_a_finished_training_resumes_to_itself(tmp_path):
    first = make_case(tmp_path)
    first.train()
    second = make_case(tmp_path)
    second.keeper.restore()
    second.train()
    assert second.observer.steps == []
    assert second.observer.lines == []
    assert_same_training(first, second)


def test_more_epochs_go_on_where_training_ended(tmp_path):
    whole = make_case(tmp_path / "whole", trainer={"epochs": 6})
    whole.train()
    make_case(tmp_path / "parts", trainer={"epochs": 3}).train()
    rest = make_case(tmp_path / "parts", trainer={"epochs": 6})
    rest.keeper.restore()
    rest.train()
    assert_same_training(whole, rest)


def test_training_leaves_global_generators_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    make_case(tmp_path, network={"dropout": 0.5}, binarize=True).train()
    assert torch.equal(torch.rand(4), expected)


def test_members_trained_one_after_the_other_are_those_trained_in_turn(tmp_path):
    case = {
        "ordering": ENSEMBLE,
        "network": {"dropout": 0.2},
        "scheduler": "cosine",
        "trainer": {"sparsity": 0.3, "sparsity_spread": 2.0, "weight_averaging": 0.9},
    }
    whole = make_case(tmp_path / "whole", **case)
    num_steps = whole.train().step
    apart = make_case(tmp_path / "apart", **case)
    batches, num_members = apart.batches, len(apart.learner.members)
    apart.learner.model.train()
    for first in reversed(range(num_members)):
        for step in range(first, num_steps, num_members):
            epoch, position = divmod(step, len(batches))
            apart.train_member(batches.order(epoch)[position], step)
    for one, two in zip(whole.learner.members, apart.learner.members, strict=True):
        saved, found = tensors_of(one.state()), tensors_of(two.state())
        assert saved.keys() == found.keys()
        assert all(
            torch.equal(torch.as_tensor(value), torch.as_tensor(found[name]))
            for name, value in saved.items()
        )
        for average, other in zip(one.average.average, two.average.average, strict=True):
            assert torch.equal(average, other)
