"""Everything that training changes, and how far it has come."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch.optim import Optimizer

from made_exp.model.made import MADE
from made_exp.training.averaging import WeightAverage
from made_exp.training.losses import EpochLosses
from made_exp.training.schedulers import Scheduler
from made_exp.training.sparsity import Sparsity


@dataclass
class TrainState:
    """Progress of a training, as plain numbers.

    Attributes:
        epoch: Completed epochs.
        position: Batches done of the epoch after them.
        step: Optimizer steps done.
        evaluations: Evaluations done; the first comes before any step.
        evaluated_step: Step of the last evaluation; -1 before the first.
        best_nll: Lowest validation NLL so far, in nats.
        best_epoch: Epoch it was reached at.
        since_best: Evaluations since then.
        seconds: Time spent in training, evaluations included, interruptions not.
        step_seconds: Time spent in optimizer steps alone.
        checkpoint_seconds: Time that checkpoints took of it.
    """

    epoch: int = 0
    position: int = 0
    step: int = 0
    evaluations: int = 0
    evaluated_step: int = -1
    best_nll: float = math.inf
    best_epoch: int = 0
    since_best: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    checkpoint_seconds: float = 0.0

    @property
    def epochs_begun(self) -> int:
        """Completed epochs, and one more if training stands inside one."""
        return self.epoch + (self.position > 0)

    def note_evaluation(self, nll: float) -> bool:
        """Take in a validation NLL (nats); whether it is the best so far."""
        is_best = nll < self.best_nll
        self.since_best = 0 if is_best else self.since_best + 1
        if is_best:
            self.best_nll, self.best_epoch = nll, self.epochs_begun
        self.evaluated_step = self.step
        self.evaluations += 1
        return is_best


@dataclass
class Learner:
    """What training changes and a checkpoint holds.

    Attributes:
        model: The model, on its device.
        optimizer: Of the model's parameters.
        scheduler: Factor of the learning rate at each step.
        losses: Losses of the present epoch.
        average: Moving average of the weights, or None.
        sparsity: Pull of the weights towards zero, or None.
        state: Progress.
    """

    model: MADE
    optimizer: Optimizer
    scheduler: Scheduler
    losses: EpochLosses
    average: WeightAverage | None = None
    sparsity: Sparsity | None = None
    state: TrainState = field(default_factory=TrainState)

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """While entered, the model has the weights that are evaluated: averaged, if at all."""
        return nullcontext() if self.average is None else self.average.applied()

    def first_bad_parameter(self) -> str | None:
        """Name of a parameter that is not finite, or None."""
        # Their sum is not finite if one of them is not; it may overflow, so it is not enough.
        sums = [parameter.detach().sum() for parameter in self.model.parameters()]
        if not sums or bool(torch.isfinite(torch.stack(sums)).all()):
            return None
        for name, parameter in self.model.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                return name
        return None
