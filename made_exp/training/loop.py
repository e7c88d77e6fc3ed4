"""The training loop: steps, evaluations, early stopping and checkpoints that resume exactly.

What a step draws is a function of (seed, step), masks included, so that weights, optimizer,
scheduler and a few counters are the whole state. Interrupted anywhere and resumed, a training on
a CPU gives the same weights and numbers, bit for bit, as one that was never interrupted.
"""

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from made_exp.evaluation import Evaluation
from made_exp.made import MADE
from made_exp.runs import RunDirectory
from made_exp.runtime import matmul_precision, untouched_generators
from made_exp.training.averaging import WeightAverage
from made_exp.training.batches import Batches
from made_exp.training.checkpoints import SavingBudget, load_checkpoint, save_checkpoint
from made_exp.training.distributed import World
from made_exp.training.losses import DivergedError, EpochLosses
from made_exp.training.observer import Observer, SilentObserver
from made_exp.training.optimizer_state import load_optimizer_state, optimizer_state
from made_exp.training.optimizers import set_learning_rate
from made_exp.training.schedulers import Scheduler
from made_exp.training.settings import TrainingSettings
from made_exp.training.signals import StopSignals
from made_exp.training.state import TrainState
from made_exp.training.step import TrainStep

_log = logging.getLogger(__name__)
_STEPS_BETWEEN_AGREEMENTS = 20


class Trainer:
    """Trains a model on batches and leaves last.pt and best.pt in the run folder.

    Args:
        model: On the device of the batches.
        batches: The training data.
        validate: Evaluates the model on the validation split, without side effects.
        settings: How long and in what steps.
        step: What does one optimizer step.
        optimizer: Of the model's parameters.
        scheduler: Factor of `lr` at each step.
        lr: Base learning rate.
        run: Where checkpoints go.
        description: Plain values that every checkpoint carries, such as the config.
        observer: Hears of steps and evaluations.
        world: The processes that share this training.
    """

    def __init__(
        self,
        model: MADE,
        batches: Batches,
        validate: Callable[[], Evaluation],
        settings: TrainingSettings,
        *,
        step: TrainStep,
        optimizer: Optimizer,
        scheduler: Scheduler,
        lr: float,
        run: RunDirectory,
        description: dict[str, Any] | None = None,
        observer: Observer | None = None,
        world: World | None = None,
    ) -> None:
        self.model, self.batches, self.validate = model, batches, validate
        self.settings, self.step, self.optimizer = settings, step, optimizer
        self.scheduler, self.lr, self.run_directory = scheduler, lr, run
        self.description = description or {}
        self.observer, self.world = observer or SilentObserver(), world or World()
        self.state = TrainState()
        self.losses = EpochLosses(len(batches), batches.device)
        decay = settings.weight_averaging
        self.average = WeightAverage(model, decay) if decay else None
        self._new_best: dict[str, Any] | None = None
        self._budget = SavingBudget()
        self._consistent = True
        self._clock = time.monotonic()

    def train(self) -> TrainState:
        """Train to the end, from the start or from what `resume` took up.

        Raises:
            DivergedError: If a loss is not finite.
            Interrupted: If a signal asked to stop; everything is saved.
        """
        self._clock = time.monotonic()
        device, precision = self.batches.device, self.settings.precision
        with untouched_generators(device), matmul_precision(precision), StopSignals() as signals:
            try:
                self._loop(signals)
            except (SystemExit, KeyboardInterrupt):
                if self._consistent and self.losses.first_bad(0, self.state.position) is None:
                    self.save()
                raise
        self.save()
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
            is_due = self.state.position == 0 and self.state.epoch % self.settings.eval_every == 0
            if is_due or self._is_over():
                self._evaluate()
        if self.world.any(signals.received is not None):
            self._stop(signals)

    def _train_epoch(self, signals: StopSignals) -> None:
        """Steps until the epoch, the training or the patience of a signal ends."""
        state, started, first = self.state, time.monotonic(), self.state.position
        order = self.batches.order(state.epoch)
        self.model.train()
        while state.position < len(self.batches) and not self._limit_reached():
            self._one_step(order[state.position])
            self.observer.stepped(state, len(self.batches))
            if self._should_pause(signals):
                break
            if time.monotonic() - self._budget.saved_at > self.settings.checkpoint_every_seconds:
                self._check_losses(first)
                self.save()
        self._check_losses(first)  # also waits for the device, which makes the time true
        state.step_seconds += time.monotonic() - started

    def _one_step(self, index: Tensor) -> None:
        state = self.state
        self._consistent = False
        set_learning_rate(self.optimizer, self.lr * self.scheduler.factor(state.step))
        self.losses.put(state.position, self.step(index, state.step))
        if self.average is not None:
            self.average.update(state.step)
        state.position += 1
        state.step += 1
        self._consistent = True

    def _evaluate(self) -> None:
        """Score the validation split; note the best; tell, save and draw what is due."""
        self._consistent = False
        state = self.state
        train_nll = self._train_nll()
        with self._evaluated_weights():
            valid = self.validate() if self.world.is_main else None
            nll = self.world.from_main(valid and valid.nll)
            if not math.isfinite(nll):
                raise DivergedError(self._divergence(f"the validation NLL is {nll}", state.step))
            self.scheduler.observe(nll)
            is_best = nll < state.best_nll
            state.since_best = 0 if is_best else state.since_best + 1
            if is_best:
                state.best_nll, state.best_epoch = nll, self.epochs_begun
            state.last_nll, state.evaluated_step = nll, state.step
            state.evaluations += 1
            self._tick()
            if valid is not None:
                self._new_best = self._best_content() if is_best else self._new_best
                lr = self.lr * self.scheduler.factor(state.step)
                self.observer.evaluated(state, train_nll, valid, lr)
                every = self.settings.samples_every
                if every and (state.evaluations - 1) % every == 0:
                    self.observer.draw_samples(self.epochs_begun)
        self._consistent = True
        if self._budget.allows():
            self.save()

    @property
    def epochs_begun(self) -> int:
        """Completed epochs, and one more if training stands inside one."""
        return self.state.epoch + (self.state.position > 0)

    def _is_over(self) -> bool:
        patience = self.settings.patience
        has_lost_patience = patience is not None and self.state.since_best >= patience
        is_complete = self.state.epoch >= self.settings.epochs
        return is_complete or has_lost_patience or self._limit_reached()

    def _limit_reached(self) -> bool:
        max_steps, max_minutes = self.settings.max_steps, self.settings.max_minutes
        if max_steps is not None and self.state.step >= max_steps:
            return True
        if max_minutes is None:
            return False
        self._tick()
        return self._agree(self.state.seconds >= 60 * max_minutes)

    def _should_pause(self, signals: StopSignals) -> bool:
        return self._agree(signals.received is not None)

    def _agree(self, flag: bool) -> bool:
        """`flag` of any process; processes ask each other only now and then."""
        if self.world.size == 1:
            return flag
        return self.state.step % _STEPS_BETWEEN_AGREEMENTS == 0 and self.world.any(flag)

    def _stop(self, signals: StopSignals) -> None:
        self.save()
        _log.warning(
            "stopped at step %d (epoch %d); %s is saved: continue with resume=true",
            self.state.step,
            self.epochs_begun,
            self.run_directory.last,
        )
        self.world.wait()
        signals.finish()
        raise SystemExit(1)  # another process was asked

    def _train_nll(self) -> float:
        """Mean loss of the epoch just trained; before the first, of its first batch."""
        if self.state.step == 0:
            x, context = self.batches.gather(
                self.batches.order(0)[0], self.batches.thresholds(self.state.step)
            )
            self.model.eval()
            with torch.no_grad():
                loss = -self.model.joint_log_prob(x, self.step.masks(0), context).mean()
        else:
            loss = self.losses.mean(self.state.position or len(self.batches))
        return float(self.world.mean(loss))

    def _check_losses(self, first: int) -> None:
        bad = self.losses.first_bad(first, self.state.position)
        if self.settings.check_numbers and self.world.any(bad is not None):
            position, loss = bad or (first, math.nan)
            step = self.state.step - self.state.position + position
            raise DivergedError(self._divergence(f"the loss is {loss}", step, position))

    def _divergence(self, what: str, step: int, position: int | None = None) -> str:
        where = f"step {step} (epoch {self.epochs_begun}"
        if position is not None:
            where += f", batch {position} of {len(self.batches)}"
        return (
            f"training diverged: {what} at {where}, seed {self.settings.seed}). Last finite "
            f"checkpoint: {self.run_directory.last}. Try a lower optimizer.lr, trainer.grad_clip=1 "
            "or scheduler.warmup_steps=1000"
        )

    def _evaluated_weights(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.applied()

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now

    # ---------------------------------------------------------------- checkpoints

    def save(self) -> None:
        """Write last.pt, and best.pt before it if there is a new best."""
        if not self.world.is_main:
            return
        started = time.monotonic()
        self.observer.flush()
        if self._new_best is not None:
            save_checkpoint(self.run_directory.best, self._new_best)
            self._new_best = None
        self._tick()
        save_checkpoint(self.run_directory.last, self._content())
        self._budget.spent(time.monotonic() - started)

    def resume(self) -> None:
        """Take up the state in last.pt."""
        content = load_checkpoint(self.run_directory.last)
        if self.average is not None:
            self.model.load_state_dict(content["average"])
            with torch.no_grad():
                for average, parameter in zip(
                    self.average.average, self.model.parameters(), strict=True
                ):
                    average.copy_(parameter)
        self.model.load_state_dict(content["model"])
        load_optimizer_state(self.model, self.optimizer, content["optimizer"])
        self.scheduler.load_state_dict(content["scheduler"])
        self.state = TrainState(**content["state"])
        self.losses.values.copy_(content["losses"])

    def load_best(self) -> None:
        """Give the model the weights of the best evaluation."""
        self.model.load_state_dict(load_checkpoint(self.run_directory.best)["model"])

    def _content(self) -> dict[str, Any]:
        average = None
        if self.average is not None:
            with self.average.applied():
                average = _on_cpu(self.model.state_dict())
        return {
            "model": _on_cpu(self.model.state_dict()),
            "average": average,
            "optimizer": optimizer_state(self.model, self.optimizer),
            "scheduler": self.scheduler.state_dict(),
            "state": self.state.as_dict(),
            "losses": self.losses.values.cpu(),
            "mask_index": self.model.schedule.index_at(self.state.step),
            **self.description,
        }

    def _best_content(self) -> dict[str, Any]:
        """The weights as they were just evaluated, averaged or not."""
        return {
            "model": _on_cpu(self.model.state_dict()),
            "state": self.state.as_dict(),
            **self.description,
        }


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
