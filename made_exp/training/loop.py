"""The training loop: steps, evaluations, early stopping and checkpoints that resume exactly.

What a step draws is a function of (seed, step), masks included, so that weights, optimizer,
scheduler and a few counters are the whole state. Interrupted anywhere and resumed, a training on
a CPU gives the same weights and numbers, bit for bit, as one that was never interrupted.
"""

import logging
import math
import shlex
import time
from collections.abc import Callable

import torch
from torch import Tensor

from made_exp.errors import REMEDY, DivergedError
from made_exp.model.evaluation import Evaluation
from made_exp.runtime import matmul_precision
from made_exp.settings.experiment import Settings
from made_exp.settings.training import AnnealSettings
from made_exp.training.agreement import Agreement, Wishes
from made_exp.training.batches import Batches
from made_exp.training.clock import Clock, first_evaluation
from made_exp.training.keeper import CheckpointKeeper
from made_exp.training.learner import Learner
from made_exp.training.sharing import Shares
from made_exp.training.signals import StopSignals, stop_signals
from made_exp.training.state import Observer, Record, TrainState
from made_exp.training.step import TrainStep
from made_exp.training.world import World

_log = logging.getLogger(__name__)
# Where the length is not known beforehand: the next evaluation comes when the steps have grown by
# this share.
_GROWTH = 0.08


class Trainer:
    """Trains a learner on batches and leaves last.pt and best.pt in the run folder.

    Processes that share the members go through all steps of all members, and do those of their
    own; numbers do not depend on how many there are.

    Args:
        learner: What is trained.
        batches: The training data, on the device of the model, and who shares them.
        step: Does one optimizer step.
        fit_and_validate: Scores the validation split, to which it first fits the weights of the
            model's mixture, if they are fitted; nothing else changes. Called where members are
            shared in every process, with their shares, and otherwise in the main one.
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
        fit_and_validate: Callable[[Shares], Evaluation | None],
        settings: Settings,
        keeper: CheckpointKeeper,
        num_scored: int = 0,
    ) -> None:
        self.learner, self.batches, self.step = learner, batches, step
        self.fit_and_validate = fit_and_validate
        self.settings, self.lr, self.keeper = settings.trainer, settings.optimizer.lr, keeper
        self.observer, self.world, self.state = Observer(), batches.world, learner.state
        self.agreement = Agreement(self.world, drifts=False)
        self._epochs = self.settings.total_epochs(len(batches))
        adapts = isinstance(settings.scheduler, AnnealSettings)
        self._eval_every = self.settings.epochs_between(len(batches), adapts=adapts)
        self._first_evaluation = first_evaluation(num_scored, batches.batch_size)
        self._is_consistent = True
        self.clock = Clock(self.state, self.settings.max_minutes)

    def share(self, world: World) -> None:
        """Train from here on together with other processes, each its own members."""
        self.learner.share(world)
        self.world, self.keeper.writes = world, world.is_main
        self.agreement = Agreement(world, drifts=True)

    def train(self) -> TrainState:
        """Train to the end, from the start or from what the keeper restored.

        Raises:
            DivergedError: If a loss is not finite.
            SystemExit: If a signal asked to stop; everything is saved.
        """
        self.clock.start()
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
                self.step.join()
                alone = not self.learner.shares.is_shared
                if alone and self._is_consistent and not self.learner.first_bad_loss(0):
                    self._save()
                raise
        return self.state

    def _loop(self, signals: StopSignals) -> None:
        if self.state.evaluated_step < 0:
            self._evaluate()
        # First what a run resumes with: its last.pt may be from just before an evaluation.
        while not self._evaluate_where_due(signals):
            self._train_epoch(signals)
            if self.state.position == len(self.batches):
                self.state.epoch, self.state.position = self.state.epoch + 1, 0
        if self.world.any(signals.received is not None):
            self._stop(signals)

    def _evaluate_where_due(self, signals: StopSignals) -> bool:
        """Evaluate if it is time, unless it was done at this step; whether training is over."""
        step = self.state.step
        if self.state.evaluated_step < step and (self._is_due() or self._is_over()):
            self._obey(self.agreement.before_evaluation(step, self._wishes(signals)), signals)
            self._evaluate()
        return self._is_over()

    def _is_due(self) -> bool:
        """Whether training stands where valid is to be scored: at the end of some epochs."""
        if self.state.position:
            return False
        if self._eval_every is not None:
            return self.state.epoch % self._eval_every == 0
        last, affordable = self.state.evaluated_step, self.clock.affordable_steps
        return self.state.step - last >= max(self._first_evaluation, _GROWTH * last, affordable)

    def _train_epoch(self, signals: StopSignals) -> None:
        """Steps until the epoch ends or training ends."""
        state, started, first = self.state, time.monotonic(), self.state.position
        order = self.batches.order(state.epoch)
        self.learner.model.train()
        self.step.part()
        while state.position < len(self.batches) and not self._limit_reached():
            self._one_step(order[state.position])
            progress = state.epoch + state.position / len(order)
            self.observer.stepped(state, progress, self._recent_nll)
            agreed = self.agreement.after(state.step, self._wishes(signals))
            if agreed.any:
                self._check_losses(first)
                state.step_seconds += time.monotonic() - started
                self._obey(agreed, signals)
                self.step.part()
                started = time.monotonic()
        self._check_losses(first)  # also waits for the device, which makes the time true
        state.step_seconds += time.monotonic() - started

    def _wishes(self, signals: StopSignals) -> Wishes:
        age = time.monotonic() - self.keeper.saved_at
        return Wishes(
            stop=signals.received is not None,
            save=self.world.is_main and age > self.settings.checkpoint_every_seconds,
            is_over=self.clock.seems_up,
        )

    def _obey(self, agreed: Wishes, signals: StopSignals) -> None:
        self.clock.is_up |= agreed.is_over
        if agreed.stop:
            self._stop(signals)
        if agreed.save:
            self._save()

    def train_member(self, index: Tensor, step: int) -> Tensor:
        """Do step `step` (0, 1, ...) on the examples at `index` (B,); returns their mean NLL ()."""
        return self.step(index, step, self._learning_rate(step))

    def _one_step(self, index: Tensor) -> None:
        state, losses = self.state, self.learner.losses
        self._is_consistent = False
        number = self.learner.number_at(state.step)
        if self.learner.shares.owns(number):
            with self.step.beside(number):
                losses[state.position] = self.train_member(index, state.step)
        else:  # for the display
            losses[state.position] = losses[state.position - 1]
        state.position, state.step = state.position + 1, state.step + 1
        self._is_consistent = True

    def _evaluate(self) -> None:
        """Score the validation split; note the best; tell, draw and save."""
        self._is_consistent, started = False, time.monotonic()
        state, learner, train_nll = self.state, self.learner, self._train_nll()
        with learner.evaluated_weights():
            bad = learner.shares.is_shared and learner.first_bad_parameter()
            if bad:
                raise self._diverged(f"{bad} is not finite", state.step)
            validates = self.world.is_main or learner.shares.is_shared
            valid = self.fit_and_validate(learner.shares) if validates else None
            nll, stderr = self._agree_on(valid, started)
            if not math.isfinite(nll):
                raise self._diverged(f"the validation NLL is {nll}", state.step)
            goes_back = learner.scheduler.observe(nll, state.step, state.elapsed, stderr)
            is_best = state.note_evaluation(nll)
            is_seen = self.observer.looks_at_model(state)
            is_due, is_seen = self.world.from_main((self.keeper.is_due, is_seen))
            if is_seen:
                learner.gather_weights()
            record: Record = {}
            if valid is not None:
                lr = self._learning_rate(state.step)
                record = self.observer.evaluated(state, train_nll, valid, lr, is_best)
            self.keeper.note_evaluation(record, is_best=is_best)
        if goes_back:
            self.keeper.go_back(self.world)
        self._is_consistent = True
        if is_due:
            self._save()

    def _agree_on(self, valid: Evaluation | None, started: float) -> tuple[float, float]:
        """NLL and its error in the main process, whose times all take up."""
        self.clock.tick()
        score = (math.nan, math.nan) if valid is None else (valid.nll, valid.nll_stderr)
        score, times = self.world.from_main((score, self.clock.tell_evaluation(started)))
        self.clock.hear_evaluation(times)
        return score

    def _is_over(self) -> bool:
        patience, state = self.settings.patience, self.state
        has_lost_patience = patience is not None and state.since_best >= patience
        return state.epoch >= self._epochs or has_lost_patience or self._limit_reached()

    def _limit_reached(self) -> bool:
        self.clock.look(self.agreement)
        step, elapsed = self.state.step, self.state.elapsed
        is_over = elapsed >= 1 or step >= (self.settings.max_steps or math.inf)
        return is_over or self.learner.scheduler.is_over(step, elapsed)

    def _stop(self, signals: StopSignals) -> None:
        self._save()
        state, run = self.state, self.keeper.run
        text = "stopped at step %d (epoch %d), saved in %s; made-train %s goes on from there"
        again = shlex.quote(f"resume={run.path}")
        _log.warning(text, state.step, state.epochs_begun, run.last, again)
        self.world.wait()
        signals.finish()
        raise SystemExit(1)  # another process was asked to stop

    def _save(self) -> None:
        self.clock.tick()
        self.keeper.save(self.observer)

    def _learning_rate(self, step: int) -> float:
        return self.lr * self.learner.scheduler.factor(step, self.state.elapsed)

    def _train_nll(self) -> float:
        """Mean loss (nats) of the epoch just trained; before the first, of its first batch."""
        if self.state.step:
            loss = self.learner.mean_loss()
        else:
            x, context = self.batches.gather(self.batches.order(0)[0], self.batches.thresholds(0))
            self.learner.model.eval()
            with torch.no_grad():
                loss = self.step.loss_of(x, self.learner.model.at_step(0), context)
        return float(self.batches.world.mean(loss)) - self.batches.log_slope

    def _recent_nll(self) -> float:
        self.step.join()
        return self.learner.recent_loss() - self.batches.log_slope

    def _check_losses(self, first: int) -> None:
        self.step.join()
        bad = self.learner.first_bad_loss(first)
        if self.settings.check_numbers and self.batches.world.any(bad is not None):
            position, loss = bad or (first, math.nan)
            step = self.state.step - self.state.position + position
            raise self._diverged(f"the loss is {loss}", step, position)

    def _diverged(self, what: str, step: int, position: int | None = None) -> DivergedError:
        epoch = self.state.epoch + (position is not None)
        batch = "" if position is None else f", batch {position} of {len(self.batches)}"
        members = len(self.learner.members)
        if position is not None and members > 1:
            what += f" of member {self.learner.number_at(step)} of {members}"
        return DivergedError(
            f"training diverged: {what} at step {step} (epoch {epoch}{batch}, seed "
            f"{self.batches.seed}). Last finite checkpoint: {self.keeper.run.last}. {REMEDY}"
        )
