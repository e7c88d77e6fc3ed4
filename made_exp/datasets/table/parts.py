"""Files of one table that write a column in different ways, so that together it holds texts."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from made_exp.datasets.table.cells import MISSING, Cells
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.quantities import UNDECIDED

# So many files are looked at, and so many cells of each.
_MOST, _LOOKED_AT = 100, 1000


def written_apart(cells: Cells, column: Column) -> list[str]:
    """Texts that are numbers or dates in each file for itself; the first file that differs."""
    raw = cells.raw
    if len(raw.origin.sources) == 1 or raw.values.dtype != pl.String:
        return []
    if column.decided not in UNDECIDED or column.kind == "constant":
        return []
    found = dict[tuple[str, ...], tuple[str, str]]()
    for source, texts in _by_file(cells):
        form = NumberFormat.of_texts(texts) or DateFormat.of_texts(texts)
        if form is None:
            return []
        found.setdefault(_way(form), (source, _example(texts)))
    if len(found) < 2:
        return []
    (first, one), (second, other) = list(found.values())[:2]
    return [
        f"read as texts, since {second} writes '{other}' where {first} writes '{one}': write the "
        "column alike in all files"
    ]


def _by_file(cells: Cells) -> Iterator[tuple[str, pl.Series]]:
    """The known texts of the first cells that each file has."""
    raw = cells.raw
    rows = np.arange(len(raw.values)) if raw.origin.rows is None else raw.origin.rows
    numbers = pl.Series(np.searchsorted(raw.origin.starts, rows, side="right") - 1)
    for number in numbers.unique(maintain_order=True)[:_MOST]:
        texts = raw.values.filter(numbers == number).head(_LOOKED_AT).str.strip_chars()
        if len(known := texts.filter(~texts.is_in(["", *MISSING]).fill_null(True))):
            yield raw.origin.sources[number], known


def _way(form: NumberFormat | DateFormat) -> tuple[str, ...]:
    return (form.pattern,) if isinstance(form, DateFormat) else (form.group, form.point)


def _example(texts: pl.Series) -> str:
    """The first text with a mark among its digits, if any has one."""
    marked = texts.filter(texts.str.contains(r"\d\D+\d"))
    return str(marked[0] if len(marked) else texts[0])
