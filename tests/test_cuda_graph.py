"""Steps replayed from a CUDA graph are the plain steps; only the first tests need no GPU."""

import pytest
import torch
from training_cases import AGNOSTIC, make_case

from made_exp.training.cuda_graph import GraphedStep
from made_exp.training.distributed import World
from made_exp.training.step import TrainStep
from made_exp.training.steps import wants_graph


def test_a_cpu_has_no_graph(tmp_path):
    trainer = make_case(tmp_path)
    assert not isinstance(trainer.step, GraphedStep)
    assert not wants_graph(trainer.learner.model, "adam", World())


def test_training_goes_on_where_recording_fails(tmp_path, monkeypatch):
    def no_graph(self, index, thresholds):
        self._broken = True
        return False

    monkeypatch.setattr(GraphedStep, "_record", no_graph)
    monkeypatch.setattr(GraphedStep, "_on_side_stream", TrainStep.__call__)
    plain, graphed = make_case(tmp_path / "a"), make_case(tmp_path / "b")
    graphed.step = GraphedStep(
        graphed.learner.model, [graphed.learner.members[0].optimizer], graphed.batches, seed=0
    )
    plain.train()
    graphed.train()
    assert graphed.observer.lines == plain.observer.lines
    assert graphed.step._calls == 12


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize(
    "case",
    [
        {},
        {"binarize": True},
        {"trainer": {"grad_clip": 0.1}},
        {"trainer": {"weight_averaging": 0.9}},
        {"scheduler": "cosine"},
    ],
    ids=["plain", "binarized", "clipped", "averaged", "cosine"],
)
def test_replayed_steps_are_plain_steps(tmp_path, device, optimizer, case):
    trainers = []
    for graph in (False, True):
        trainer = make_case(
            tmp_path / str(graph),
            device=device,
            optimizer=optimizer,
            dtype=torch.float32,
            cuda_graph=graph,
            **case,
        )
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
    values = trainer.losses.values.cpu()
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
def test_resampled_masks_take_plain_steps(tmp_path, device):
    trainer = make_case(tmp_path, device=device, ordering=AGNOSTIC)
    assert type(trainer.step) is TrainStep
