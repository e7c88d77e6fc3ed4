"""The training loop: steps, evaluations, early stopping and checkpoints that resume exactly.

What a step draws is a function of (seed, step), masks included, so that weights, optimizer,
scheduler and a few counters are the whole state. Interrupted anywhere and resumed, a training on
a CPU gives the same weights and numbers, bit for bit, as one that was never interrupted.
"""

import logging
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from made_exp.errors import DivergedError
from made_exp.model.evaluation import Evaluation
from made_exp.runtime import matmul_precision
from made_exp.settings.experiment import Settings
from made_exp.settings.training import AnnealSettings
from made_exp.training.batches import Batches
from made_exp.training.keeper import CheckpointKeeper
from made_exp.training.learner import Learner
from made_exp.training.optimizers import set_learning_rate
from made_exp.training.signals import StopSignals, stop_signals
from made_exp.training.state import Observer, TrainState
from made_exp.training.step import TrainStep

_log = logging.getLogger(__name__)
_STEPS_BETWEEN_AGREEMENTS = 20
_RECENT = 20
# Where the length is not known beforehand: the next evaluation comes when the steps have grown by
# this share, the first after so many, and evaluations take at most this share of the training: of
# a budget of time, and by examples, of which one costs a quarter of what it costs to train on it.
_GROWTH, _FIRST_EVALUATION, _EVALUATION_SHARE, _EVALUATION_COST = 0.08, 25, 0.1, 0.25


class Trainer:
    """Trains a learner on batches and leaves last.pt and best.pt in the run folder.

    Args:
        learner: What is trained.
        batches: The training data, on the device of the model, and who shares them.
        step: Does one optimizer step.
        fit_and_validate: Scores the validation split, to which it first fits the weights of the
            model's mixture, if they are fitted; nothing else changes.
        settings: How long and in what steps, and the base learning rate.
        keeper: Saves and restores the learner.
        num_scored: Examples that `fit_and_validate` scores, counted for each density anew.

    Attributes:
        observer: Hears of steps and evaluations.
    """

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        step: TrainStep,
        fit_and_validate: Callable[[], Evaluation],
        settings: Settings,
        keeper: CheckpointKeeper,
        num_scored: int = 0,
    ) -> None:
        self.learner, self.batches, self.step = learner, batches, step
        self.fit_and_validate = fit_and_validate
        self.settings, self.lr, self.keeper = settings.trainer, settings.optimizer.lr, keeper
        self.observer, self.world, self.state = Observer(), batches.world, learner.state
        self._epochs = self.settings.total_epochs(len(batches))
        adapts = isinstance(settings.scheduler, AnnealSettings)
        self._eval_every = self.settings.epochs_between(len(batches), adapts=adapts)
        cost = _EVALUATION_COST * num_scored / batches.batch_size
        self._first_evaluation = max(_FIRST_EVALUATION, cost / _EVALUATION_SHARE)
        self._is_consistent = True
        self._clock = time.monotonic()
        self._evaluation_seconds, self._evaluated_at = 0.0, 0.0

    def train(self) -> TrainState:
        """Train to the end, from the start or from what the keeper restored.

        Raises:
            DivergedError: If a loss is not finite.
            SystemExit: If a signal asked to stop; everything is saved.
        """
        self._clock = time.monotonic()
        device, precision = self.batches.device, matmul_precision(self.settings.precision)
        generators = torch.random.fork_rng([device] if device.type == "cuda" else [])
        with generators, precision, stop_signals() as signals:
            try:
                self.keeper.record(self.observer)
                self._loop(signals)
                self._save()
            except DivergedError:
                self.keeper.record(self.observer)  # a resumed run drops what its last.pt lacks
                raise
            except (SystemExit, KeyboardInterrupt):
                if self._is_consistent and not self.learner.first_bad_loss(0):
                    self._save()
                raise
        return self.state

    def _loop(self, signals: StopSignals) -> None:
        if self.state.evaluated_step < 0:
            self._evaluate()
        while not self._is_over():
            self._train_epoch(signals)
            if self.world.any(signals.received is not None):
                self._stop(signals)
            if self.state.position == len(self.batches):
                self.state.epoch, self.state.position = self.state.epoch + 1, 0
            if self._is_due() or self._is_over():
                self._evaluate()
        if self.world.any(signals.received is not None):
            self._stop(signals)

    def _is_due(self) -> bool:
        """Whether training stands where valid is to be scored: at the end of some epochs."""
        if self.state.position:
            return False
        if self._eval_every is not None:
            return self.state.epoch % self._eval_every == 0
        before = self.state.evaluated_step
        if self.state.step - before < max(self._first_evaluation, _GROWTH * before):
            return False
        affordable = _EVALUATION_SHARE * (self.state.seconds - self._evaluated_at)
        return self.settings.max_minutes is None or self._evaluation_seconds <= affordable

    def _train_epoch(self, signals: StopSignals) -> None:
        """Steps until the epoch ends, training ends, or a signal comes."""
        state, started, first = self.state, time.monotonic(), self.state.position
        order = self.batches.order(state.epoch)
        self.learner.model.train()
        while state.position < len(self.batches) and not self._limit_reached():
            self._one_step(order[state.position])
            progress = state.epoch + state.position / len(self.batches)
            self.observer.stepped(state, progress, self._recent_nll)
            if self._agree(signals.received is not None):
                break
            age = time.monotonic() - self.keeper.saved_at
            if self._agree(age > self.settings.checkpoint_every_seconds):
                self._check_losses(first)
                self._save()
        self._check_losses(first)  # also waits for the device, which makes the time true
        state.step_seconds += time.monotonic() - started

    def train_member(self, index: Tensor, step: int) -> Tensor:
        """Do step `step` (0, 1, ...) on the examples at `index` (B,); returns their mean NLL ()."""
        lr, member = self._learning_rate(step), self.learner.member_at(step)
        set_learning_rate(member.optimizer, lr)
        loss = self.step(index, step)
        member.finish_step(step, lr)
        return loss

    def _one_step(self, index: Tensor) -> None:
        self._is_consistent = False
        self.learner.losses[self.state.position] = self.train_member(index, self.state.step)
        self.state.position += 1
        self.state.step += 1
        self._is_consistent = True

    def _evaluate(self) -> None:
        """Score the validation split; note the best; tell, draw and save."""
        self._is_consistent, started = False, time.monotonic()
        train_nll = self._train_nll()
        with self.learner.evaluated_weights():
            valid = self.fit_and_validate() if self.world.is_main else None
            score = None if valid is None else (valid.nll, valid.nll_stderr)
            nll, stderr = self.world.from_main(score)
            if not math.isfinite(nll):
                raise self._diverged(f"the validation NLL is {nll}", self.state.step)
            now = self.state.step, self.state.elapsed
            goes_back = self.learner.scheduler.observe(nll, *now, stderr)
            is_best = self.state.note_evaluation(nll)
            self._tick()
            self._evaluation_seconds = time.monotonic() - started
            self._evaluated_at = self.state.seconds
            if valid is not None:
                record = self.observer.evaluated(
                    self.state, train_nll, valid, self._learning_rate(self.state.step), is_best
                )
                self.keeper.note_evaluation(record, is_best=is_best)
        if goes_back:
            weights = self.keeper.best_weights() if self.world.is_main else None
            self.learner.start_from(self.world.from_main(weights))
        self._is_consistent = True
        if self.keeper.is_due:
            self._save()

    def _is_over(self) -> bool:
        patience = self.settings.patience
        has_lost_patience = patience is not None and self.state.since_best >= patience
        is_complete = self.state.epoch >= self._epochs
        return is_complete or has_lost_patience or self._limit_reached()

    def _limit_reached(self) -> bool:
        max_steps, step = self.settings.max_steps, self.state.step
        self._note_elapsed()
        is_over = (
            self.learner.scheduler.is_over(step, self.state.elapsed) or self.state.elapsed >= 1
        )
        return is_over or (max_steps is not None and step >= max_steps)

    def _note_elapsed(self) -> None:
        """Find the share of the budget of time that is gone; all processes hold the same."""
        if self.settings.max_minutes is None:
            return
        if self.world.size > 1 and self.state.step % _STEPS_BETWEEN_AGREEMENTS:
            return
        self._tick()
        # The last evaluation belongs to the budget.
        seconds = self.state.seconds + self._evaluation_seconds
        elapsed = min(seconds / (60 * self.settings.max_minutes), 1.0)
        self.state.elapsed = float(self.world.from_main(elapsed))

    def _agree(self, flag: bool) -> bool:
        """`flag` of any process; several processes ask each other only now and then."""
        if self.world.size == 1:
            return flag
        return self.state.step % _STEPS_BETWEEN_AGREEMENTS == 0 and self.world.any(flag)

    def _stop(self, signals: StopSignals) -> None:
        self._save()
        _log.warning(
            "stopped at step %d (epoch %d), saved in %s; resume=true goes on from there",
            self.state.step,
            self.state.epochs_begun,
            self.keeper.run.last,
        )
        self.world.wait()
        signals.finish()
        raise SystemExit(1)  # another process was asked to stop

    def _save(self) -> None:
        self._tick()
        self.keeper.save(self.observer)

    def _learning_rate(self, step: int) -> float:
        return self.lr * self.learner.scheduler.factor(step, self.state.elapsed)

    def _train_nll(self) -> float:
        """Mean loss (nats) of the epoch just trained; before the first, of its first batch."""
        if self.state.step:
            loss = self.learner.losses[: self.state.position or len(self.batches)].mean()
        else:
            x, context = self.batches.gather(self.batches.order(0)[0], self.batches.thresholds(0))
            self.learner.model.eval()
            with torch.no_grad():
                loss = self.step.loss_of(x, self.learner.model.component(0), context)
        return float(self.world.mean(loss)) - self.batches.log_slope

    def _recent_nll(self) -> float:
        last = self.state.position
        recent = self.learner.losses[max(0, last - _RECENT) : last].mean()
        return float(recent) - self.batches.log_slope

    def _check_losses(self, first: int) -> None:
        bad = self.learner.first_bad_loss(first)
        if self.settings.check_numbers and self.world.any(bad is not None):
            position, loss = bad or (first, math.nan)
            step = self.state.step - self.state.position + position
            raise self._diverged(f"the loss is {loss}", step, position)

    def _diverged(self, what: str, step: int, position: int | None = None) -> DivergedError:
        epoch = self.state.epoch + (position is not None)
        batch = "" if position is None else f", batch {position} of {len(self.batches)}"
        return DivergedError(
            f"training diverged: {what} at step {step} (epoch {epoch}{batch}, seed "
            f"{self.batches.seed}). Last finite checkpoint: {self.keeper.run.last}. Try a lower "
            "optimizer.lr, trainer.grad_clip=1 or scheduler.warmup_steps=1000"
        )

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now
