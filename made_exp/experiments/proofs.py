"""What a model must prove: before training that it fits its data, after it that it counts right."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from made_exp.datasets.base import SPLITS, Dataset, binarized
from made_exp.datasets.baselines.scores import FITTED
from made_exp.datasets.parts import ROWS, fitted_rows
from made_exp.datasets.registry import DATA_SEED
from made_exp.errors import TrainingError
from made_exp.masks.observed import with_observed_first
from made_exp.masks.schedule import MaskSchedule
from made_exp.model.checks import (
    NUM_SAMPLES,
    Check,
    check_masks,
    check_normalisation,
    check_samples,
    measure_connectivity,
)
from made_exp.model.evaluation import Each
from made_exp.model.implications import start_at_implications
from made_exp.model.made import MADE
from made_exp.variables.missing import left_out

_log = logging.getLogger(__name__)
_BIAS_EXAMPLES = 20_000


def prepare(model: MADE, dataset: Dataset) -> None:
    """Check the model against its data and its masks; fit what is simple in it, and its biases.

    What the masks connect is logged; a hidden layer in which dependencies are lost is a warning.

    Raises:
        ValueError: If the data miss values that the model cannot leave out.
        TrainingError: If an output depends on its own or a later variable.
    """
    check_missing(serving_missing(model), dataset)
    report = measure_connectivity(model)
    if report.num_weights:
        _log.info("%s", report)
    for warning in report.warnings():
        _log.warning("%s", warning)
    check = check_masks(model)
    if not check.passed:
        raise TrainingError(f"the masks of this model are wrong: {check.detail}")
    x = rows_to_fit(dataset)
    model.initialise_bias(x)
    start_at_implications(model, x)
    if model.num_latent:
        model.mixture.set_shares(model.find_classes(x))
    for name, extra in model.extras.items():
        extra.load_state_dict(FITTED[name](dataset).state_dict())


def rows_to_fit(dataset: Dataset) -> Tensor:
    """Rows (N, D) of train to which what is simple is fitted, as the model sees them."""
    x = dataset.train
    if dataset.dynamic_binarization:
        x = binarized(x[:_BIAS_EXAMPLES], DATA_SEED)
    return fitted_rows(x)


def serving_missing(model: MADE) -> list[MaskSchedule]:
    """The schedules that rows with missing values need: those that resample orders, if any do."""
    every = [member.schedule for member in model.members]
    return [one for one in every if one.resamples_order] or every


def check_missing(schedules: Sequence[MaskSchedule], dataset: Dataset) -> None:
    """Raise ValueError if values are missing that some ordering does not have last."""
    for split in SPLITS:
        if (found := _first_unserved(schedules, dataset, split)) is not None:
            row, column = found
            recipe = (
                "take experiment=table, or dataset.missing=model, or " if dataset.schema else ""
            )
            raise ValueError(
                f"dataset '{dataset.name}' has missing values (first in column "
                f"'{dataset.variables[column].name}', row {row} of {split}): {recipe}use "
                "ordering=agnostic with several orderings and resample=both or order, so that for "
                "each row there are orderings with what is observed first"
            )


def _first_unserved(
    schedules: Sequence[MaskSchedule], dataset: Dataset, split: str
) -> tuple[int, int] | None:
    """Row and column of the first missing cell of a split, if an ordering cannot have such last."""
    first = None
    for number, x in enumerate(dataset.split(split).split(ROWS)):
        missing = left_out(x, dataset.variables)
        if not missing.any():
            continue
        if first is None:
            row, column = torch.nonzero(missing)[0].tolist()
            first = (number * ROWS + row, column)
        try:
            for schedule in schedules:
                if not schedule.resamples_order:
                    with_observed_first(schedule, schedule.mask_set(0), ~missing)
        except ValueError:
            return first
    return None


def proven(
    model: MADE, dataset: Dataset, seed: int, each: Each = map, *, only_warns: bool = False
) -> dict[str, dict[str, Any]]:
    """Let the model prove its own numbers: outcome of each check by name.

    `each` is as in `evaluate`.

    Raises:
        TrainingError: If one fails and `only_warns` is False: such numbers are no results.
    """
    generator = torch.Generator().manual_seed(seed)
    context = None
    if dataset.num_classes:
        context = torch.arange(NUM_SAMPLES) % dataset.num_classes
    model.eval()
    checks: dict[str, Callable[[], Check]] = {
        "masks": lambda: check_masks(model),
        "normalisation": lambda: check_normalisation(model, each),
        "samples": lambda: check_samples(model, generator, context),
    }
    done = [_outcome(name, check, only_warns) for name, check in checks.items()]
    failed = [f"{check.name}: {check.detail}" for check in done if not check.passed]
    for text in failed if only_warns else ():
        _log.warning("checks=warn: the results are unchecked (%s)", text)
    if failed and not only_warns:
        raise TrainingError(
            f"the model does not prove its own numbers, so there are no results ({failed[0]}); "
            "resume=true repeats the end of the run, with checks=warn to results that say so"
        )
    return {check.name: {"passed": check.passed, "detail": check.detail} for check in done}


def _outcome(name: str, check: Callable[[], Check], only_warns: bool) -> Check:
    try:
        return check()
    except Exception as error:  # a check that breaks has not passed
        if not only_warns:
            raise
        return Check(name, False, f"{type(error).__name__}: {error}")
