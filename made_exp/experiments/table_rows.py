"""Rows of a dataset as people read them: the numbers of the user's file, the names of values."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.table.columns import column_from_dict
from made_exp.datasets.table.dates import DateFormat
from made_exp.reporting.comparison import MAX_ROWS, Comparison, compare
from made_exp.reporting.fields import Field
from made_exp.variables.variable import Kind, Variable

_DAY = 86400 * 10**6  # in microseconds
_MAX_TOLD = 100  # columns and pairs in results.json
_MAX_CELLS = 2 * 10**7  # of samples, and of rows, that are compared: 0.2 GB


def is_table(dataset: Dataset) -> bool:
    """Whether columns and pairs say more of the data than a picture of them: no images."""
    if dataset.schema is not None:
        return True
    is_small = dataset.is_discrete and dataset.num_dims <= 2 and not dataset.given
    return dataset.image_shape is None and not is_small


def fields_of(dataset: Dataset) -> tuple[Field, ...]:
    """How the columns are read."""
    columns = _columns(dataset)
    return tuple(_field(variable, columns.get(variable.name, {})) for variable in dataset.variables)


def _columns(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """The columns of the user's file by name; none of other data."""
    return {column["name"]: column for column in (dataset.schema or {}).get("columns", ())}


def _field(variable: Variable, column: Mapping[str, Any]) -> Field:
    names = variable.categories
    if names is None and variable.kind in (Kind.BINARY, Kind.CATEGORICAL):
        names = tuple(str(value) for value in range(variable.num_values or 2))
    if names is not None and _has_rare(variable):
        names = (*names[: _first_rare(variable)], f"{len(variable.pooled) - 1} rare ones")
    bend = variable.transform.bend
    dates = _date_format(column)
    return Field(
        variable.name,
        names,
        is_date=dates is not None,
        is_quarter=dates is not None and dates.unit == "quarters",
        is_missing_a_value=variable.may_be_missing,
        bend=None if bend is None else bend * column.get("step", 1),
    )


def _has_rare(variable: Variable) -> bool:
    return len(variable.pooled) > 1


def _first_rare(variable: Variable) -> int:
    """The first value of those that are modelled together."""
    return (variable.num_values or 2) - len(variable.pooled)


def _date_format(column: Mapping[str, Any]) -> DateFormat | None:
    """How a column of dates or times is written; None of others."""
    form = dict(column.get("format", {}))
    return DateFormat(**form) if form.pop("name", None) == "date" else None


def as_read(dataset: Dataset, x: Tensor) -> np.ndarray:
    """Values (n, D) as float64 numbers of the user's file, rounded as they are written there.

    Dates are days since 1970; categories stay 0..K-1, but rare ones become one with those never
    seen: train has none of these, samples their share.
    """
    shown, columns = x.double().cpu().numpy().copy(), _columns(dataset)
    for d, variable in enumerate(dataset.variables):
        if variable.is_number and variable.name in columns:
            shown[:, d] = _numbers(shown[:, d], variable, columns[variable.name])
        elif _has_rare(variable):
            shown[:, d] = np.minimum(shown[:, d], _first_rare(variable))
    return shown


def _numbers(x: np.ndarray, variable: Variable, column: Mapping[str, Any]) -> np.ndarray:
    if "grid" in column:
        x = column_from_dict(column).on_grid(x)
    if not variable.is_real:
        units = x * column.get("step", 1) + column["offset"]
        form = _date_format(column)
        return units / 10 ** column["decimals"] if form is None else _days(units, form)
    form = column.get("format", column)
    if form.get("style", "fixed") == "fixed" and form["decimals"] >= 0:
        x = x.round(form["decimals"])
    low, high = column.get("low"), column.get("high")
    return np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)


def _days(units: np.ndarray, form: DateFormat) -> np.ndarray:
    """Days (n,) since 1970 at which units (n,) begin, NaN where missing."""
    counted = pl.Series(units.round(), nan_to_null=True).cast(pl.Int64)
    moments = form.start_of(counted).cast(pl.Float64).fill_null(np.nan).to_numpy()
    return moments / _DAY


def num_compared(dataset: Dataset) -> int:
    """How many samples are compared with so many rows at most: 5000, fewer of wide tables."""
    return min(MAX_ROWS, max(_MAX_CELLS // dataset.num_dims, 2))


def some_rows(dataset: Dataset) -> tuple[Tensor, Tensor | None]:
    """Rows (n, D) of train and valid in a fixed random order, and their class labels (n,)."""
    count = len(dataset.train) + len(dataset.valid)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    order = order[: num_compared(dataset)]
    labels = [dataset.context(split) for split in ("train", "valid")]
    known = [label for label in labels if label is not None]
    return _rows_at(order, dataset.train, dataset.valid), _rows_at(order, *known) if known else None


def _rows_at(order: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Rows (n, ...) of two tensors, the second's after the first's, without both as one."""
    is_second = order >= len(first)
    rows = first[order.where(~is_second, 0)]
    rows[is_second] = second[order[is_second] - len(first)]
    return rows


def compare_rows(dataset: Dataset, samples: Tensor) -> Comparison:
    """How far samples (m, D) are from the data."""
    real, _ = some_rows(dataset)
    return compare(as_read(dataset, real), as_read(dataset, samples), fields_of(dataset))


def told(comparison: Comparison) -> dict[str, Any]:
    """A comparison as results.json holds it, columns and pairs the worst first."""
    columns = sorted(comparison.columns, key=lambda record: -record["z"])
    return {"columns": columns[:_MAX_TOLD], "pairs": comparison.pairs[:_MAX_TOLD]}
