"""Whom the training loop tells what it does."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from typing_extensions import override

from made_exp.model.evaluation import Evaluation
from made_exp.training.state import TrainState

Record = dict[str, float]
"""What is recorded of an evaluation, by name."""


class Observer(ABC):
    """Hears of every step and evaluation."""

    @abstractmethod
    def stepped(self, step: int, epoch: float, recent_nll: Callable[[], float]) -> None:
        """Optimizer step `step` is done, `epoch` passes over the data so far.

        It is called after each step, so it must be quick; `recent_nll` waits for the device.
        """

    @abstractmethod
    def evaluated(
        self, state: TrainState, train_nll: float, valid: Evaluation, lr: float, is_best: bool
    ) -> Record:
        """The model was evaluated; `train_nll` is the mean loss (nats) of the last epoch.

        Returns what `saved` is to be given when a checkpoint holds this evaluation.
        """

    @abstractmethod
    def draw_samples(self, epoch: int) -> None:
        """Time for a picture of the model as it was just evaluated."""

    @abstractmethod
    def flush(self) -> None:
        """Bring to disk what was told so far; a checkpoint follows."""

    @abstractmethod
    def saved(self, record: Record) -> None:
        """A checkpoint is in place that knows the evaluation of `record`; may come repeatedly."""


class SilentObserver(Observer):
    """Does nothing with what it hears."""

    @override
    def stepped(self, step: int, epoch: float, recent_nll: Callable[[], float]) -> None:
        pass

    @override
    def evaluated(
        self, state: TrainState, train_nll: float, valid: Evaluation, lr: float, is_best: bool
    ) -> Record:
        return {}

    @override
    def draw_samples(self, epoch: int) -> None:
        pass

    @override
    def flush(self) -> None:
        pass

    @override
    def saved(self, record: Record) -> None:
        pass
