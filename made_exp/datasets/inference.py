"""What each column of a user's table holds, decided from its texts or its numbers."""

import re
from dataclasses import replace

import numpy as np

from made_exp.datasets.schema import NUMBER, WHOLE, Cells, Column, plain, read_numbers
from made_exp.datasets.tables import refuse_cells
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable

MAX_CATEGORIES = 1000  # of texts
# Whole numbers with at most this many values are categorical: in text they are amounts more often
# than codes, in an array codes 0, 1, ... more often than amounts.
MAX_FEW_NUMBERS, MAX_CODES = 10, 256
MAX_RANGE = 2**24  # float32 counts exactly up to here
_LEADING_ZERO = re.compile(r"[+-]?0\d+")  # a code such as 007, not a number


def kind_of_whole(num_values: int, span: float, most_categories: int) -> Kind:
    """Kind of a column of whole numbers: by its number of values, or its largest less smallest."""
    if num_values == 2:
        return Kind.BINARY
    if num_values <= most_categories:
        return Kind.CATEGORICAL
    return Kind.INTEGER if span < MAX_RANGE else Kind.REAL


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
        values = [float(t) for t in distinct]
        return kind_of_whole(len(distinct), max(values) - min(values), MAX_FEW_NUMBERS)
    return Kind.REAL


def _category_column(cells: Cells, distinct: list[str], kind: Kind) -> Column:
    limit = 2 if kind is Kind.BINARY else MAX_CATEGORIES
    if len(distinct) > limit:
        raise ValueError(
            f"column '{cells.name}' of {cells.source} has {len(distinct)} different values in "
            f"{len(cells.texts)} rows; {kind} columns can have {limit}. Drop the column if it "
            "names the rows, or set its kind to integer or real"
        )
    are_numbers = all(NUMBER.fullmatch(t) for t in distinct)
    distinct = sorted(distinct, key=float if are_numbers else None)
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
    transform = Transform(shift=float(known.mean()), scale=float(known.std()))
    return replace(column, variable=replace(column.variable, transform=transform))


def _decimals(distinct: list[str]) -> int:
    """Most digits after the point; -1 where numbers are written with an exponent."""
    if any("e" in t.lower() for t in distinct):
        return -1
    return max(len(t.partition(".")[2]) for t in distinct)


def infer_variables(splits: dict[str, np.ndarray], source: str) -> tuple[Variable, ...]:
    """Decide what each column holds, from the checked tables (N, D) of all splits by name.

    Columns of 0 and 1 are binary. Where every number in the table is a whole number >= 0, other
    columns are codes 0..K-1: categorical if there are few, else integer. In a table of other
    numbers they are real, standardised by the mean and deviation of the training split.

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
        t.dtype.kind != "f" or bool(((t >= 0) & (t == np.floor(t)) & (t <= MAX_RANGE)).all())
        for t in tables
    )
    return tuple(
        _infer_variable([t[:, d] for t in tables], splits["train"][:, d], d, whole, source)
        for d in range(width)
    )


def _infer_variable(
    columns: list[np.ndarray], train: np.ndarray, d: int, whole: bool, source: str
) -> Variable:
    if whole or all(bool(((c == 0) | (c == 1)).all()) for c in columns):
        largest = int(max(c.max() for c in columns))
        kind = kind_of_whole(max(largest + 1, 2), largest, MAX_CODES)
        if kind is Kind.REAL:
            raise ValueError(
                f"column {d} of {source} holds {largest}; integers must be below {MAX_RANGE}"
            )
        return Variable(f"x{d}", kind, max(largest + 1, 2))
    shift, scale = float(train.mean(dtype=np.float64)), float(train.std(dtype=np.float64))
    if not scale > 0:
        raise ValueError(f"column {d} of 'train' of {source} is constant ({shift:g}); drop it")
    return Variable(f"x{d}", Kind.REAL, transform=Transform(shift=shift, scale=scale))
