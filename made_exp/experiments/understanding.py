"""What was understood of the data, said before a training and without one."""

import logging
from collections import Counter
from dataclasses import asdict
from typing import Any

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.description import describe_data
from made_exp.datasets.parts import num_fitted
from made_exp.datasets.registry import load_dataset
from made_exp.datasets.table.describe import MAX_ROWS, as_table
from made_exp.datasets.table.schema import TableSchema
from made_exp.errors import as_config_errors
from made_exp.experiments.proofs import check_missing, serving_missing
from made_exp.model.build import build_model
from made_exp.settings.experiment import Settings
from made_exp.variables.missing import any_left_out

_log = logging.getLogger(__name__)
# What comes after so many warnings is in results.json.
MAX_NOTICES = 12


def say_understood(dataset: Dataset) -> None:
    """Log the columns of a table of the user's, and warn of what is suspicious in it."""
    if dataset.schema is not None:
        _log.info("%s", described_dataset(dataset))
    if (count := num_fitted(dataset.train)) < len(dataset.train):
        _log.info(
            "simple densities and first biases are fitted to %d of its rows, spread evenly", count
        )
    for notice in dataset.notices[:MAX_NOTICES]:
        _log.warning("warning: %s", notice)
    if len(dataset.notices) > MAX_NOTICES:
        _log.warning("warning: and %d more: describe=true", len(dataset.notices) - MAX_NOTICES)


def describe(settings: Settings) -> str:
    """What the data of an experiment hold, and what is suspicious in them, in full.

    Raises:
        ConfigError: If they cannot be had or used.
    """
    with as_config_errors():
        dataset = load_dataset(**asdict(settings.dataset))
    lines = [described_dataset(dataset, most=dataset.num_dims + len(dataset.notices) + MAX_ROWS)]
    lines += [f"warning: {notice}" for notice in (*dataset.notices, *_refusals(settings, dataset))]
    return "\n".join(lines)


def _refusals(settings: Settings, dataset: Dataset) -> list[str]:
    """For what a training would refuse missing cells."""
    splits = (dataset.split(split) for split in SPLITS)
    if not any(any_left_out(x, dataset.variables) for x in splits):
        return []
    try:
        model = build_model(settings, describe_data(dataset))
        check_missing(serving_missing(model), dataset)
    except ValueError as error:
        return [f"a training with these settings would end: {error}"]
    return []


def as_results(dataset: Dataset) -> dict[str, Any]:
    """What of it results.json holds: nothing for data that are no table of the user's."""
    if dataset.schema is None:
        return {}
    columns = TableSchema.from_dict(dataset.schema).describe()
    return {"columns": columns, "notices": list(dataset.notices)}


def described_dataset(dataset: Dataset, *, most: int = MAX_ROWS) -> str:
    """The rows of each split, and a line for each column or for all of a kind."""
    rows = ", ".join(f"{len(dataset.split(split))} {split}" for split in SPLITS)
    title = f"{dataset.name}: {rows} rows{', on disk' if dataset.is_mapped else ''}"
    if dataset.schema is not None:
        columns = TableSchema.from_dict(dataset.schema).describe()
        return f"{title}\n{as_table(columns, most=most)}"
    kinds = Counter(str(variable.kind) for variable in dataset.variables)
    return f"{title} of {', '.join(f'{count} {kind}' for kind, count in kinds.items())} variables"
