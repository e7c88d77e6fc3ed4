"""Texts that were taken for missing though nobody said so: where they are given, they stay."""

from collections.abc import Sequence

import numpy as np

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.column import Column, warn_of_place
from made_exp.datasets.table.raw import RawColumn, RawTable

_KEPT = "taken as missing, and kept as given: only dataset.missing_values in train has such drawn"


def guessed_rows(column: Column, given: RawColumn) -> np.ndarray:
    """(N,) in which rows such a text of a column stands."""
    if not column.guessed:
        return np.zeros(len(given.values), bool)
    return Cells.of(given).rows_of(column.guessed).to_numpy()


def say_guessed(columns: Sequence[Column], raw: RawTable) -> None:
    """Warn of such texts in rows that are completed."""
    for column in columns:
        if not column.guessed or column.name not in raw.names:
            continue
        given = raw.column(column.name)
        rows = np.flatnonzero(guessed_rows(column, given))
        if len(rows):
            warn_of_place(given, int(rows[0]), len(rows), _KEPT)
