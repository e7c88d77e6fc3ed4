"""Rows that were drawn, written as the table of the run is, around what was given."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from torch import Tensor

from made_exp.datasets.table.columns import Column
from made_exp.datasets.table.libraries import library_named
from made_exp.datasets.table.raw import RawTable
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.sources import format_of
from made_exp.datasets.table.writing import as_texts, free_name, typed_column, write_frame
from made_exp.density.completing import Gaps, is_there
from made_exp.density.likeness import Likeness
from made_exp.experiments.given import Given

_NUMBERS = ("row", "completion")


def write_drawn(path: Path, schema: TableSchema, x: Tensor, like: str = "") -> None:
    """Write x (N, D) with the columns of the table; the ending of `path` says how.

    Ends of lines, a byte-order mark and types are as in the file `like`, if it is of that kind.
    """
    frame = schema.decode(x.double().numpy())
    pairs = zip(schema.columns, frame.get_columns(), strict=True)
    columns = pl.DataFrame([_stored(path, column, texts) for column, texts in pairs])
    write_frame(path, columns, schema.delimiter, like=like)


def write_completed(
    path: Path, schema: TableSchema, drawn: Tensor, given: Given, count: int
) -> None:
    """Write completed rows: all columns and cells that were given as they were given.

    Columns of the table that were not given stand behind those that they follow there. Several
    completions of a row follow each other, numbered by two more columns before all others, from 0.

    Args:
        path: Its ending says how.
        schema: Of the table.
        drawn: (N count, D), `count` completions of each row.
        given: The N count rows as they were given.
        count: How many completions of each row there are.
    """
    frame = _completed(path, schema, drawn, given)
    if count > 1:
        numbers = np.divmod(np.arange(len(drawn)), count)
        names = [free_name(name, frame.columns) for name in _NUMBERS]
        frame = pl.DataFrame([*map(pl.Series, names, numbers), *frame])
    if given.table is None:
        return write_frame(path, frame, schema.delimiter)
    delimiter = given.table.delimiter or schema.delimiter
    origin = given.table.origin
    write_frame(path, frame, delimiter, origin.renamed, like=origin.sources[0])


def _completed(path: Path, schema: TableSchema, drawn: Tensor, given: Given) -> pl.DataFrame:
    """The rows that were given, and what they lack: texts for a file of text, else of types."""
    x = drawn.double().numpy()
    if given.table is None or given.frame is None:
        whole = np.where(given.known.numpy(), x, schema.on_grids(x))
        pairs = zip(schema.columns, schema.decode(whole), strict=True)
        return pl.DataFrame([_stored(path, column, texts) for column, texts in pairs])
    raw, frame, is_text = given.table, given.frame, format_of(path) == "text"
    was_typed, kinds = raw.origin.is_typed, dict[str, pl.DataType]()
    if is_text and was_typed:
        frame = frame.select(map(as_texts, frame))
        raw = RawTable.of_frame(frame, raw.origin)
    if is_text or not was_typed:
        kinds = dict.fromkeys(schema.names, pl.String())
    gaps = Gaps(schema, x, is_there(given.x, given.known).numpy(), Likeness(stored=kinds))
    frame = gaps.filled(library_named("polars"), frame, raw)
    frame = frame.select(_order(raw.names, schema.names))
    return frame if is_text or was_typed else _typed(schema, frame)


def _order(given: Sequence[str], names: Sequence[str]) -> list[str]:
    """The columns that were given, and behind what they follow in the table those that lack."""
    order, place = list(given), 0
    for name in names:
        if name not in order:
            order.insert(place, name)
        place = order.index(name) + 1
    return order


def _typed(schema: TableSchema, frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of the table, as they were written, with the types of all their values."""
    columns = []
    for column in schema.columns:
        texts = frame[column.name]
        values = typed_column(column, texts.str.strip_chars())
        is_typed = values.dtype != pl.String and values.null_count() == texts.null_count()
        columns.append(values if is_typed else texts)
    return frame.with_columns(columns)


def _stored(path: Path, column: Column, texts: pl.Series) -> pl.Series:
    """The texts of a column for a file of text, and their values for one of types."""
    return texts if format_of(path) == "text" else typed_column(column, texts)
