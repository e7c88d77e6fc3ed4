"""The outward face of a training: metrics, TensorBoard, progress display and pictures."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from made_exp.errors import TrainingError
from made_exp.model.evaluation import Evaluation
from made_exp.reporting.progress import Progress
from made_exp.reporting.tracking import Tracker
from made_exp.runs.folder import RunDirectory
from made_exp.training.observer import Observer
from made_exp.training.state import TrainState

_log = logging.getLogger(__name__)
LOG2 = float(np.log(2))


class RunObserver(Observer):
    """Writes what the loop tells into the run folder, and shows it.

    Args:
        run: The run's folder.
        tracker: Writes metrics.jsonl and TensorBoard events.
        progress: Shows that the run goes on.
        draw: Draws the model's picture into a file, with a title, and returns it.
        num_dims: Number of variables D, for bits per dimension.
        watched: Whether pictures are drawn during training too.
    """

    def __init__(
        self,
        run: RunDirectory,
        tracker: Tracker,
        progress: Progress,
        draw: Callable[[Path, str], np.ndarray],
        num_dims: int,
        *,
        watched: bool = True,
    ) -> None:
        self.run, self.tracker, self.progress = run, tracker, progress
        self.draw, self.num_dims, self.watched = draw, num_dims, watched
        self._state = TrainState()

    @override
    def stepped(self, step: int, epoch: float, recent_nll: Callable[[], float]) -> None:
        self.progress.update(step, epoch, recent_nll)

    @override
    def evaluated(
        self, state: TrainState, train_nll: float, valid: Evaluation, lr: float, is_best: bool
    ) -> dict[str, Any]:
        self._state = state
        self.progress.evaluated(state.step, state.epochs_begun, train_nll, valid.nll, is_best)
        train_bits = train_nll / (self.num_dims * LOG2)
        self.tracker.scalars(
            state.step,
            {
                "train/nll": train_nll,
                "valid/nll": valid.nll,
                "train/bits_per_dim": train_bits,
                "valid/bits_per_dim": valid.bits_per_dim,
                "optimizer/lr": lr,
            },
        )
        return {
            "epoch": state.epochs_begun,
            "step": state.step,
            "train_nll": train_nll,
            "valid_nll": valid.nll,
            "valid_nll_stderr": valid.nll_stderr,
            "train_bits_per_dim": train_bits,
            "valid_bits_per_dim": valid.bits_per_dim,
            "lr": lr,
            "seconds": round(state.seconds, 3),
        }

    @override
    def draw_samples(self, epoch: int) -> None:
        if self.watched:
            self.picture(self.run.epoch_samples(epoch), f"epoch {epoch}", self._state.step)

    def picture(self, path: Path, title: str, step: int) -> None:
        """Draw the model into `path` and TensorBoard; a picture that fails ends no training."""
        try:
            image = self.draw(path, title)
        except Exception as error:  # matplotlib, Pillow, disk
            _log.warning("no picture %s: %s: %s", path, type(error).__name__, error)
            return
        self.tracker.image("samples", image, step)

    def tested(self, test: Evaluation, step: int) -> None:
        """The best model was scored on test, once, after `step` steps."""
        self.tracker.scalars(step, {"test/nll": test.nll, "test/bits_per_dim": test.bits_per_dim})
        self.tracker.flush()

    @override
    def flush(self) -> None:
        self.tracker.flush()

    @override
    def saved(self, record: dict[str, Any]) -> None:
        try:
            if record:
                self.tracker.metrics(record)
        except OSError as error:
            raise TrainingError(f"cannot write {self.run.metrics}: {error}") from error
