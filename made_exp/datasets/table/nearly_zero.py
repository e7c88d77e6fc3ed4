"""Numbers nearer to 0 than float64 counts in full: the processors that train take them for 0."""

import sys

import numpy as np
import polars as pl

from made_exp.datasets.table.cells import Cells

LEAST = sys.float_info.min
_FRACTION, _NO_SIGN = 2**52, 2**63 - 1
_HAS_DIGITS = r"^[^eE]*[1-9]"


def nearly_zero(cells: Cells) -> list[str]:
    """What is to be said of a column of numbers with some that are nearly 0."""
    if not (count := int(is_nearly_zero(cells.raw.values).sum())):
        return []
    cells_are = "1 cell is" if count == 1 else f"{count} cells are"
    return [f"{cells_are} nearer to 0 than {LEAST:.2g}, and count as 0: multiply the column"]


def is_nearly_zero(values: pl.Series) -> pl.Series:
    """Which numbers (N,), or texts of plain ones, are so small and not 0; by their bits."""
    if values.dtype == pl.Float64:
        bits = values.fill_null(0.0).to_numpy().view(np.int64) & _NO_SIGN
        return pl.Series((bits > 0) & (bits < _FRACTION))
    if values.dtype != pl.String or not values.str.contains_any(["e-3", "E-3"]).any():
        return pl.Series([False])
    numbers = values.str.strip_chars().cast(pl.Float64, strict=False)
    return ((numbers.abs() < LEAST) & values.str.contains(_HAS_DIGITS)).fill_null(False)


def flushed(numbers: pl.Series) -> pl.Series:
    """Numbers (N,) Float64, 0 where they are nearly 0."""
    return numbers.set((numbers.abs() < LEAST).fill_null(False), 0.0)
