"""The outward face of a training: metrics, TensorBoard, progress display and pictures."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from typing_extensions import override

from made_exp.datasets.base import Dataset
from made_exp.errors import TrainingError
from made_exp.experiments.by_column import ColumnScores
from made_exp.experiments.evaluation_plots import plots_of, some_of
from made_exp.experiments.pictures import draw_samples, is_worth_watching, pictures_of
from made_exp.experiments.table_rows import compare_rows, is_table
from made_exp.model.evaluation import Evaluation
from made_exp.model.made import MADE
from made_exp.reporting.comparison import Comparison
from made_exp.reporting.figures import animation, save_png
from made_exp.reporting.progress import Progress
from made_exp.reporting.tracking import Tracker
from made_exp.runs.folder import RunDirectory
from made_exp.runtime import derive_seed
from made_exp.settings.experiment import Settings
from made_exp.settings.fingerprint import flatten
from made_exp.training.state import Observer, Record, TrainState

_log = logging.getLogger(__name__)
LOG2 = math.log(2)
_SAMPLE_STREAM = 5
_MIN_ROWS, _MAX_ROWS, _MAX_CELLS = 100, 1000, 50_000  # that are looked at for plots


class RunObserver(Observer):
    """Writes what the loop tells into the run folder, and shows it."""

    def __init__(
        self,
        run: RunDirectory,
        tracker: Tracker,
        progress: Progress,
        model: MADE,
        dataset: Dataset,
        settings: Settings,
    ) -> None:
        self.run, self.tracker, self.progress = run, tracker, progress
        self.model, self.dataset, self.settings = model, dataset, settings

    def begins(self, overrides: Sequence[str]) -> None:
        """Describe a run that starts: its settings, and what was typed."""
        config = asdict(self.settings)
        self.tracker.text("config", json.dumps(config, indent=2))
        self.tracker.text("command", " ".join(["made-train", *overrides]))
        self.tracker.hparams(flatten(config))

    @override
    def stepped(self, state: TrainState, epoch: float, recent_nll: Callable[[], float]) -> None:
        self.progress.update(state.step, epoch, recent_nll, state.elapsed)

    @override
    def evaluated(
        self, state: TrainState, train_nll: float, valid: Evaluation, lr: float, is_best: bool
    ) -> Record:
        self.progress.evaluated(state.step, state.epochs_begun, train_nll, valid.nll, is_best)
        train_bits = train_nll / (self.dataset.num_modelled * LOG2)
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
        epoch = state.epochs_begun
        if self.looks_at_model(state):
            self.picture(self.run.epoch_samples(epoch), f"epoch {epoch}", state.step)
        return {
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

    @override
    def looks_at_model(self, state: TrainState) -> bool:
        every = self.settings.trainer.samples_every
        is_due = every and (state.evaluations - 1) % every == 0
        return bool(is_due) and is_worth_watching(self.dataset)

    def picture(self, path: Path, title: str, step: int) -> Comparison | None:
        """Draw samples of the model into `path` and TensorBoard.

        Returns:
            How far the samples are from the rows of a table; None of other data, or where
            sampling fails: no picture ends a training.
        """
        if self.dataset.num_dims == 2:
            title += f", ordering: {self.settings.ordering.name}"
        comparison = None
        try:
            samples, context = draw_samples(
                self.model,
                self.dataset,
                num_samples=self.settings.trainer.num_samples,
                seed=derive_seed(self.settings.seed, _SAMPLE_STREAM),
            )
            if is_table(self.dataset):
                comparison = compare_rows(self.dataset, samples)
            pictures = pictures_of(
                self.model,
                self.dataset,
                samples,
                context=context,
                comparison=comparison,
                title=f"{self.dataset.name}, {title}",
            )
            save_png(path, pictures.whole)
            if self.settings.trainer.tensorboard:
                self.tracker.image("samples", pictures.card(), step)
        except Exception as error:  # matplotlib, Pillow, disk
            _log.warning("no picture %s: %s: %s", path, type(error).__name__, error)
        return comparison

    def explain(self, columns: ColumnScores | None, step: int) -> None:
        """Show in TensorBoard how well a table was learned, where that is a matter of seconds."""
        dataset = self.dataset
        count = min(_MAX_ROWS, _MAX_CELLS // dataset.num_dims)
        if not (self.settings.trainer.tensorboard and is_table(dataset)) or count < _MIN_ROWS:
            return
        try:
            split = dataset.scored
            rows = some_of(dataset.split(split), dataset.context(split), count)
            for name, picture in plots_of(self.model, dataset, rows, columns).items():
                # Never the tag of a scalar: TensorBoard knows each tag as one kind alone.
                self.tracker.image(f"plots/{split}_{name}", picture, step)
        except Exception as error:  # matplotlib, a conditional that cannot be drawn
            _log.warning("no plots of %s: %s: %s", dataset.name, type(error).__name__, error)

    def tested(self, test: Evaluation | None, valid: Evaluation, step: int) -> None:
        """The best model was scored, on test once if there is one, after `step` steps."""
        if self.settings.trainer.animation:
            self._animate()
        scalars = {"objective/valid_nll": valid.nll}
        if test is not None:
            scalars |= {"test/nll": test.nll, "test/bits_per_dim": test.bits_per_dim}
        self.tracker.scalars(step, scalars)
        self.tracker.flush()

    def _animate(self) -> None:
        frames = [*sorted(self.run.samples.glob("epoch_*.png")), self.run.final_samples]
        try:
            animation([frame for frame in frames if frame.exists()], self.run.animation)
        except Exception as error:  # a damaged picture, Pillow, disk
            _log.warning("no %s: %s: %s", self.run.animation, type(error).__name__, error)

    @override
    def flush(self) -> None:
        self.tracker.flush()

    @override
    def saved(self, record: Record) -> None:
        try:
            if record:
                self.tracker.metrics(record)
        except OSError as error:
            raise TrainingError(f"cannot write {self.run.metrics}: {error}") from error
