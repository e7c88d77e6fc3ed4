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
    trainer.step = kind(learner.model, learner.members, trainer.batches, trainer.settings)


def test_training_goes_on_where_recording_fails(tmp_path, monkeypatch):
    def no_graph(self, work):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(GraphedStep, "_capture", no_graph)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    plain, graphed = make_case(tmp_path / "a"), make_case(tmp_path / "b")
    take(graphed, GraphedStep)
    plain.train()
    graphed.train()
    assert graphed.observer.lines == plain.observer.lines
    (done,) = graphed.step._done
    assert done.calls == 12
    assert done.is_broken


def recording(step, work):
    """Stands for a CUDA graph: does the recorded work again."""
    return SimpleNamespace(replay=work)


CASES = {
    "plain": {},
    "binarized": {"binarize": True},
    "clipped": {"trainer": {"grad_clip": 0.1}},
    "averaged": {"trainer": {"weight_averaging": 0.9}},
    "cosine": {"scheduler": "cosine"},
    "labels": {"num_classes": 3},
    "resampled": {"ordering": AGNOSTIC},
    "resampled order": {"ordering": {**AGNOSTIC, "num_orderings": 3, "resample": "order"}},
    "ensemble": {"ordering": ENSEMBLE, "trainer": {"epochs": 9}},
    "ensemble, averaged": {
        "ordering": ENSEMBLE,
        "trainer": {
            "epochs": 9,
            "weight_averaging": 0.9,
            "sparsity": 0.5,
            "sparsity_spread": 4.0,
        },
    },
    "resampled, labels": {"ordering": AGNOSTIC, "num_classes": 3, "binarize": True},
}


def assert_all_replayed(step):
    assert len(step._done) == len(step.members)
    assert all(done.recording and not done.is_broken for done in step._done)


@pytest.mark.parametrize("name", CASES)
def test_a_recording_reads_what_each_step_puts_in_its_place(tmp_path, monkeypatch, name):
    monkeypatch.setattr(GraphedStep, "_capture", recording)
    plain, graphed = (make_case(tmp_path / kind, **CASES[name]) for kind in ("plain", "graphed"))
    take(graphed, GraphedStep)
    plain.train()
    graphed.train()
    assert_all_replayed(graphed.step)
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
    assert_all_replayed(trainers[1].step)
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
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_members_beside_each_other_are_the_same_in_every_run(tmp_path, device, dropout):
    weights = []
    for number in range(2):
        case = make_case(
            tmp_path / str(number),
            device=device,
            dtype=torch.float32,
            ordering=ENSEMBLE,
            network={"dropout": dropout},
            hidden_sizes=(64, 64),
            trainer={"epochs": 30, "weight_averaging": 0.9},
        )
        case.train()
        assert len(case.step._streams) == (1 if dropout else 3)
        weights.append(case.learner.model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
