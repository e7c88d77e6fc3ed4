"""Columns of a table that are given: the others are modelled given them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from made_exp.datasets.table.column import Column
from made_exp.datasets.table.raw import GivenTable
from made_exp.datasets.table.reading import setting
from made_exp.errors import did_you_mean


def check_context(names: Sequence[str], raw: GivenTable, wanted: Sequence[str]) -> None:
    """Raise ValueError unless `names` are some, and not all, of the columns that are wanted."""
    raw.check_names(names, "dataset.context")
    for name in names:
        if name not in wanted:
            hint = did_you_mean(name, [other for other in wanted if other not in names])
            raise ValueError(f"dataset.context: column '{name}' is left out of the table{hint}")
    if names and set(names) >= set(wanted):
        raise ValueError(
            f"dataset.context={list(names)} is every column of {raw.origin.source}: "
            "none is left to be modelled given them"
        )


def as_given(column: Column, values: np.ndarray | None) -> Column:
    """A column that is given: it has no probability, and a missing cell is one of its values.

    Args:
        column: As it would be modelled.
        values: (N,) its values in all rows, NaN where missing; None if it is kept aside.

    Raises:
        ValueError: If it says nothing of a row.
    """
    if column.variable is None or values is None:
        keep = f"; {setting('kinds', column.name, 'categorical')} keeps it"
        keep = keep if column.kind == "identifier" else ""
        raise ValueError(
            f"dataset.context: column '{column.name}' holds {column.kind} values, which say "
            f"nothing of a row{keep}"
        )
    variable = replace(
        column.variable,
        is_given=True,
        may_be_missing=bool(np.isnan(values).any()),
        echoes=(),
        echo_counts=(),
    )
    return replace(column, variable=variable)
