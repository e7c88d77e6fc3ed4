"""Numbers of new rows that are plain where those of train have a dress, such as $ or %."""

import polars as pl

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.column import Say
from made_exp.datasets.table.notations import NOTATIONS
from made_exp.datasets.table.numbers import NumberFormat, as_numbers
from made_exp.datasets.table.signs import with_minus


def plain_numbers(form: NumberFormat, texts: pl.Series) -> pl.Series:
    """Numbers (K,) of plain texts (K,) in the units of the format, null where a text is none.

    Where a comma begins the decimals only digits are plain: 13.800 may be as many thousands.
    """
    if not form.describe():
        return pl.Series([None] * len(texts), dtype=pl.Int64)
    texts = with_minus(texts)
    pattern = r"\d+" if form.point == "," else NOTATIONS["", "."]
    is_plain = texts.str.contains(rf"^[+-]?(?:{pattern})$").fill_null(False)
    return as_numbers(texts.set(~is_plain, None))


def read_plainly(cells: Cells, form: NumberFormat, texts: pl.Series, say: Say) -> pl.Series:
    """Numbers (N,) of those of the texts (K,) of the cells that are plain; they are said."""
    numbers = plain_numbers(form, texts)
    if (found := numbers.is_not_null()).any():
        what = f"written plainly: read as {form.describe()}"
        say(cells.raw, cells.first_row(found), cells.count_rows(found), what)
    return cells.spread(numbers)


def either(first: pl.Series, second: pl.Series) -> pl.Series:
    """Numbers (N,) of the one or else of the other, of which one is null everywhere."""
    if first.dtype != second.dtype:
        first, second = first.cast(pl.Float64), second.cast(pl.Float64)
    return first.zip_with(first.is_not_null(), second)
