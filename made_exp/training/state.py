"""How far a training has come, and the losses on the way."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


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


class EpochLosses:
    """The loss of every batch of the present epoch, read without waiting for the device.

    Args:
        num_batches: Batches an epoch.
        device: Where the losses are computed.
    """

    def __init__(self, num_batches: int, device: torch.device) -> None:
        self.values = torch.zeros(num_batches, dtype=torch.float64, device=device)

    def put(self, position: int, loss: Tensor) -> None:
        """Note the loss () of the batch at `position`."""
        self.values[position] = loss

    def mean(self, start: int, stop: int) -> Tensor:
        """Mean () of the losses at start..stop-1, in nats."""
        return self.values[start:stop].mean()

    def first_bad(self, start: int, stop: int) -> tuple[int, float] | None:
        """Position and value of the first loss in start..stop-1 that is not finite."""
        values = self.values[start:stop].cpu()
        bad = torch.nonzero(~torch.isfinite(values)).flatten()
        return (start + int(bad[0]), float(values[bad[0]])) if len(bad) else None
