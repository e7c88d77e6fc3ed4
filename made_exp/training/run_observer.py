"""The outward face of a training: metrics, TensorBoard, progress display and pictures."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from made_exp.evaluation import Evaluation
from made_exp.reporting.tracking import Tracker
from made_exp.runs import RunDirectory, RunError
from made_exp.training.observer import Observer
from made_exp.training.state import TrainState

_log = logging.getLogger(__name__)
LOG2 = float(np.log(2))


class RunObserver(Observer):
    """Writes what the loop tells into the run folder, and shows it.

    Args:
        run: The run's folder.
        tracker: Writes metrics.jsonl and TensorBoard events.
        draw: Draws the model's picture into a file, with a title, and returns it.
        num_dims: Number of variables D, for bits per dimension.
    """

    def __init__(
        self,
        run: RunDirectory,
        tracker: Tracker,
        draw: Callable[[Path, str], np.ndarray],
        num_dims: int,
    ) -> None:
        self.run, self.tracker, self.draw, self.num_dims = run, tracker, draw, num_dims
        self._state = TrainState()

    def stepped(self, state: TrainState, num_batches: int) -> None:
        """See `Observer.stepped`."""

    def evaluated(self, state: TrainState, train_nll: float, valid: Evaluation, lr: float) -> None:
        """See `Observer.evaluated`."""
        self._state = state
        epoch = state.epoch + (state.position > 0)
        train_bits = train_nll / (self.num_dims * LOG2)
        line = {
            "epoch": epoch,
            "step": state.step,
            "train_nll": train_nll,
            "valid_nll": valid.nll,
            "valid_nll_stderr": valid.nll_stderr,
            "train_bits_per_dim": train_bits,
            "valid_bits_per_dim": valid.bits_per_dim,
            "lr": lr,
            "seconds": round(state.seconds, 3),
        }
        try:
            self.tracker.metrics(line)
        except OSError as error:
            raise RunError(f"cannot write {self.run.metrics}: {error}") from error
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

    def draw_samples(self, epoch: int) -> None:
        """See `Observer.draw_samples`."""
        self.picture(self.run.epoch_samples(epoch), f"epoch {epoch}", self._state.step)

    def picture(self, path: Path, title: str, step: int) -> None:
        """Draw the model into `path` and TensorBoard; a picture that fails ends no training."""
        try:
            image = self.draw(path, title)
        except Exception as error:  # matplotlib, Pillow, disk
            _log.warning("no picture %s: %s: %s", path, type(error).__name__, error)
            return
        self.tracker.image("samples", image, step)

    def flush(self) -> None:
        """See `Observer.flush`."""
        self.tracker.flush()
