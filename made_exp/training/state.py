"""How far a training has come, and whom the loop tells of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from made_exp.model.evaluation import Evaluation

Record = dict[str, float]
"""What is recorded of an evaluation, by name."""


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
        elapsed: Share of the budget of time that is gone, in 0..1; 0 without one.
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
    elapsed: float = 0.0

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


class Observer:
    """Hears of every step and evaluation; this one keeps it to itself."""

    def stepped(self, state: TrainState, epoch: float, recent_nll: Callable[[], float]) -> None:
        """Optimizer step `state.step` is done, `epoch` passes over the data so far.

        It is called after each step, so it must be quick; `recent_nll` waits for the device.
        """

    def evaluated(
        self, state: TrainState, train_nll: float, valid: Evaluation, lr: float, is_best: bool
    ) -> Record:
        """The model was evaluated; `train_nll` is the mean loss (nats) of the last epoch.

        Returns what `saved` is to be given when a checkpoint holds this evaluation.
        """
        return {}

    def looks_at_model(self, state: TrainState) -> bool:
        """Whether `evaluated` will use the weights of the model, of all its members."""
        return False

    def flush(self) -> None:
        """Bring to disk what was told so far; a checkpoint follows."""

    def saved(self, record: Record) -> None:
        """A checkpoint is in place that knows the evaluation of `record`; may come repeatedly."""
