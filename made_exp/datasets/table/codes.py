"""Codes that look like numbers: 207a among 207 and 208, and 1.10 beside 1.1 of versions."""

import polars as pl

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat

# So many different texts can be versions, where each stands in so many rows on average.
_MOST, _REPEATS = 100, 2
# What is left of 1.10 without the zeros at its end; whole numbers are often written as 3 and 3.0.
_STEM = r"^([+-]?\d*[.,]\d*[1-9])0*$"


def why_codes(cells: Cells, form: Format, numbers: pl.Series, odd: pl.Series) -> str | None:
    """Why a column is one of codes, though it can be read as (K,) numbers; None if it is not.

    Args:
        cells: The column.
        form: How its numbers are written.
        numbers: What its texts are worth.
        odd: Which of its texts are no numbers.
    """
    if odd.any() and _are_numbered(cells.texts.filter(odd), numbers.drop_nulls()):
        return f"nearly all are numbers, but '{cells.texts.filter(odd)[0]}' is a code: texts"
    if (pair := same_but_zeros(cells, form)) and _are_few(cells) and _repeat(cells):
        return f"'{pair[0]}' and '{pair[1]}' are taken as different, as of versions: texts"
    return None


def same_but_zeros(cells: Cells, form: Format) -> tuple[str, str] | None:
    """Two texts that differ by zeros at their end, where decimals are not of one number."""
    if not isinstance(form, NumberFormat) or form.style != "fixed":
        return None
    if form.min_decimals == form.decimals or form.prefix or form.suffix or form.group:
        return None
    texts = cells.texts.drop_nulls().unique(maintain_order=True)
    stems = texts.str.extract(_STEM)
    again = stems.is_duplicated() & stems.is_not_null()
    if not again.any():
        return None
    found = texts.filter(stems == stems.filter(again)[0])
    return str(found[0]), str(found[1])


def maybe_codes(cells: Cells, form: Format) -> tuple[str, str] | None:
    """Two such texts of a column that was read as numbers, unless it has very many others."""
    return same_but_zeros(cells, form) if _are_few(cells) or _repeat(cells) else None


def _are_numbered(odd: pl.Series, known: pl.Series) -> bool:
    """Whether whole numbers and a few such as 207a name something."""
    whole = known.dtype.is_integer() or bool((known == known.floor()).all())
    return whole and bool(odd.str.contains(r"^(?:\d+[A-Za-z]+|[A-Za-z]+\d+)$").all())


def _are_few(cells: Cells) -> bool:
    return cells.texts.drop_nulls().n_unique() <= _MOST


def _repeat(cells: Cells) -> bool:
    """Whether texts stand in several rows, on average."""
    num_rows = cells.count_rows(cells.texts.is_not_null())
    return num_rows >= _REPEATS * cells.texts.drop_nulls().n_unique()
