"""Rows of files of valid and test alone: read as new rows are, by what the files of train say."""

from dataclasses import replace

import numpy as np
import polars as pl

from made_exp.datasets.table.cells import Cells, as_labels
from made_exp.datasets.table.column import Column, Say, saying
from made_exp.datasets.table.columns import Aside
from made_exp.datasets.table.raw import RawColumn


def with_later(
    column: Column, values: np.ndarray | None, later: RawColumn, said: list[str]
) -> tuple[Column, np.ndarray | None]:
    """A column and its values with those of further rows, and in `said` what train has not.

    Raises:
        ValueError: If a cell is no value of the column, with file and line.
    """
    hear = saying(said.append, RawColumn.place)
    cells = Cells.of(later)
    if isinstance(column, Aside):
        if column.kind == "constant":
            _say_others(column, cells, hear)
        return column, None
    found = column.encode(cells, hear)
    num_missing = column.num_missing + int(np.isnan(found).sum())
    assert values is not None
    return replace(column, num_missing=num_missing), np.concatenate([values, found])


def _say_others(column: Aside, cells: Cells, say: Say) -> None:
    """Say which cells do not hold what every row of train does."""
    only = as_labels(pl.Series([column.text], dtype=pl.String).str.strip_chars())[0]
    odd = as_labels(cells.known(column.missing)) != only
    if count := cells.count_rows(odd):
        say(cells.raw, cells.first_row(odd), count, "not the only value of train: set aside")
