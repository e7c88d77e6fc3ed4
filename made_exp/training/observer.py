"""Whom the training loop tells what it does."""

from abc import ABC, abstractmethod

from made_exp.evaluation import Evaluation
from made_exp.training.state import TrainState


class Observer(ABC):
    """Hears of every step and evaluation."""

    @abstractmethod
    def stepped(self, state: TrainState, num_batches: int) -> None:
        """An optimizer step is done; called after each, so it must be quick."""

    @abstractmethod
    def evaluated(self, state: TrainState, train_nll: float, valid: Evaluation, lr: float) -> None:
        """The model was evaluated; `train_nll` is the mean loss (nats) of the last epoch."""

    @abstractmethod
    def draw_samples(self, epoch: int) -> None:
        """Time for a picture of the model as it was just evaluated."""

    @abstractmethod
    def flush(self) -> None:
        """Bring to disk what was told so far; a checkpoint follows."""


class SilentObserver(Observer):
    """Does nothing with what it hears."""

    def stepped(self, state: TrainState, num_batches: int) -> None:
        """See `Observer.stepped`."""

    def evaluated(self, state: TrainState, train_nll: float, valid: Evaluation, lr: float) -> None:
        """See `Observer.evaluated`."""

    def draw_samples(self, epoch: int) -> None:
        """See `Observer.draw_samples`."""

    def flush(self) -> None:
        """See `Observer.flush`."""
