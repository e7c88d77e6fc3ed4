"""An experiment from its settings to its results: data, model, training, one look at test."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from made_exp.datasets.base import Dataset, describe_data
from made_exp.datasets.registry import default_data_dir, load_data
from made_exp.errors import TrainingError, as_config_errors
from made_exp.experiments.outcome import make_results, refuse_failed, run_checks, summary
from made_exp.experiments.pictures import draw_picture, is_worth_watching
from made_exp.experiments.preparation import prepare
from made_exp.experiments.run_observer import RunObserver
from made_exp.files import atomic_write_json
from made_exp.model.build import build_model
from made_exp.model.evaluation import Evaluation, evaluate, log_probs_by_ordering
from made_exp.model.made import MADE
from made_exp.reporting.figures import animation
from made_exp.reporting.progress import Progress
from made_exp.reporting.tracking import Tracker, tracking
from made_exp.runs.checkpoints import exists
from made_exp.runs.folder import RunDirectory, RunState
from made_exp.runtime import (
    check_precision,
    derive_seed,
    flushed_denormals,
    gpu_slot,
    matmul_precision,
    num_threads,
    resolve_device,
)
from made_exp.settings.experiment import Settings, to_dict
from made_exp.settings.fingerprint import changed_keys, fingerprint, flatten, rounding_keys
from made_exp.training import distributed
from made_exp.training.assembly import make_trainer
from made_exp.training.distributed import World
from made_exp.training.loop import Trainer

_log = logging.getLogger(__name__)
_SAMPLE_STREAM, _CHECK_STREAM = 5, 6


def run(settings: Settings, run_dir: str | Path, overrides: Sequence[str] = ()) -> float:
    """Run an experiment, or continue it, or skip it where it is finished already.

    Args:
        settings: What to do.
        run_dir: Where everything goes.
        overrides: What was typed, for the record.

    Returns:
        Validation NLL of the best model, in nats; finite.

    Raises:
        ConfigError: If settings do not fit the data, the machine or the run folder.
        TrainingError: If training diverged, or a file could not be written.
    """
    folder = RunDirectory(run_dir)
    with ExitStack() as stack:
        with as_config_errors():
            device = resolve_device(settings.trainer.device)
            check_precision(settings.trainer.precision, device)
            stack.enter_context(num_threads(settings.trainer.num_threads))
            stack.enter_context(flushed_denormals())
            world = stack.enter_context(distributed.join(device))
            if world.is_main:
                folder.create()
                stack.enter_context(folder.locked())
            finished = world.from_main(_finished(folder, settings) if world.is_main else None)
            if finished is not None:
                return finished
            automatic = settings.trainer.device == "auto" and world.size == 1
            device = stack.enter_context(gpu_slot(world.device, automatic=automatic))
            experiment = _Experiment.build(settings, folder, device, world)
            resumes = world.from_main(settings.resume and exists(folder.last))
            if world.is_main:
                folder.start(experiment.config, fingerprint(settings))
        with _status(folder, settings, world):
            return experiment.run(resumes, overrides)


def _finished(folder: RunDirectory, settings: Settings) -> float | None:
    """The objective, if this very experiment is finished here.

    Raises:
        RunError: If the folder holds a run that must not be touched.
    """
    objective = folder.finished_objective(fingerprint(settings)) if settings.resume else None
    if objective is not None:
        _log.info("finished already, skipped: %s", folder.path)
        return objective
    saved = folder.saved_config()
    folder.check(
        resume=settings.resume, changed=[] if saved is None else changed_keys(saved, settings)
    )
    for change in rounding_keys(saved, settings) if saved else ():
        _log.warning(
            "%s: from here on as an uninterrupted run up to rounding, not to the bit", change
        )
    return None


@contextmanager
def _status(folder: RunDirectory, settings: Settings, world: World) -> Iterator[None]:
    """Keep status.json true, however the run ends."""
    try:
        yield
    except BaseException as error:
        if world.is_main and folder.path.exists():
            state = RunState.FAILED if isinstance(error, Exception) else RunState.STOPPED
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            try:
                folder.write_status(state, fingerprint(settings), error=first_line)
            except OSError:
                _log.warning("cannot write %s", folder.status)
        raise


@dataclass
class _Experiment:
    """The objects of one experiment."""

    settings: Settings
    config: dict[str, Any]
    folder: RunDirectory
    dataset: Dataset
    data: dict[str, Any]
    model: MADE
    world: World

    @classmethod
    def build(
        cls, settings: Settings, folder: RunDirectory, device: torch.device, world: World
    ) -> "_Experiment":
        """Load the data and build the model on `device`."""
        config = to_dict(settings)
        dataset = load_data(**config["dataset"])
        data = describe_data(dataset)
        trainer = settings.trainer
        model = build_model(
            settings, data, trainer.kernel, device=device, precision=trainer.precision
        )
        prepare(model, dataset)
        return cls(settings, config, folder, dataset, data, model.to(device), world)

    def run(self, resumes: bool, overrides: Sequence[str]) -> float:
        """Train, evaluate, write results.json; returns the validation NLL."""
        with as_config_errors():
            trainer = self._trainer()
            if resumes:
                trainer.keeper.restore()
                state = trainer.state
                _log.info("resumed at step %d (epoch %d)", state.step, state.epochs_begun)
        if not self.world.is_main:
            trainer.train()
            return self.world.from_main(None)
        with ExitStack() as stack:
            tracker = stack.enter_context(
                tracking(
                    self.folder.path,
                    tensorboard=self.settings.trainer.tensorboard,
                    purge_step=trainer.state.evaluated_step + 1 if resumes else None,
                )
            )
            if not resumes:
                self._describe(tracker, overrides)
            with self._progress(trainer) as progress:
                dims = self.dataset.num_dims
                watched = is_worth_watching(self.dataset)
                observer = RunObserver(
                    self.folder, tracker, progress, self._draw, dims, watched=watched
                )
                trainer.observer = observer
                trainer.train()
            trainer.keeper.restore_best()
            return self.world.from_main(self._finish(trainer, observer))

    def _trainer(self) -> Trainer:
        valid, labels = self._split("valid")
        is_ensemble = len(self.model.members) > 1
        wanted = None if is_ensemble else self.config["ordering"].get("valid_orderings", 1)
        count = min(wanted or self.model.num_orderings, self.model.num_orderings)

        def validate() -> Evaluation:
            if self.model.mixture.fits:
                return self._fit_mixture(valid, labels)
            return self._evaluate(valid, labels, count)

        return make_trainer(
            self.model,
            self.dataset,
            self.settings,
            self.folder,
            validate,
            description={"config": self.config, "data": self.data},
            world=self.world,
        )

    def _fit_mixture(self, x: torch.Tensor, context: torch.Tensor | None) -> Evaluation:
        """Weight the orderings of the mixture as suits x best, and score x."""
        batch_size, mixture = self.settings.trainer.eval_batch_size, self.model.mixture
        rows = log_probs_by_ordering(self.model, x, context=context, batch_size=batch_size)
        mixture.fit(rows)
        return Evaluation.from_log_probs(mixture.log_prob(rows), self.model.num_dims, len(rows))

    def _progress(self, trainer: Trainer) -> Progress:
        return Progress(
            trainer.settings.total_steps(len(trainer.batches)),
            batch_size=trainer.batches.batch_size,
            mode=self.settings.trainer.progress,
            first_step=trainer.state.step,
        )

    def _finish(self, trainer: Trainer, observer: RunObserver) -> float:
        """The one look at test, the last picture, checks; results.json comes last."""
        step = trainer.state.step
        with matmul_precision(self.settings.trainer.precision):
            valid = self._evaluate(*self._split("valid"))
            test = self._evaluate(*self._split("test"))
            observer.picture(self.folder.final_samples, "best model", step)
            outcome = run_checks(
                self.model, self.dataset, derive_seed(self.settings.seed, _CHECK_STREAM)
            )
        refuse_failed(outcome)
        if self.settings.trainer.animation:
            frames = [*sorted(self.folder.samples.glob("epoch_*.png")), self.folder.final_samples]
            animation([frame for frame in frames if frame.exists()], self.folder.animation)
        observer.tested(test, step)
        results = make_results(
            trainer, self.dataset, default_data_dir(), test=test, valid=valid, outcome=outcome
        )
        try:
            atomic_write_json(self.folder.results, results)
            key = fingerprint(self.settings)
            self.folder.write_status(RunState.COMPLETED, key, objective=valid.nll)
        except OSError as error:
            raise TrainingError(f"cannot write {self.folder.results}: {error.strerror}") from error
        _log.info("%s", summary(results, self.folder))
        return valid.nll

    def _draw(self, path: Path, title: str) -> np.ndarray:
        return draw_picture(
            self.model,
            self.dataset,
            path,
            num_samples=self.settings.trainer.num_samples,
            seed=derive_seed(self.settings.seed, _SAMPLE_STREAM),
            title=f"{self.dataset.name}, {title}",
            ordering=self.settings.ordering.name,
        )

    def _split(self, split: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        x, context = self.dataset.split(split), self.dataset.context(split)
        device = self.model.device
        return x.to(device), None if context is None else context.to(device)

    def _evaluate(
        self, x: torch.Tensor, context: torch.Tensor | None, num_orderings: int | None = None
    ) -> Evaluation:
        batch_size = self.settings.trainer.eval_batch_size
        return evaluate(
            self.model, x, context=context, num_orderings=num_orderings, batch_size=batch_size
        )

    def _describe(self, tracker: Tracker, overrides: Sequence[str]) -> None:
        tracker.text("config", json.dumps(self.config, indent=2))
        tracker.text("command", " ".join(["made-train", *overrides]))
        flat = flatten(self.config)
        text_keys = [key for key in flat if key.endswith(("name", "device", "path"))]
        tracker.hparams(flat, text_keys=text_keys)
