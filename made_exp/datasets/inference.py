"""What each column of a user's table holds, decided from its texts."""

import re
from dataclasses import replace

import numpy as np

from made_exp.datasets.schema import NUMBER, WHOLE, Cells, Column, plain, read_numbers
from made_exp.variables.variable import Kind, Variable

MAX_CATEGORIES = 1000
# Whole numbers with at most this many different values get a free table of probabilities.
MAX_FEW_NUMBERS = 10
MAX_RANGE = 2**24  # float32 counts exactly up to here
_LEADING_ZERO = re.compile(r"[+-]?0\d+")  # a code such as 007, not a number


def infer_column(cells: Cells, kind: str | None = None) -> Column:
    """Decide what a column holds from all its texts.

    Two different texts are binary; whole numbers with few different values, and texts, are
    categorical; other whole numbers are integer and other numbers real.

    Args:
        cells: The column.
        kind: "binary", "categorical", "integer" or "real" to decide it beforehand.

    Raises:
        ValueError: If the column is constant or all missing, has too many categories, or a cell
            does not fit the kind; with line and column.
    """
    distinct = cells.distinct()
    if len(distinct) < 2:
        what = f"is constant ('{distinct[0]}')" if distinct else "has no value at all"
        raise ValueError(f"column '{cells.name}' of {cells.source} {what}; drop it")
    chosen = Kind(kind) if kind is not None else _infer_kind(cells, distinct)
    if chosen in (Kind.BINARY, Kind.CATEGORICAL):
        return _category_column(cells, distinct, chosen)
    if chosen is Kind.INTEGER:
        values = read_numbers(cells, WHOLE, "is not a whole number")
        low, high = int(np.nanmin(values)), int(np.nanmax(values))
        if high - low >= MAX_RANGE:
            raise ValueError(
                f"column '{cells.name}' of {cells.source} spans {low}..{high}, more than "
                f"{MAX_RANGE} whole numbers; set dataset.kinds.{cells.name}=real"
            )
        return Column(Variable(cells.name, Kind.INTEGER, high - low + 1), offset=low)
    read_numbers(cells, NUMBER, "is not a number")
    return Column(Variable(cells.name, Kind.REAL), decimals=_decimals(distinct))


def _infer_kind(cells: Cells, distinct: list[str]) -> Kind:
    if len(distinct) == 2:
        return Kind.BINARY
    numbers = [t for t in distinct if NUMBER.fullmatch(t) and not _LEADING_ZERO.fullmatch(t)]
    if len(numbers) < len(distinct):
        if len(distinct) > MAX_FEW_NUMBERS and len(numbers) > 0.9 * len(distinct):
            odd = next(t for t in distinct if t not in set(numbers))
            row = [plain(t) for t in cells.texts].index(odd)
            raise cells.error(
                row,
                "is not a number, as nearly all others are; correct it, leave it empty or set "
                f"dataset.kinds.{cells.name}=categorical",
            )
        return Kind.CATEGORICAL
    if all(WHOLE.fullmatch(t) for t in distinct):
        if len(distinct) <= MAX_FEW_NUMBERS:
            return Kind.CATEGORICAL
        values = [float(t) for t in distinct]
        return Kind.INTEGER if max(values) - min(values) < MAX_RANGE else Kind.REAL
    return Kind.REAL


def _category_column(cells: Cells, distinct: list[str], kind: Kind) -> Column:
    limit = 2 if kind is Kind.BINARY else MAX_CATEGORIES
    if len(distinct) > limit:
        raise ValueError(
            f"column '{cells.name}' of {cells.source} has {len(distinct)} different values in "
            f"{len(cells.texts)} rows; {kind} columns can have {limit}. Drop the column if it "
            "names the rows, or set its kind to integer or real"
        )
    if all(NUMBER.fullmatch(t) for t in distinct):
        distinct = sorted(distinct, key=float)
    else:
        distinct = sorted(distinct)
    return Column(Variable(cells.name, kind, len(distinct), categories=tuple(distinct)))


def standardised(column: Column, train: np.ndarray, source: str) -> Column:
    """The column with the mean and deviation of the training values (N,), where it is real.

    Raises:
        ValueError: If the training split has no value, or only one of a real column.
    """
    name, known = column.variable.name, train[~np.isnan(train)]
    if len(known) == 0:
        raise ValueError(f"column '{name}' of {source} has no value in the training split; drop it")
    if column.variable.num_values is not None:
        return column
    # As the model sees them: differences that float32 cannot hold are none.
    known = known.astype(np.float32).astype(np.float64)
    if not known.std() > 0:
        raise ValueError(f"column '{name}' of {source} is constant in the training split; drop it")
    variable = replace(column.variable, shift=float(known.mean()), scale=float(known.std()))
    return replace(column, variable=variable)


def _decimals(distinct: list[str]) -> int:
    """Most digits after the point; -1 where numbers are written with an exponent."""
    if any("e" in t.lower() for t in distinct):
        return -1
    return max(len(t.partition(".")[2]) for t in distinct)
