"""Rows of a dataset as people read them: the numbers of the user's file, the names of values."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.reporting.comparison import MAX_ROWS, Comparison, compare
from made_exp.reporting.fields import Field
from made_exp.variables.variable import Kind, Variable

_MAX_TOLD = 100  # columns and pairs in results.json


def is_table(dataset: Dataset) -> bool:
    """Whether columns and pairs say more of the data than a picture of them: no images."""
    return dataset.image_shape is None and not (dataset.is_discrete and dataset.num_dims <= 2)


def fields_of(dataset: Dataset) -> tuple[Field, ...]:
    """How the columns are read."""
    return tuple(_field(variable) for variable in dataset.variables)


def _field(variable: Variable) -> Field:
    names = variable.categories
    if names is None and variable.kind in (Kind.BINARY, Kind.CATEGORICAL):
        names = tuple(str(value) for value in range(variable.num_values or 2))
    return Field(variable.name, names)


def as_read(dataset: Dataset, x: Tensor) -> np.ndarray:
    """Values (n, D) of the variables as float64 numbers of the user's file, as they are written."""
    shown = x.double().cpu().numpy().copy()
    for d, column in enumerate((dataset.schema or {}).get("columns", ())):
        shown[:, d] += column["offset"]
        if dataset.variables[d].num_values is None and column["decimals"] >= 0:
            shown[:, d] = shown[:, d].round(column["decimals"])
    return shown


def some_rows(dataset: Dataset, most: int = MAX_ROWS) -> tuple[Tensor, Tensor | None]:
    """Rows (n, D) of train and valid in a fixed random order, and their class labels (n,)."""
    x = torch.cat([dataset.train, dataset.valid])
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:most]
    labels = [dataset.context(split) for split in ("train", "valid")]
    known = [label for label in labels if label is not None]
    return x[order], torch.cat(known)[order] if known else None


def compare_rows(dataset: Dataset, samples: Tensor) -> Comparison:
    """How far samples (m, D) are from the data."""
    real, _ = some_rows(dataset)
    return compare(as_read(dataset, real), as_read(dataset, samples), fields_of(dataset))


def told(comparison: Comparison) -> dict[str, Any]:
    """A comparison as results.json holds it, columns and pairs the worst first."""
    columns = sorted(comparison.columns, key=lambda record: -record["z"])
    return {"columns": columns[:_MAX_TOLD], "pairs": comparison.pairs[:_MAX_TOLD]}
