"""Steps replayed from a CUDA graph are the plain steps; only the first tests need no GPU."""

from types import SimpleNamespace

import pytest
import torch
from training_cases import AGNOSTIC, ENSEMBLE, make_case

from made_exp.masks.schedule import MaskSchedule
from made_exp.training.assembly import wants_graph
from made_exp.training.cuda_graph import GraphedStep, StaticMasks
from made_exp.training.step import TrainStep


def test_a_cpu_has_no_graph(tmp_path):
    trainer = make_case(tmp_path)
    assert not isinstance(trainer.step, GraphedStep)
    assert not wants_graph(trainer.learner.model, trainer.batches, "adam")


def take(trainer, kind):
    """Let `trainer` take steps of this kind."""
    learner = trainer.learner
    optimizers = [member.optimizer for member in learner.members]
    trainer.step = kind(learner.model, optimizers, trainer.batches, trainer.settings)


def test_training_goes_on_where_recording_fails(tmp_path, monkeypatch):
    def no_graph(self, index, thresholds):
        self._broken = True
        return False

    monkeypatch.setattr(GraphedStep, "_record", no_graph)
    monkeypatch.setattr(GraphedStep, "_on_side_stream", TrainStep.__call__)
    plain, graphed = make_case(tmp_path / "a"), make_case(tmp_path / "b")
    take(graphed, GraphedStep)
    plain.train()
    graphed.train()
    assert graphed.observer.lines == plain.observer.lines
    assert graphed.step._calls == 12


def recording(step):
    """Stands for a CUDA graph: takes the recorded step again."""
    return SimpleNamespace(replay=step._recorded)


CASES = {
    "plain": {},
    "binarized": {"binarize": True},
    "clipped": {"trainer": {"grad_clip": 0.1}},
    "averaged": {"trainer": {"weight_averaging": 0.9}},
    "cosine": {"scheduler": "cosine"},
    "labels": {"num_classes": 3},
    "resampled": {"ordering": AGNOSTIC},
    "resampled order": {"ordering": {**AGNOSTIC, "num_orderings": 3, "resample": "order"}},
    "resampled, labels": {"ordering": AGNOSTIC, "num_classes": 3, "binarize": True},
}


@pytest.mark.parametrize("name", CASES)
def test_a_recording_reads_what_each_step_puts_in_its_place(tmp_path, monkeypatch, name):
    monkeypatch.setattr(GraphedStep, "_capture", recording)
    monkeypatch.setattr(GraphedStep, "_on_side_stream", TrainStep.__call__)
    plain, graphed = (make_case(tmp_path / kind, **CASES[name]) for kind in ("plain", "graphed"))
    take(graphed, GraphedStep)
    plain.train()
    graphed.train()
    assert graphed.step._graph is not None
    assert not graphed.step._broken
    for line, expected in zip(graphed.observer.lines, plain.observer.lines, strict=True):
        assert line == pytest.approx(expected, rel=1e-8)


def test_static_masks_are_those_loaded_last(device):
    schedule = MaskSchedule(tuple(range(5)), (4, 3), resample="both", num_orderings=0)
    static = StaticMasks(schedule.mask_set(0), device)
    early = static.masks()
    static.load(schedule.mask_set(7))
    expected = schedule.mask_set(7).layer_degrees
    for found, degrees in zip(static.masks().layer_degrees, expected, strict=True):
        assert torch.equal(found.cpu(), degrees)
    assert torch.equal(early.ordering.cpu(), schedule.mask_set(7).ordering)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("name", CASES)
def test_replayed_steps_are_plain_steps(tmp_path, device, optimizer, name):
    trainers = []
    for graph in (False, True):
        trainer = make_case(
            tmp_path / str(graph),
            device=device,
            optimizer=optimizer,
            dtype=torch.float32,
            **CASES[name],
        )
        if not graph:
            take(trainer, TrainStep)
        trainer.train()
        trainers.append(trainer)
    assert trainers[1].step._graph is not None
    assert not trainers[1].step._broken
    for plain, replayed in zip(trainers[0].observer.lines, trainers[1].observer.lines, strict=True):
        assert replayed == pytest.approx(plain, rel=1e-4)


@pytest.mark.gpu
def test_dropout_of_replayed_steps_differs_from_step_to_step(tmp_path, device):
    trainer = make_case(
        tmp_path, device=device, dtype=torch.float32, lr=1e-12, network={"dropout": 0.5}
    )
    trainer.train()
    values = trainer.learner.losses.cpu()
    assert len(set(values.tolist())) == len(values)


@pytest.mark.gpu
def test_resuming_with_a_graph_goes_on(tmp_path, device):
    whole = make_case(tmp_path / "whole", device=device, dtype=torch.float32)
    whole.train()
    make_case(tmp_path / "parts", device=device, dtype=torch.float32, trainer={"epochs": 2}).train()
    rest = make_case(tmp_path / "parts", device=device, dtype=torch.float32)
    rest.keeper.restore()
    rest.train()
    for name, value in whole.learner.model.state_dict().items():
        torch.testing.assert_close(rest.learner.model.state_dict()[name], value)


@pytest.mark.gpu
def test_members_take_plain_steps(tmp_path, device):
    trainer = make_case(tmp_path, device=device, ordering=ENSEMBLE)
    assert type(trainer.step) is TrainStep
