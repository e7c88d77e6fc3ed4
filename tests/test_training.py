"""The training loop: it learns, stops when it should, and says why when it cannot go on."""

import math
import os
import signal
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from training_cases import AGNOSTIC, Listener, make_case

from made_exp.errors import CheckpointError, DivergedError
from made_exp.model.evaluation import evaluate
from made_exp.runs.checkpoints import load_checkpoint, previous_generation
from made_exp.training.signals import stop_signals


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"ordering": {**AGNOSTIC, "num_orderings": 4}},
        {"num_classes": 2},
        {"binarize": True},
        {"network": {"dropout": 0.1, "direct_connections": True}},
        {"trainer": {"weight_averaging": 0.9}},
    ],
    ids=["plain", "agnostic", "labels", "binarized", "dropout", "averaged"],
)
def test_likelihood_rises_above_that_of_independent_variables(tmp_path, device, dtype, case):
    settings = {**case.get("trainer", {}), "epochs": 60}
    options = {**case, "trainer": settings, "lr": 0.03}
    trainer = make_case(tmp_path, device=device, dtype=dtype, **options)
    state = trainer.train()
    start, best = trainer.observer.lines[0][3], state.best_nll
    independent = 6 * math.log(2)
    assert abs(start - independent) < 0.3
    # Half of the variables are copies with one bit in ten wrong; grey levels hide more.
    assert best < (4.05 if case.get("binarize") else 3.9)


def test_the_step_follows_the_gradient_of_the_likelihood(tmp_path):
    """One SGD step against the same step by hand."""
    trainer = make_case(tmp_path, optimizer="sgd", trainer={"max_steps": 1})
    model = trainer.learner.model
    x, _ = trainer.batches.gather(trainer.batches.order(0)[0], None)
    loss = -model.component(0).log_prob(x).mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    lr = 0.1 / 6  # the first of five steps of warm-up; Nesterov's first step is (1 + momentum)
    expected = [
        p.detach() - lr * 1.9 * g for p, g in zip(model.parameters(), gradients, strict=True)
    ]
    trainer.train()
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


def test_every_evaluation_is_told_and_the_last_step_is_on_disk(tmp_path):
    trainer = make_case(tmp_path, trainer={"epochs": 5, "eval_every": 2})
    state = trainer.train()
    assert [line[:2] for line in trainer.observer.lines] == [(0, 0), (6, 2), (12, 4), (15, 5)]
    assert load_checkpoint(trainer.keeper.run.last)["state"]["step"] == state.step == 15


def test_train_nll_is_the_mean_loss_of_the_epoch(tmp_path):
    losses = []
    trainer = make_case(tmp_path, trainer={"epochs": 2})

    class Noting(type(trainer.step)):
        def __call__(self, index, step, lr):
            losses.append(float(super().__call__(index, step, lr)))
            return torch.tensor(losses[-1])

    trainer.step.__class__ = Noting
    trainer.train()
    told = [line[2] for line in trainer.observer.lines]
    assert told[1:] == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 3])


def test_best_is_the_best_evaluation_not_the_last(tmp_path):
    trainer = make_case(tmp_path, optimizer="sgd", lr=3.0, trainer={"epochs": 8})
    state = trainer.train()
    nlls = [line[3] for line in trainer.observer.lines]
    assert state.best_nll == min(nlls) < nlls[-1]
    assert state.best_epoch == nlls.index(min(nlls))
    assert [line[5] for line in trainer.observer.lines] == [
        nll == min(nlls[: n + 1]) for n, nll in enumerate(nlls)
    ]
    trainer.keeper.restore_best()
    assert trainer.fit_and_validate().nll == state.best_nll


def test_best_holds_the_averaged_weights(tmp_path):
    trainer = make_case(tmp_path, trainer={"weight_averaging": 0.8})
    state = trainer.train()
    own = {k: v.clone() for k, v in trainer.learner.model.state_dict().items()}
    trainer.keeper.restore_best()
    assert trainer.fit_and_validate().nll == state.best_nll
    assert any(not torch.equal(own[k], v) for k, v in trainer.learner.model.state_dict().items())


def test_patience_ends_training(tmp_path):
    trainer = make_case(tmp_path, optimizer="sgd", lr=30.0, trainer={"patience": 3, "epochs": 99})
    state = trainer.train()
    assert state.since_best == 3
    assert state.epoch == state.best_epoch + 3 < 99


def test_step_and_time_limits_end_training_inside_an_epoch(tmp_path):
    trainer = make_case(tmp_path / "a", trainer={"max_steps": 5})
    assert trainer.train().step == 5
    assert trainer.observer.lines[-1][:2] == (5, 2)
    trainer = make_case(tmp_path / "b", trainer={"max_minutes": 1e-9})
    state = trainer.train()
    assert state.step == 0
    assert state.evaluations == 1


def test_evaluations_take_a_tenth_of_training_at_most(tmp_path):
    num_scored, batch_size = 1200, 15  # a scored example costs a quarter of a trained one
    trainer = make_case(
        tmp_path,
        scheduler="anneal",
        trainer={"eval_every": None, "epochs": 300, "batch_size": batch_size},
        num_scored=num_scored,
    )
    trainer.train()
    *steps, _ = [line[0] for line in trainer.observer.lines]  # the last comes when training ends
    assert len(steps) >= 3
    assert all(b - a >= 0.25 * num_scored / batch_size / 0.1 for a, b in pairwise(steps))
    trainer.clock.max_minutes = 1.0
    trainer.clock.hear_evaluation((0.0, 0.0, 2.0, 50.0))  # two seconds; fifty steps in each
    assert trainer.clock.affordable_steps == pytest.approx(2.0 * 50.0 / 0.1)


def test_zero_epochs_leave_the_marginals(tmp_path):
    trainer = make_case(tmp_path, trainer={"epochs": 0})
    state = trainer.train()
    assert state.evaluations == 1
    assert trainer.keeper.run.best.exists()


def test_evaluation_leaves_training_as_it_was(tmp_path):
    weights = []
    for eval_every in (1, 4):
        trainer = make_case(
            tmp_path / str(eval_every),
            network={"dropout": 0.3},
            ordering=AGNOSTIC,
            trainer={"eval_every": eval_every},
        )
        trainer.train()
        weights.append(trainer.learner.model.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def poison(trainer, at):
    """Make the loss of step `at` NaN."""

    class Poisoned(type(trainer.step)):
        def __call__(self, index, step, lr):
            loss = super().__call__(index, step, lr)
            return loss * math.nan if step == at else loss

    trainer.step.__class__ = Poisoned


@pytest.mark.parametrize("at", [1, 5])
def test_a_loss_that_is_not_finite_is_named(tmp_path, at):
    trainer = make_case(tmp_path)
    poison(trainer, at)
    where = rf"loss is nan at step {at} \(epoch {1 + at // 3}, batch {at % 3} of 3, seed 0\)"
    with pytest.raises(DivergedError, match=rf"{where}.*last\.pt.*lower optimizer\.lr"):
        trainer.train()
    state = load_checkpoint(trainer.keeper.run.last)["state"]
    assert math.isfinite(state["best_nll"])
    assert state["step"] <= at


def test_evaluations_before_a_divergence_are_recorded(tmp_path):
    trainer = make_case(tmp_path, trainer={"epochs": 50})
    trainer.observer = CheckpointReader(trainer.keeper.run)
    poison(trainer, 40)
    with pytest.raises(DivergedError):
        trainer.train()
    assert [step for step, _, _ in trainer.observer.seen] == list(range(0, 40, 3))


def test_an_absurd_learning_rate_diverges(tmp_path):
    with pytest.raises(DivergedError, match="Last finite checkpoint"):
        make_case(tmp_path, optimizer="adam", lr=1e300).train()


def test_clipping_bounds_the_gradient(tmp_path):
    trainer = make_case(tmp_path, optimizer="sgd", trainer={"grad_clip": 1e-3, "max_steps": 1})
    before = [p.detach().clone() for p in trainer.learner.model.parameters()]
    trainer.train()
    after = trainer.learner.model.parameters()
    moved = sum(((b - a) ** 2).sum() for b, a in zip(before, after, strict=True))
    assert float(moved.detach().sqrt()) <= 0.1 * 1e-3 * 1.9 + 1e-12


def test_bf16_trains_in_the_neighbourhood_of_fp32(tmp_path):
    nlls = []
    for precision in ("fp32", "bf16", "tf32"):
        trainer = make_case(
            tmp_path / precision,
            dtype=torch.float32,
            trainer={"precision": precision, "epochs": 20},
            hidden_sizes=(64, 64),  # smaller products are not taken in bfloat16
        )
        nlls.append(trainer.train().best_nll)
    assert nlls[1] == pytest.approx(nlls[0], abs=0.1)
    assert nlls[2] == pytest.approx(nlls[0], abs=0.1)


class SignalSender(Listener):
    """Sends this process a signal after a step."""

    def __init__(self, signum, at):
        super().__init__()
        self.signum, self.at = signum, at

    def stepped(self, state, epoch, recent_nll):
        super().stepped(state, epoch, recent_nll)
        if state.step == self.at:
            os.kill(os.getpid(), self.signum)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_training_after_the_step_with_everything_saved(
    tmp_path, caplog, signum, code
):
    before = signal.getsignal(signum)
    trainer = make_case(tmp_path / "cut", listener=SignalSender(signum, 7))
    with pytest.raises(SystemExit) as stop:
        trainer.train()
    assert stop.value.code == code
    assert signal.getsignal(signum) is before
    assert f"made-train resume={tmp_path / 'cut'} goes on" in caplog.text
    assert load_checkpoint(trainer.keeper.run.last)["state"]["step"] == 7
    resumed = make_case(tmp_path / "cut")
    resumed.keeper.restore()
    resumed.train()
    whole = make_case(tmp_path / "whole")
    whole.train()
    for name, value in whole.learner.model.state_dict().items():
        assert torch.equal(value, resumed.learner.model.state_dict()[name])


def test_a_requeueing_handler_is_called_after_the_state_was_saved(tmp_path):
    seen = []

    def requeue(signum, frame):
        seen.append(load_checkpoint(trainer.keeper.run.last)["state"]["step"])
        raise SystemExit(-1)

    before = signal.signal(signal.SIGUSR2, requeue)
    try:
        trainer = make_case(tmp_path, listener=SignalSender(signal.SIGUSR2, 7))
        with pytest.raises(SystemExit) as stop:
            trainer.train()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert stop.value.code == -1
    assert seen == [7]


def test_system_exit_between_steps_saves_too(tmp_path):
    class Leaver(Listener):
        def stepped(self, state, epoch, recent_nll):
            if state.step == 7:
                raise SystemExit(3)

    trainer = make_case(tmp_path, listener=Leaver())
    with pytest.raises(SystemExit):
        trainer.train()
    assert load_checkpoint(trainer.keeper.run.last)["state"]["step"] == 7


def test_foreign_handlers_of_the_stopping_signals_are_respected():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda signum, frame: seen.append(signum))
    try:
        with stop_signals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        assert signals.received is None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_during_the_last_save_is_obeyed_after_it(tmp_path, monkeypatch):
    trainer = make_case(tmp_path)
    save = type(trainer)._save

    def interrupted(self):
        if self._is_over():
            os.kill(os.getpid(), signal.SIGINT)
        save(self)

    monkeypatch.setattr(type(trainer), "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    last = load_checkpoint(trainer.keeper.run.last)["state"]
    assert last["step"] == trainer.state.step > 0


def test_recent_nll_is_what_the_display_shows(tmp_path):
    shown = []

    class Looker(Listener):
        def stepped(self, state, epoch, recent_nll):
            shown.append((epoch, recent_nll()))

    trainer = make_case(tmp_path, listener=Looker(), trainer={"epochs": 1})
    trainer.train()
    assert [epoch for epoch, _ in shown] == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(1 < nll < 6 for _, nll in shown)


class CheckpointReader(Listener):
    """Notes what last.pt and its generation before hold whenever an evaluation is recorded."""

    def __init__(self, run):
        super().__init__()
        self.run, self.seen = run, []

    def evaluated(self, state, *others):
        super().evaluated(state, *others)
        return {"step": state.step}

    def saved(self, record):
        found = load_checkpoint(self.run.last)["state"]["evaluated_step"]
        paths = [previous_generation(path) for path in (self.run.last, self.run.best)]
        before = [path for path in paths if path.exists()]
        self.seen.append((record["step"], found, [os.stat(path).st_ino for path in before]))


@pytest.fixture
def _at_every_evaluation(monkeypatch):
    monkeypatch.setattr("made_exp.training.keeper.SHARE_OF_TIME", math.inf)


@pytest.mark.usefixtures("_at_every_evaluation")
def test_each_evaluation_has_its_checkpoint_before_it_is_recorded(tmp_path):
    trainer = make_case(tmp_path, trainer={"epochs": 12})
    trainer.observer = CheckpointReader(trainer.keeper.run)
    trainer.train()
    steps = [line[0] for line in trainer.observer.lines]
    assert len(steps) == 13
    assert [step for step, _, _ in trainer.observer.seen] == steps
    assert all(found == step for step, found, _ in trainer.observer.seen)


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.0, 2, 2), (0.5, 3, 61)])
def test_evaluations_wait_for_the_checkpoint_that_has_them(
    tmp_path, monkeypatch, share, fewest, most
):
    monkeypatch.setattr("made_exp.training.keeper.SHARE_OF_TIME", share)
    trainer = make_case(tmp_path, trainer={"epochs": 60})
    trainer.observer = CheckpointReader(trainer.keeper.run)
    trainer.train()
    steps = [line[0] for line in trainer.observer.lines]
    assert [step for step, _, _ in trainer.observer.seen] == steps
    assert all(found >= step for step, found, _ in trainer.observer.seen)
    assert fewest <= len({found for _, found, _ in trainer.observer.seen}) <= most
    trainer.keeper.restore_best()
    assert trainer.fit_and_validate().nll == trainer.state.best_nll


@pytest.mark.parametrize(
    ("took", "fewest"), [((0.17,), 3), ((0.4, 0.02), 2), ((0.01, 0.01, 0.2), 4)], ids=str
)
def test_checkpoints_take_three_hundredths_of_the_time_with_the_first_and_the_last(
    tmp_path, monkeypatch, took, fewest
):
    trainer, now = make_case(tmp_path), 0.0
    keeper, state, seconds = trainer.keeper, trainer.state, iter(took * 1000)

    def save(path, content):
        nonlocal now
        now += next(seconds) if path.name == "last.pt" else 0.0

    monkeypatch.setattr("made_exp.training.keeper.save_checkpoint", save)
    monkeypatch.setattr("made_exp.training.keeper.time", SimpleNamespace(monotonic=lambda: now))
    keeper.saved_at, numbers = now, []
    for step in range(240):
        state.step, state.seconds = step, now
        if keeper.is_due or step == 239:
            keeper.save(trainer.observer)
            numbers.append(step)
        now += 0.125  # to the next evaluation
    assert len(numbers) >= fewest
    assert numbers[0] == 0
    assert state.checkpoint_seconds <= 0.03 * now


@pytest.mark.usefixtures("_at_every_evaluation")
def test_the_generation_before_is_always_one_that_the_disk_has(tmp_path, monkeypatch):
    flushed, flush = set(), os.fsync

    def noted(descriptor):
        flush(descriptor)
        flushed.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr("os.fsync", noted)
    trainer = make_case(tmp_path, trainer={"epochs": 30})
    trainer.observer = CheckpointReader(trainer.keeper.run)
    trainer.train()
    generations = [inode for _, _, inodes in trainer.observer.seen for inode in inodes]
    assert len(set(generations)) > 2
    assert set(generations) <= flushed
    assert {
        os.stat(p).st_ino for p in (trainer.keeper.run.last, trainer.keeper.run.best)
    } <= flushed


@pytest.mark.usefixtures("_at_every_evaluation")
def test_a_checkpoint_that_cannot_be_written_stops_training(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise CheckpointError("cannot write checkpoint: No space left on device")

    monkeypatch.setattr("made_exp.training.keeper.save_checkpoint", full)
    trainer = make_case(tmp_path, trainer={"epochs": 1000})
    with pytest.raises(CheckpointError, match="No space left"):
        trainer.train()
    assert trainer.state.epoch < 3


def test_evaluation_of_the_loaded_best_is_that_of_training(tmp_path, device):
    trainer = make_case(tmp_path, device=device)
    state = trainer.train()
    best = load_checkpoint(trainer.keeper.run.best)
    trainer.learner.model.load_state_dict(best["model"])
    assert trainer.fit_and_validate().nll == state.best_nll
    assert best["state"]["best_nll"] == state.best_nll
    assert evaluate is not None


def test_losses_name_the_first_that_is_not_finite(tmp_path):
    learner = make_case(tmp_path).learner
    learner.losses = torch.tensor([1.0, 2.0, math.inf, math.nan, 0.0])
    learner.state.position = 2
    assert learner.first_bad_loss(0) is None
    learner.state.position = 4
    assert learner.first_bad_loss(0) == (2, math.inf)
    position, value = learner.first_bad_loss(3)
    assert position == 3
    assert math.isnan(value)
    assert learner.first_bad_loss(4) is None
