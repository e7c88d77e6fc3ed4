"""Columns that are not modelled, and how those of numbers go on in rows that are drawn."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from made_exp.datasets.table.cells import Cells, as_labels
from made_exp.datasets.table.columns import Aside
from made_exp.datasets.table.inference import MAX_SPAN
from made_exp.datasets.table.reading import Reading
from made_exp.datasets.table.spaces import labels_of, spelled


def set_aside(cells: Cells, reading: Reading, kept: Mapping[str, Any]) -> Aside:
    """A constant, an identifier or an empty column; `kept` is what all columns have."""
    text, next_number, width, found = None, None, 0, "none"
    known = cells.known(reading.missing)
    num_known = cells.count_rows(known.is_not_null())
    if reading.kind == "constant":
        text = spelled(cells, as_labels(known.drop_nulls()[:1]).to_list())[0]
        found = f"'{text}'"
    elif reading.kind == "identifier":
        labels = labels_of(cells, reading.missing, reading.own)
        found = f"{labels.drop_nulls().n_unique()}"
        next_number, width = _next(known.drop_nulls(), num_known)
    return Aside(
        **kept,
        variable=None,
        text=text,
        next_number=next_number,
        width=width,
        values=found,
        num_missing=len(cells) - num_known,
    )


def _next(known: pl.Series, num_known: int) -> tuple[int | None, int]:
    """With which number, of how many digits, texts (K,) of rows go on if all differ; else None."""
    numbers = known.cast(pl.Int64, strict=False)
    most = int(numbers.max() or 0)  # type: ignore[arg-type]
    if numbers.null_count() or most >= MAX_SPAN or numbers.n_unique() < num_known:
        return None, 0
    padded = known.filter(known.str.contains(r"^0\d"))
    return most + 1, int(padded.str.len_chars().max() or 0)  # type: ignore[arg-type]
