"""What each column of an array holds, decided from its numbers."""

import numpy as np
import polars as pl

from made_exp.datasets.table.fitting import Limits, fit_numbers
from made_exp.datasets.table.making import last_digit
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.tables import refuse_cells
from made_exp.variables.variable import Kind, Variable

# Whole numbers with at most this many values are categorical: in an array codes 0, 1, ... more
# often than amounts.
MAX_CODES = 256
MAX_VALUE = 2**50  # float64 counts exactly so far, and a margin beyond
# How numbers are written is read from so many of them.
_LOOKED_AT = 1000


def infer_variables(splits: dict[str, np.ndarray], source: str) -> tuple[Variable, ...]:
    """Decide what each column holds, from the checked tables (N, D) of all splits by name.

    Columns of 0 and 1 are binary. Where every number in the table is a whole number >= 0, other
    columns are codes 0..K-1: categorical if there are few, else integer. In a table of other
    numbers they are real. How integer and real ones enter the model is found in train.

    Raises:
        ValueError: If the splits differ in width, an integer is negative or too large, or a real
            column is constant in train; with row and column.
    """
    width = splits["train"].shape[1]
    for name, table in splits.items():
        if table.shape[1] != width:
            raise ValueError(
                f"'{name}' of {source} has {table.shape[1]} columns, 'train' has {width}"
            )
        if table.dtype.kind == "i":
            refuse_cells(table < 0, table, f"'{name}' of {source}: integers must be 0 or more")
    tables = list(splits.values())
    whole = all(
        t.dtype.kind != "f" or bool(((t >= 0) & (t == np.floor(t)) & (t <= MAX_VALUE)).all())
        for t in tables
    )
    kinds = [_kind([t[:, d] for t in tables], whole) for d in range(width)]
    limits = Limits.among(sum(kind in (Kind.INTEGER, Kind.REAL) for kind in kinds))
    return tuple(
        _variable(kind, [t[:, d] for t in tables], splits["train"][:, d], d, source, limits)
        for d, kind in enumerate(kinds)
    )


def _kind(columns: list[np.ndarray], whole: bool) -> Kind:
    if not whole and not all(bool(((c == 0) | (c == 1)).all()) for c in columns):
        return Kind.REAL
    num_values = int(max(c.max() for c in columns)) + 1
    if num_values <= 2:
        return Kind.BINARY
    return Kind.CATEGORICAL if num_values <= MAX_CODES else Kind.INTEGER


def _variable(
    kind: Kind, columns: list[np.ndarray], train: np.ndarray, d: int, source: str, limits: Limits
) -> Variable:
    name, num_values = f"x{d}", None
    if kind is not Kind.REAL:
        largest = int(max(c.max() for c in columns))
        if largest > MAX_VALUE:
            raise ValueError(
                f"column {d} of {source} holds {largest}; integers must be at most {MAX_VALUE}"
            )
        num_values = max(largest + 1, 2)
    if kind in (Kind.BINARY, Kind.CATEGORICAL):
        return Variable(name, kind, num_values)
    values = train.astype(np.float64)
    if num_values is None and values.min() == values.max():
        raise ValueError(f"column {d} of 'train' of {source} is constant ({values[0]:g}); drop it")
    step = 1.0 if num_values is not None else last_digit(_written(train), values)
    fit = fit_numbers(values, step=step, limits=limits)
    return Variable(name, kind, num_values, resolution=step, **vars(fit))


def _written(train: np.ndarray) -> NumberFormat:
    """How the numbers (N,) would be written."""
    some = pl.Series(train[:: max(len(train) // _LOOKED_AT, 1)].astype(_float_type(train)))
    return NumberFormat.of_texts(some.cast(pl.String)) or NumberFormat(style="shortest")


def _float_type(train: np.ndarray) -> type:
    return np.float32 if train.dtype.itemsize <= 4 and train.dtype.kind == "f" else np.float64
