"""An experiment from its settings to its results: data, model, training, one look at test."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from made_exp.datasets.description import describe_data
from made_exp.datasets.registry import load_dataset
from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.all_rows import Length, find_length
from made_exp.experiments.best_model import restore_best_model
from made_exp.experiments.by_column import ColumnScores, score_columns
from made_exp.experiments.memory_estimate import check_memory
from made_exp.experiments.outcome import make_results, without_gain, write_results
from made_exp.experiments.outliers import Outlier, outlier_in
from made_exp.experiments.precision import settled_precision
from made_exp.experiments.proofs import prepare, proven
from made_exp.experiments.run_observer import RunObserver
from made_exp.experiments.run_summary import summary
from made_exp.experiments.share_of_machine import share_of_machine
from made_exp.experiments.teacher import Teacher
from made_exp.experiments.understanding import say_understood
from made_exp.experiments.validation import Validation
from made_exp.model.build import build_model
from made_exp.model.evaluation import Evaluation, evaluate
from made_exp.reporting.progress import Progress
from made_exp.reporting.tracking import tracking
from made_exp.runs.checkpoints import exists
from made_exp.runs.folder import RunDirectory
from made_exp.runtime import (
    check_precision,
    derive_seed,
    flushed_denormals,
    gpu_slot,
    matmul_precision,
    num_threads,
    resolve_device,
)
from made_exp.settings.experiment import Settings
from made_exp.settings.fingerprint import fingerprint, rounding_keys
from made_exp.training import distributed
from made_exp.training.assembly import make_trainer
from made_exp.training.forked_map import forked_map
from made_exp.training.loop import Trainer
from made_exp.training.siblings import started
from made_exp.training.world import World

_log = logging.getLogger(__name__)
_CHECK_STREAM = 6


def run(
    settings: Settings,
    run_dir: str | Path,
    overrides: Sequence[str] = (),
    *,
    reports: bool = True,
    uses_test: bool = True,
) -> float:
    """Run an experiment, or continue it, or skip it where it is finished already.

    Args:
        settings: What to do.
        run_dir: Where everything goes.
        overrides: What was typed, for the record.
        reports: Whether results and pictures are wanted; else only the model is, and its proofs.
        uses_test: Whether the test is looked at, once.

    Returns:
        Validation NLL of the best model, in nats; finite.

    Raises:
        ConfigError: If settings do not fit the data, the machine or the run folder.
        TrainingError: If training diverged, or a file could not be written.
    """
    folder, key = RunDirectory(run_dir), fingerprint(settings)
    length = find_length(settings, run_dir, overrides, run)
    with ExitStack() as stack:
        with as_config_errors():
            device = resolve_device(settings.trainer.device)
            check_precision(settings.trainer.precision, device)
            share = share_of_machine(settings, device)
            stack.enter_context(num_threads(share.threads))
            stack.enter_context(flushed_denormals())
            world = stack.enter_context(distributed.join(device))
            if len(set(world.meet(key))) > 1:
                raise ConfigError("the processes of one run were started with different settings")
            if world.is_main:
                folder.create()
                stack.enter_context(folder.locked())
            finished = world.from_main(_finished(folder, settings) if world.is_main else None)
            if finished is not None:
                return finished
            automatic = settings.trainer.device == "auto" and world.size == 1
            device = stack.enter_context(gpu_slot(world.device, automatic=automatic))
            resumes = world.from_main(settings.resume and exists(folder.last))
            experiment = _Experiment(
                settings, folder, device, world, share.processes, resumes, length, uses_test
            )
            if world.is_main:
                folder.start(asdict(settings), key)
                stack.enter_context(folder.telling_how_it_ends(key))
        return experiment.run(overrides, reports=reports)


def _finished(folder: RunDirectory, settings: Settings) -> float | None:
    """The objective, if this very experiment is finished here.

    Raises:
        RunError: If the folder holds a run that must not be touched.
    """
    objective = folder.finished_objective(fingerprint(settings)) if settings.resume else None
    if objective is not None:
        _log.info("finished already, skipped: %s", folder.path)
        return objective
    folder.check(settings)
    for change in rounding_keys(folder.saved_config() or asdict(settings), settings):
        _log.warning(
            "%s: from here on as an uninterrupted run up to rounding, not to the bit", change
        )
    return None


class _Experiment:
    """The objects of one experiment: its data, and its model on `device`."""

    def __init__(
        self,
        settings: Settings,
        folder: RunDirectory,
        device: torch.device,
        world: World,
        num_processes: int,
        resumes: bool,
        length: Length | None,
        uses_test: bool,
    ) -> None:
        self.settings, self.folder, self.world, self.resumes = settings, folder, world, resumes
        self.length = length
        self.dataset = load_dataset(**asdict(settings.dataset))
        if not uses_test:
            self.dataset = self.dataset.without_test()
        if world.is_main:
            say_understood(self.dataset)
        self.teacher = Teacher.of(settings, self.dataset, device)
        self.memory = check_memory(
            settings, self.dataset, num_processes, device, says=world.is_main
        )
        self.data = describe_data(self.dataset)
        begun = folder if resumes else None
        precision = settled_precision(settings, self.dataset.num_dims, device, begun)
        trainer = replace(settings.trainer, precision=world.from_main(precision))
        if length is not None:
            trainer = length.trainer(trainer)
        self.settled = replace(settings, trainer=trainer)
        model = build_model(
            settings, self.data, trainer.kernel, device=device, precision=trainer.precision
        )
        prepare(model, self.dataset)
        self.model = model.to(device)
        self.num_processes = min(num_processes, len(model.members))
        if length is not None:
            length.weigh(model)

    def run(self, overrides: Sequence[str], *, reports: bool) -> float:
        """Train, evaluate, write results.json if it `reports`; returns the validation NLL."""
        resumes, precision = self.resumes, self.settled.trainer.precision
        with as_config_errors():
            fits = self.length is None
            validation = Validation(self.model, self.dataset, self.settings, fits=fits)
            trainer = make_trainer(
                self.model,
                self.dataset,
                self.settled,
                self.folder,
                validation,
                {"config": asdict(self.settings), "data": self.data, "precision": precision},
                self.world,
                validation.num_scored,
                self.teacher and self.teacher.draw,
            )
            state = trainer.state
            if self.length is not None:
                self.length.begin(trainer.learner)
            if resumes:
                trainer.keeper.restore()
                last = self.settled.trainer.ending(state.step, len(trainer.batches))
                _log.info("resumed at step %d (epoch %d)%s", state.step, state.epochs_begun, last)
        if not self.world.is_main:
            trainer.train()
            return self.world.from_main(None)
        with started(self.num_processes, partial(_take_part, trainer)) as processes:
            if processes.size > 1:
                trainer.share(processes)
            objective = self._train_and_finish(trainer, resumes, overrides, reports=reports)
        return self.world.from_main(objective)

    def _train_and_finish(
        self, trainer: Trainer, resumes: bool, overrides: Sequence[str], *, reports: bool
    ) -> float:
        wanted, state = self.settings.trainer, trainer.state
        purge = state.evaluated_step + 1  # what one has left that ended before its first checkpoint
        with tracking(
            self.folder.path, tensorboard=wanted.tensorboard, purge_step=purge
        ) as tracker:
            with Progress(
                wanted.total_steps(len(trainer.batches)),
                batch_size=trainer.batches.batch_size,
                mode=wanted.progress,
                first_step=state.step,
            ) as progress:
                observer = RunObserver(
                    self.folder, tracker, progress, self.model, self.dataset, self.settings
                )
                if not resumes:
                    observer.begins(overrides)
                trainer.observer = observer
                trainer.train()
            restore_best_model(trainer, self.dataset, self.settings)
            if reports:
                return self._finish(trainer, observer)
            self._prove()
            if self.length is not None:
                return float(self.length.valid["nll"])
            return self._evaluate("valid").nll

    def _finish(self, trainer: Trainer, observer: RunObserver) -> float:
        """The one look at test, the last picture, checks; results.json comes last."""
        step, settings = trainer.state.step, self.settings
        with matmul_precision(settings.trainer.precision):
            valid = self._evaluate("valid")
            test = self._evaluate("test") if self.dataset.has_test else None
            outliers = self._outliers(valid=valid, **({"test": test} if test else {}))
            columns = self._columns()
            comparison = observer.picture(self.folder.final_samples, "best model", step)
            checks = self._prove()
        observer.tested(test, valid, step)
        observer.explain(columns, step)
        results = make_results(
            trainer,
            self.dataset,
            test=test,
            valid=valid,
            outliers=outliers,
            checks=checks,
            comparison=comparison,
            columns=columns,
        )
        results["memory_estimate"] = self.memory.as_dict()
        if self.teacher is not None:
            results["teacher"] = self.teacher.compared(test or valid)
        if self.length is not None:
            results["valid"] = self.length.valid  # of rows that were not trained on
        write_results(self.folder, results, fingerprint(settings))
        _log.info("%s", summary(results, self.folder, self.settings.trainer.tensorboard))
        if self.length is None and (warning := without_gain(results, self.model)):
            _log.warning("%s", warning)
        return float(results["valid"]["nll"])

    def _prove(self) -> dict[str, dict[str, Any]]:
        seed = derive_seed(self.settings.seed, _CHECK_STREAM)
        each, only_warns = forked_map(self.num_processes), self.settings.checks == "warn"
        return proven(self.model, self.dataset, seed, each, only_warns=only_warns)

    def _columns(self) -> ColumnScores | None:
        """The columns of what is scored; a warning for each that is worse than counting."""
        size, each = self.settings.trainer.eval_batch_size, forked_map(self.num_processes)
        split = self.dataset.scored
        columns = score_columns(self.model, self.dataset, split, batch_size=size, each=each)
        for warning in columns.warnings() if columns else ():
            _log.warning("%s", warning)
        return columns

    def _outliers(self, **evaluations: Evaluation) -> dict[str, Outlier]:
        """The examples that decide the likelihood of their split, each a warning."""
        found = {}
        for split, evaluation in evaluations.items():
            outlier = outlier_in(self.model, self.dataset, split, evaluation)
            if outlier is not None:
                _log.warning("%s", outlier)
                found[split] = outlier
        return found

    def _evaluate(self, split: str) -> Evaluation:
        x, context = self.dataset.split(split), self.dataset.context(split)
        size, each = self.settings.trainer.eval_batch_size, forked_map(self.num_processes)
        return evaluate(self.model, x, context=context, batch_size=size, each=each)


def _take_part(trainer: Trainer, world: World) -> None:
    """What a process does that was started to train some of the members."""
    trainer.share(world)
    trainer.train()
