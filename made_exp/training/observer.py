"""Whom the training loop tells what it does."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from made_exp.model.evaluation import Evaluation
from made_exp.training.state import TrainState


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
    ) -> dict[str, Any]:
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
    def saved(self, record: dict[str, Any]) -> None:
        """A checkpoint is in place that knows the evaluation of `record`; may come repeatedly."""


class SilentObserver(Observer):
    """Does nothing with what it hears."""

    @override
    def stepped(self, step: int, epoch: float, recent_nll: Callable[[], float]) -> None:
        pass

    @override
    def evaluated(
        self, state: TrainState, train_nll: float, valid: Evaluation, lr: float, is_best: bool
    ) -> dict[str, Any]:
        return {}

    @override
    def draw_samples(self, epoch: int) -> None:
        pass

    @override
    def flush(self) -> None:
        pass

    @override
    def saved(self, record: dict[str, Any]) -> None:
        pass
