"""From arrays in a user's file to checked tables, tensors and splits."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from made_exp.variables.variable import MAX_CODE, Variable

_MOST_NAMED = 5
_BLOCK, _CELLS = 2**14, 2**22  # rows, and cells, that are looked at together


def unmasked(array: np.ndarray) -> np.ndarray:
    """Numbers (N, D) as they are; where some are masked, floats with NaN in their place."""
    if not isinstance(array, np.ma.MaskedArray) or not np.ma.is_masked(array):
        return array
    return np.where(np.ma.getmaskarray(array), np.nan, array.data)


def check_table(array: np.ndarray, what: str) -> np.ndarray:
    """The table (N, D) that `array` is, N and D >= 1; booleans become uint8.

    Raises:
        ValueError: With the first bad row and column.
    """
    if not isinstance(array, np.ndarray):  # a file in an archive that is none of numpy's
        raise ValueError(f"{what} is damaged: it is no array")
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{what} has dtype {array.dtype}; integers, floats or booleans are needed")
    if array.ndim != 2:
        raise ValueError(f"{what} has shape {array.shape}; a table (rows, variables) is needed")
    if array.size == 0:
        raise ValueError(f"{what} is empty: shape {array.shape}")
    if array.dtype.kind == "f":
        refuse_cells(lambda x: ~np.isfinite(x), array, f"{what} must hold finite numbers")
    return array


def refuse_cells(
    are_bad: Callable[[np.ndarray], np.ndarray], array: np.ndarray, message: str
) -> None:
    """Raise ValueError for the first cell of (N, D) that is bad, naming row, column and value."""
    for start, block in row_blocks(array):
        if (bad := are_bad(block)).any():
            row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
            value = block[row, column]
            raise ValueError(f"{message}: row {start + row}, column {column} is {value}")


def to_tensor(table: np.ndarray, variables: tuple[Variable, ...]) -> Tensor:
    """The table (N, D) in the smallest dtype of the Dataset record that holds it exactly."""
    has_missing = table.dtype.kind == "f" and bool(np.isnan(table).any())
    return torch.from_numpy(as_dtype(table, dtype_of(variables, has_missing=has_missing)))


def as_dtype(table: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A copy of a table (N, D), row by row."""
    return np.array(table, dtype=dtype, order="C")


def row_blocks(
    table: np.ndarray, rows: np.ndarray | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """The table (N, D), or those rows (n,) of it by number, in blocks: the first's place, block."""
    count, step = len(table if rows is None else rows), _rows_at_once(table.shape[1])
    for start in range(0, count, step):
        own = slice(start, start + step)
        yield start, table[own if rows is None else rows[own]]


def _rows_at_once(num_dims: int) -> int:
    return max(min(_CELLS // num_dims, _BLOCK), 1)


def dtype_of(variables: Sequence[Variable], *, has_missing: bool) -> np.dtype:
    """The smallest dtype of the Dataset record that holds values of the variables exactly."""
    has_wide = any((v.num_values or math.inf) > MAX_CODE for v in variables)
    if has_wide or has_missing:
        return np.dtype(np.float64)
    is_small = all(v.num_values is not None and v.num_values <= 256 for v in variables)
    return np.dtype(np.uint8 if is_small else np.int64)


def blocks_of(
    columns: Sequence[np.ndarray], rows: np.ndarray, dtype: np.dtype
) -> Iterator[np.ndarray]:
    """The rows (n,), by number, of columns (N,), in blocks (b, D)."""
    step = _rows_at_once(len(columns))
    for start in range(0, len(rows), step):
        own = rows[start : start + step]
        yield np.stack([column[own].astype(dtype) for column in columns], 1)


def gathered(columns: Sequence[np.ndarray], rows: np.ndarray, dtype: np.dtype) -> Tensor:
    """The rows (n,), by number, of columns (N,), as a table (n, D)."""
    table, start = np.empty((len(rows), len(columns)), dtype), 0
    for block in blocks_of(columns, rows, dtype):
        table[start : start + len(block)] = block
        start += len(block)
    return torch.from_numpy(table)


def constant_columns(
    train: np.ndarray, variables: Sequence[Variable], rows: np.ndarray | None = None
) -> tuple[str, ...]:
    """A notice of the columns that are the same in every row of train (N, D), if there are any.

    With `rows` (n,) of these alone.
    """
    first = train[0 if rows is None else rows[0]]
    is_same = np.ones(len(variables), bool)
    for _, block in row_blocks(train, rows):
        is_same &= (block == first).all(0)
        if not is_same.any():
            break
    same = np.flatnonzero(is_same).tolist()
    if not same:
        return ()
    named = ", ".join(variables[d].name for d in same[:_MOST_NAMED])
    more = f" and {len(same) - _MOST_NAMED} more" if len(same) > _MOST_NAMED else ""
    return (
        f"{len(same)} of {len(variables)} columns have one value in all of train: {named}{more}; "
        "they are modelled as the others",
    )


def split_rows(num_rows: int, fractions: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """Cut rows 0..num_rows-1 into seeded random splits.

    Args:
        num_rows: How many rows there are.
        fractions: Share of each split beside "train", in (0, 1); each gets at least one row.
        seed: The same seed gives the same splits.

    Returns:
        Sorted row numbers by split name; "train" has what is left.

    Raises:
        ValueError: If no row is left for "train".
    """
    order = np.random.RandomState(seed).permutation(num_rows)
    splits, start = {}, 0
    for name, fraction in fractions.items():
        size = max(1, round(fraction * num_rows))
        splits[name] = np.sort(order[start : start + size])
        start += size
    if start >= num_rows:
        raise ValueError(
            f"{num_rows} rows are too few for the splits train, {', '.join(fractions)}"
        )
    return {"train": np.sort(order[start:]), **splits}
