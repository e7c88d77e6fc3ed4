"""Values that stand for no value more often than for themselves: -9999, 1900-01-01."""

import numpy as np
import polars as pl

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.fitting import bent
from made_exp.datasets.table.inference import MAX_FEW

# An atom so many deviations from the others may stand for something else.
_FAR = 3.0
_USUAL = r"^(?:-?9{2,}(?:[.,]9+)?|-1)(?:[.,]0*)?$"
_DATES = (
    "0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01",
    "2099-12-31", "2999-12-31", "9999-12-31",
)  # fmt: skip


def sentinels(cells: Cells, column: Numbers) -> list[str]:
    """Atoms far outside of everything else, or the only ones below zero."""
    assert column.variable is not None
    atoms = np.array(column.variable.atoms)
    if not len(atoms):
        return []
    is_far = np.abs(bent(atoms, column.variable.transform)) > _FAR
    texts = column.decode(atoms)
    if isinstance(column.format, DateFormat):
        days = column.format.moments(texts).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%d")
        return _said(texts.filter(pl.Series(is_far) & days.is_in(_DATES)))
    is_usual = texts.str.contains(_USUAL)
    if is_usual.any():
        values = column.format.parse(texts).cast(pl.Float64)
        is_far |= values.is_in(_alone_below_zero(column.numbers(cells))).to_numpy()
    return _said(texts.filter(is_usual & pl.Series(is_far)))


def _alone_below_zero(numbers: pl.Series) -> list[float]:
    """The value of numbers (N,), many of them different, that is the only one below zero."""
    different = numbers.drop_nulls().unique().cast(pl.Float64)
    below = different.filter(different < 0)
    return below.to_list() if len(below) == 1 and len(different) > MAX_FEW else []


def sentinels_among_few(column: Categories) -> list[str]:
    """Numbers that are categories, far outside of the others."""
    if column.numbers is None or column.variable is None:
        return []
    texts = pl.Series(column.variable.categories, dtype=pl.String)
    may_be = texts.str.contains(_USUAL).to_numpy()
    numbers = column.numbers[: len(texts)]
    numbers = numbers / (np.abs(numbers).max() or 1.0)  # squares of 1e300 are too large
    others = numbers[~may_be]
    if len(others) < 2:
        return []
    is_far = np.abs(numbers - others.mean()) > _FAR * others.std()
    return _said(texts.filter(pl.Series(may_be & is_far)))


def _said(texts: pl.Series) -> list[str]:
    return [
        f"'{text}' is far from all others and has a probability of its own; if it stands for no "
        f"value: 'dataset.missing_values=[\"{text}\"]'"
        for text in texts
    ]
