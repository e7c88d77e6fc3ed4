"""Rows that were drawn, written as the table of the run is, around what was given."""

from pathlib import Path

import numpy as np
import polars as pl
from torch import Tensor

from made_exp.datasets.table.columns import Column
from made_exp.datasets.table.libraries import filled
from made_exp.datasets.table.raw import RawTable
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.sources import format_of
from made_exp.datasets.table.stored import as_type
from made_exp.datasets.table.writing import free_name, typed_column, write_frame

_NUMBERS = ("row", "completion")


def write_drawn(path: Path, schema: TableSchema, x: Tensor) -> None:
    """Write x (N, D) with the columns of the table; the ending of `path` says how."""
    frame = schema.decode(x.double().numpy())
    pairs = zip(schema.columns, frame.get_columns(), strict=True)
    write_frame(path, pl.DataFrame([_stored(path, c, t) for c, t in pairs]), schema.delimiter)


def write_completed(
    path: Path, schema: TableSchema, x: Tensor, given: RawTable | None, count: int
) -> None:
    """Write completed rows, every cell that was given as it was given.

    Several completions of a row follow each other, numbered by two more columns, from 0.

    Args:
        path: Its ending says how.
        schema: Of the table.
        x: (N count, D), `count` completions of each row.
        given: The N rows as they were given; None where they are no table's.
        count: How many completions of each row there are.
    """
    drawn = schema.decode(x.double().numpy())
    rows = np.arange(len(x) // count).repeat(count)
    columns = []
    for column in schema.columns:
        texts = _stored(path, column, drawn[column.name])
        if given is not None and column.name in given.names:
            own = given.column(column.name)
            texts = _around(texts, own.values[rows], own.stored, column)
        columns.append(texts)
    if count > 1:
        numbers = rows, np.tile(np.arange(count), len(x) // count)
        names = [free_name(name, schema.names) for name in _NUMBERS]
        columns = [*map(pl.Series, names, numbers), *columns]
    write_frame(path, pl.DataFrame(columns), schema.delimiter)


def _stored(path: Path, column: Column, texts: pl.Series) -> pl.Series:
    """The texts of a column for a file of text, and their values for one of types."""
    return texts if format_of(path) == "text" else typed_column(column, texts)


def _around(drawn: pl.Series, given: pl.Series, stored: pl.DataType, column: Column) -> pl.Series:
    """What was given, and what was drawn where nothing was, in the type that it was stored in."""
    is_given = given.is_not_null()
    if given.dtype == pl.String:
        stripped = given.str.strip_chars()
        is_given &= ~stripped.is_in(["", *column.missing]).fill_null(False)
    if drawn.dtype == pl.String:
        return given.cast(pl.String).zip_with(is_given, drawn).alias(drawn.name)
    if given.dtype == pl.String:
        given = typed_column(column, given.str.strip_chars())
    if not is_given.all():
        given = filled(given, is_given.to_numpy(), drawn.filter(~is_given))
    return (as_type(given, stored) if stored.is_numeric() else given).alias(drawn.name)
