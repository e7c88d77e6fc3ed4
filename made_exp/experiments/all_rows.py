"""Training on all rows of a table: a run beside it, which keeps some back, finds out how long.

That run has a tenth of the rows for validation. It decides the steps until and while the rate is
annealed, and the weights of the mixture; its validation is what is told of the model.
"""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from made_exp.datasets.registry import HELD_BACK
from made_exp.errors import as_config_errors
from made_exp.model.made import MADE
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.settings.dataset import TableSettings
from made_exp.settings.experiment import Settings
from made_exp.settings.fingerprint import fingerprint
from made_exp.settings.training import AnnealSettings, TrainerSettings
from made_exp.training.learner import Learner

_log = logging.getLogger(__name__)
_FOLDER = "length"


@dataclass(frozen=True)
class Length:
    """What the run beside it found.

    Attributes:
        steps: Optimizer steps of the whole training.
        annealing: How many of them, the last ones, anneal the rate; None where that is not asked.
        weights: Of the densities of the mixture, as the state_dict has them.
        valid: Its validation, as it stands in results.json.
    """

    steps: int
    annealing: int | None
    weights: dict[str, Tensor]
    valid: dict[str, Any]

    @classmethod
    def of_run(cls, run: RunDirectory, settings: Settings) -> Self:
        """What a finished run found."""
        last, best = load_checkpoint(run.last), load_checkpoint(run.best)
        steps, annealing = best["state"]["step"], None
        if isinstance(settings.scheduler, AnnealSettings):
            found, steps = last["scheduler"], last["state"]["step"]
            fraction = settings.scheduler.fraction
            annealing = math.ceil(steps * fraction / (1 + fraction))  # of a budget
            if 0 <= found["start"] < steps:
                annealing = steps - found["start"]
                steps = found["best_step"] + annealing
        weights = {
            name.removeprefix("mixture."): value
            for name, value in best["model"].items()
            if name.startswith("mixture.")
        }
        valid = json.loads(run.results.read_text())["valid"]
        return cls(max(steps, 1), annealing, weights, valid)

    def trainer(self, settings: TrainerSettings) -> TrainerSettings:
        """Settings of a training of this length, scored at its end alone."""
        return replace(
            settings,
            max_steps=self.steps,
            max_minutes=None,
            min_steps=self.steps,
            patience=None,
            eval_every=self.steps + 1,
        )

    def begin(self, learner: Learner) -> None:
        """Give a learner the schedule that was found."""
        if self.annealing is not None:
            learner.scheduler.load_state_dict(
                {"start": self.steps - self.annealing, "length": max(1, self.annealing)}
            )

    @torch.no_grad()
    def weigh(self, model: MADE) -> None:
        """Give a model the weights of the mixture that were found."""
        model.mixture.load_state_dict(self.weights)


def find_length(
    settings: Settings,
    run_dir: str | Path,
    overrides: Sequence[str],
    run: Callable[..., float],
) -> Length | None:
    """How long to train where no rows are kept for validation; None where some are.

    Args:
        settings: Of the experiment.
        run_dir: Its folder; the run beside it goes into `length` there.
        overrides: What was typed, for the record.
        run: Runs an experiment; what it raises comes through as it is.

    Raises:
        ConfigError: If the folder cannot be used, or holds another run.
    """
    dataset, folder = settings.dataset, RunDirectory(run_dir)
    if not (isinstance(dataset, TableSettings) and dataset.trains_on_all):
        return None
    if settings.resume and folder.finished_objective(fingerprint(settings)) is not None:
        return None
    with as_config_errors():
        folder.check(settings)
        folder.create()
    minutes = settings.trainer.max_minutes
    beside = replace(
        settings,
        resume=True,
        dataset=replace(dataset, valid_fraction=HELD_BACK),
        trainer=replace(settings.trainer, max_minutes=minutes and minutes / 2),
    )
    inner = RunDirectory(folder.path / _FOLDER)
    _log.info("no rows are for validation: first a run without a tenth of them finds the length")
    run(beside, inner.path, overrides, uses_test=False)
    with as_config_errors():
        found = Length.of_run(inner, settings)
    _log.info("%d steps were best; now all rows are trained on for as long", found.steps)
    return found
