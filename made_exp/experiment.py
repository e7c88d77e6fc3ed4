"""An experiment from its settings to its results: data, model, training, one look at test."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from made_exp import baselines, checks
from made_exp.config.errors import ConfigError
from made_exp.config.fingerprint import changed_keys, fingerprint, flatten
from made_exp.config.settings import Settings, to_dict
from made_exp.connectivity import connectivity
from made_exp.datasets.base import Dataset, reference_nll
from made_exp.datasets.download import default_data_dir
from made_exp.datasets.registry import load_dataset
from made_exp.evaluation import Evaluation, evaluate
from made_exp.files import atomic_write_json
from made_exp.loading import build_model, describe_data
from made_exp.made import MADE
from made_exp.reporting.figures import animation
from made_exp.reporting.tracking import Tracker
from made_exp.runs import RunDirectory, RunError, RunState, finished_sibling
from made_exp.runtime import (
    check_precision,
    derive_seed,
    git_commit,
    gpu_slot,
    matmul_precision,
    num_threads,
    resolve_device,
    versions,
)
from made_exp.training import distributed
from made_exp.training.batches import Batches
from made_exp.training.checkpoints import exists
from made_exp.training.distributed import World
from made_exp.training.loop import Trainer
from made_exp.training.optimizers import make_optimizer
from made_exp.training.pictures import draw_picture
from made_exp.training.run_observer import RunObserver
from made_exp.training.schedulers import make_scheduler
from made_exp.training.settings import TrainingSettings
from made_exp.training.step import make_step, wants_graph

_log = logging.getLogger(__name__)
# Splits and draws of the data do not follow the run's seed: runs of several seeds share one test.
DATA_SEED = 0
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
        RunError: If training diverged, or a file could not be written.
    """
    folder = RunDirectory(run_dir)
    with ExitStack() as stack:
        with _as_config_errors():
            device = resolve_device(settings.trainer.device)
            check_precision(settings.trainer.precision, device)
            stack.enter_context(num_threads(settings.trainer.num_threads))
            world = stack.enter_context(distributed.join(device))
            if world.is_main:
                folder.create()
                stack.enter_context(folder.locked())
            finished = world.from_main(_finished(folder, settings) if world.is_main else None)
            if finished is not None:
                return finished
            if world.is_main:
                saved = folder.saved_config()
                changed = [] if saved is None else changed_keys(saved, settings)
                folder.check(resume=settings.resume, changed=changed)
            automatic = settings.trainer.device == "auto" and world.size == 1
            device = stack.enter_context(gpu_slot(world.device, automatic=automatic))
            experiment = _Experiment.build(settings, folder, device, world)
            resumed = world.from_main(settings.resume and exists(folder.last))
            if world.is_main:
                folder.start(experiment.config, fingerprint(settings))
        with _status(folder, settings, world):
            return experiment.run(resumed, overrides)


def _finished(folder: RunDirectory, settings: Settings) -> float | None:
    """Objective of this very experiment if it is finished, here or in a sweep's other folder."""
    if not settings.resume:
        return None
    key = fingerprint(settings)
    objective = folder.finished_objective(key)
    if objective is None and not exists(folder.last):
        sibling = finished_sibling(folder.path, key)
        if sibling is not None:
            _log.info("finished already in %s: skipped", sibling.path)
            return sibling.finished_objective(key)
    elif objective is not None:
        _log.info("finished already: skipped (%s)", folder.path)
    return objective


@contextmanager
def _as_config_errors() -> Iterator[None]:
    """What goes wrong before training is a mistake in the settings."""
    try:
        yield
    except ConfigError:
        raise
    except (ValueError, RunError) as error:
        raise ConfigError(str(error)) from error


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
    device: torch.device
    world: World

    @classmethod
    def build(
        cls, settings: Settings, folder: RunDirectory, device: torch.device, world: World
    ) -> "_Experiment":
        """Load the data and build the model on `device`."""
        config = to_dict(settings)
        options = {k: v for k, v in config["dataset"].items() if k != "name"}
        dataset = load_dataset(
            settings.dataset.name, seed=DATA_SEED, data_dir=default_data_dir(), **options
        )
        data = describe_data(dataset)
        model = build_model(config, data, settings.trainer.kernel)
        model.initialise_bias(_bias_examples(dataset))
        masks = model.schedule.mask_set(0)
        direct = model.network.direct is not None
        for warning in connectivity(masks, direct_connections=direct).warnings():
            _log.warning("%s", warning)
        return cls(settings, config, folder, dataset, data, model.to(device), device, world)

    def run(self, resumed: bool, overrides: Sequence[str]) -> float:
        """Train, evaluate, write results.json; returns the validation NLL."""
        trainer, make_observer = self._trainer()
        if resumed:
            with _as_config_errors():
                trainer.resume()
            _log.info("resumed at step %d (epoch %d)", trainer.state.step, trainer.state.epoch)
        purge = trainer.state.step + 1 if trainer.state.evaluated_step >= 0 else 0
        with ExitStack() as stack:
            observer: RunObserver | None = None
            if self.world.is_main:
                tracker = Tracker(
                    self.folder.path,
                    tensorboard=self.settings.trainer.tensorboard,
                    purge_step=purge if resumed else None,
                )
                stack.enter_context(tracker)
                observer = make_observer(tracker)
                trainer.observer = observer
                if not resumed:
                    self._describe(tracker, overrides)
            trainer.train()
            trainer.load_best()
            if observer is None:
                self.world.wait()
                return trainer.state.best_nll
            objective = self._finish(trainer, observer)
            self.world.wait()
            return objective

    def _trainer(self) -> tuple[Trainer, Any]:
        settings, optimizer_options = self.settings.trainer, dict(self.config["optimizer"])
        scheduler_options = dict(self.config["scheduler"])
        shared = {f.name for f in fields(TrainingSettings)} & {f.name for f in fields(settings)}
        training = TrainingSettings(
            seed=self.settings.seed, **{name: getattr(settings, name) for name in shared}
        )
        batches = Batches(
            self.dataset.train,
            training.batch_size,
            seed=training.seed,
            device=self.device,
            context=self.dataset.train_context,
            binarize=self.dataset.dynamic_binarization,
            rank=self.world.rank,
            world_size=self.world.size,
        )
        name, lr = optimizer_options.pop("name"), optimizer_options.pop("lr")
        graph = wants_graph(self.model, self.device, name, training, self.world)
        optimizer = make_optimizer(name, self.model, lr=lr, capturable=graph, **optimizer_options)
        total = training.epochs * len(batches)
        total = total if training.max_steps is None else min(total, training.max_steps)
        scheduler = make_scheduler(
            scheduler_options.pop("name"), lr=lr, total_steps=total, **scheduler_options
        )
        step = make_step(self.model, optimizer, batches, training, self.world, graph=graph)
        valid, labels = self._split("valid")
        num_orderings = min(
            self.config["ordering"].get("valid_orderings", 1), self.model.num_orderings
        )

        def validate() -> Evaluation:
            return self._evaluate(valid, labels, num_orderings)

        trainer = Trainer(
            self.model,
            batches,
            validate,
            training,
            step=step,
            optimizer=optimizer,
            scheduler=scheduler,
            lr=lr,
            run=self.folder,
            description={"config": self.config, "data": self.data},
            world=self.world,
        )

        def make_observer(tracker: Tracker) -> RunObserver:
            return RunObserver(self.folder, tracker, self._draw, self.dataset.num_dims)

        return trainer, make_observer

    def _finish(self, trainer: Trainer, observer: RunObserver) -> float:
        """The one look at test, pictures, checks; results.json comes last."""
        state, tracker = trainer.state, observer.tracker
        with matmul_precision(self.settings.trainer.precision):
            valid = self._evaluate(*self._split("valid"))
            test = self._evaluate(*self._split("test"))
            observer.picture(self.folder.final_samples, "the best model", state.step)
            outcome = self._checks()
        if self.settings.trainer.animation:
            frames = [*sorted(self.folder.samples.glob("epoch_*.png")), self.folder.final_samples]
            animation([f for f in frames if f.exists()], self.folder.animation)
        tracker.scalars(state.step, {"test/nll": test.nll, "test/bits_per_dim": test.bits_per_dim})
        steps = state.step * min(self.settings.trainer.batch_size, len(self.dataset.train))
        reference = reference_nll(self.dataset, "test")
        results: dict[str, Any] = {
            "status": "completed",
            "test": test.as_dict(),
            "valid": valid.as_dict(),
            **({} if reference is None else {"reference": {"nll": reference}}),
            "baselines": baselines.load_or_compute(self.dataset, default_data_dir()),
            "checks": outcome,
            "best_epoch": state.best_epoch,
            "epochs": trainer.epochs_begun,
            "steps": state.step,
            "train_seconds": round(state.seconds, 3),
            "examples_per_second": round(steps / max(state.step_seconds, 1e-9), 1),
            "num_parameters": sum(p.numel() for p in self.model.parameters()),
            "seed": self.settings.seed,
            "dataset": self.dataset.name,
            "note": self.dataset.note,
            "versions": versions(),
            "git_commit": git_commit(),
        }
        tracker.flush()
        try:
            atomic_write_json(self.folder.results, results)
            self.folder.write_status(
                RunState.COMPLETED, fingerprint(self.settings), objective=valid.nll
            )
        except OSError as error:
            raise RunError(f"cannot write {self.folder.results}: {error.strerror}") from error
        return valid.nll

    def _checks(self) -> dict[str, Any]:
        seed = derive_seed(self.settings.seed, _CHECK_STREAM)
        generator = torch.Generator().manual_seed(seed)
        context = None
        if self.dataset.num_classes:
            context = torch.arange(checks.NUM_SAMPLES) % self.dataset.num_classes
        self.model.eval()
        outcome = [
            checks.check_masks(self.model),
            checks.check_normalisation(self.model),
            checks.check_samples(self.model, generator, context),
        ]
        for check in outcome:
            if not check.passed:
                _log.error("check '%s' failed: %s", check.name, check.detail)
        return {c.name: {"passed": c.passed, "detail": c.detail} for c in outcome}

    def _draw(self, path: Path, title: str) -> Any:
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
        context = self.dataset.context(split)
        x = self.dataset.split(split).to(self.device)
        return x, None if context is None else context.to(self.device)

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


def _bias_examples(dataset: Dataset) -> torch.Tensor:
    """Training examples whose marginals are those of what the model will see."""
    if not dataset.dynamic_binarization:
        return dataset.train
    generator = torch.Generator().manual_seed(DATA_SEED)
    rows = dataset.train[: 20 * 1000]
    draws = torch.rand(rows.shape, generator=generator)
    return (rows > draws * 255).to(torch.uint8)
