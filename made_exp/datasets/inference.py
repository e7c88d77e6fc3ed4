"""What each column of an array holds, decided from its numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import polars as pl

from made_exp.datasets.table.digits import Fineness, fineness
from made_exp.datasets.table.fitting import Limits, fit_numbers
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.tables import refuse_cells, row_blocks
from made_exp.variables.variable import Kind, Variable

# Whole numbers with at most this many values are categorical: in an array codes 0, 1, ... more
# often than amounts.
MAX_CODES = 256
MAX_VALUE = 2**50  # float64 counts exactly so far, and a margin beyond
# How numbers are written is read from so many of them.
_LOOKED_AT = 1000
_CELLS = 2**23  # of columns that are looked at together


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
            refuse_cells(
                lambda x: x < 0, table, f"'{name}' of {source}: integers must be 0 or more"
            )
    seen = [_Seen.of(table) for table in splits.values()]
    whole = all(one.is_whole for one in seen)
    largest = [int(max(one.largest[d] for one in seen)) for d in range(width)]
    is_binary = np.all([one.is_binary for one in seen], axis=0)
    kinds = [
        _kind(most) if whole or two else Kind.REAL
        for most, two in zip(largest, is_binary, strict=True)
    ]
    if whole and max(largest) > MAX_VALUE:
        d = next(d for d, most in enumerate(largest) if most > MAX_VALUE)
        raise ValueError(
            f"column {d} of {source} holds {largest[d]}; integers must be at most {MAX_VALUE}"
        )
    numeric = [d for d, kind in enumerate(kinds) if kind in (Kind.INTEGER, Kind.REAL)]
    limits = Limits.among(len(numeric))
    found = {
        d: Variable(f"x{d}", kind, None if kind is Kind.REAL else max(most + 1, 2))
        for d, (kind, most) in enumerate(zip(kinds, largest, strict=True))
        if d not in set(numeric)
    }
    for d, values in _columns(splits["train"], numeric):
        num_values = None if kinds[d] is Kind.REAL else largest[d] + 1
        found[d] = _of_numbers(f"x{d}", values, num_values, source, limits)
    return tuple(found[d] for d in range(width))


@final
@dataclass(frozen=True, eq=False)
class _Seen:
    """What one look at a table (N, D) says of its columns.

    Attributes:
        largest: (D,) their largest values.
        is_binary: (D,) whether they hold 0 and 1 alone.
        is_whole: Whether all cells hold whole numbers >= 0, and such as float64 counts.
    """

    largest: np.ndarray
    is_binary: np.ndarray
    is_whole: bool

    @classmethod
    def of(cls, table: np.ndarray) -> Self:
        is_float, is_whole = table.dtype.kind == "f", True
        largest, is_binary = table[0].copy(), np.ones(table.shape[1], bool)
        for _, block in row_blocks(table):
            np.maximum(largest, block.max(0), out=largest)
            if is_float:
                is_binary &= ((block == 0) | (block == 1)).all(0)
                whole = (block >= 0) & (block == np.floor(block)) & (block <= MAX_VALUE)
                is_whole = is_whole and bool(whole.all())
        return cls(largest, is_binary if is_float else largest <= 1, is_whole)


def _kind(largest: int) -> Kind:
    if largest <= 1:
        return Kind.BINARY
    return Kind.CATEGORICAL if largest < MAX_CODES else Kind.INTEGER


def _columns(table: np.ndarray, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Columns (N,) of a table by number, some of them together: it may be on disk."""
    step = max(_CELLS // len(table), 1)
    for start in range(0, len(numbers), step):
        own = list(numbers[start : start + step])
        found = np.empty((len(own), len(table)), table.dtype)
        for row, block in row_blocks(table):
            found[:, row : row + len(block)] = block[:, own].T
        yield from zip(own, found, strict=True)


def _of_numbers(
    name: str, train: np.ndarray, num_values: int | None, source: str, limits: Limits
) -> Variable:
    """A column of numbers (N,), of so many whole ones or real."""
    values = train.astype(np.float64)
    if num_values is None and values.min() == values.max():
        raise ValueError(
            f"column {name[1:]} of 'train' of {source} is constant ({values[0]:g}); drop it"
        )
    fine = Fineness(1.0)
    if num_values is None:
        fine = fineness(_written(train), values, single=_float_type(train) is np.float32)
    fit = fit_numbers(values, fine=fine, limits=limits)
    kind = Kind.REAL if num_values is None else Kind.INTEGER
    return Variable(name, kind, num_values, **fine._asdict(), **vars(fit))


def _written(train: np.ndarray) -> NumberFormat:
    """How the numbers (N,) would be written."""
    some = pl.Series(train[:: max(len(train) // _LOOKED_AT, 1)].astype(_float_type(train)))
    return NumberFormat.of_texts(some.cast(pl.String)) or NumberFormat(style="shortest")


def _float_type(train: np.ndarray) -> type:
    return np.float32 if train.dtype.itemsize <= 4 and train.dtype.kind == "f" else np.float64
