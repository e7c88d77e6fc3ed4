"""From arrays in a user's file to checked columns, kinds of variables and splits."""

import numpy as np
import torch
from torch import Tensor

from made_exp.variables.variable import Kind, Variable

MAX_CATEGORIES = 256
MAX_LEVELS = 2**24  # float32 counts exactly up to here


def check_table(array: np.ndarray, what: str) -> np.ndarray:
    """Check that `array` is a table of finite numbers.

    Args:
        array: What was read, any shape and dtype.
        what: How messages call it, e.g. "'train' of data.npz".

    Returns:
        The table (N, D), N >= 1, D >= 1; booleans become uint8.

    Raises:
        ValueError: With the first bad row and column.
    """
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{what} has dtype {array.dtype}; integers, floats or booleans are needed")
    if array.ndim != 2:
        raise ValueError(f"{what} has shape {array.shape}; a table (rows, variables) is needed")
    if array.size == 0:
        raise ValueError(f"{what} is empty: shape {array.shape}")
    if array.dtype.kind == "f":
        _refuse(~np.isfinite(array), array, f"{what} must hold finite numbers")
    return array


def _refuse(bad: np.ndarray, array: np.ndarray, message: str) -> None:
    """Raise ValueError for the first True of `bad` (N, D), naming row, column and value."""
    if bad.any():
        row, column = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise ValueError(f"{message}: row {row}, column {column} is {array[row, column]}")


def infer_variables(splits: dict[str, np.ndarray], source: str) -> tuple[Variable, ...]:
    """Decide what each column is, from its values in all splits.

    Columns of 0 and 1 are binary. Where every number in the table is a whole number >= 0, other
    columns with values 0..K-1 are categorical up to 256 values and integer beyond. In a table of
    other numbers they are real, standardised by the mean and deviation of the training split.

    Args:
        splits: Checked tables (N, D) by split name, "train" among them.
        source: How messages call the file.

    Raises:
        ValueError: If the splits differ in width, an integer is negative or a real column is
            constant in train; with row and column.
    """
    width = splits["train"].shape[1]
    for name, table in splits.items():
        if table.shape[1] != width:
            raise ValueError(
                f"'{name}' of {source} has {table.shape[1]} columns, 'train' has {width}"
            )
        if table.dtype.kind == "i":
            _refuse(table < 0, table, f"'{name}' of {source}: integers must be 0 or more")
    tables = list(splits.values())
    whole = all(
        t.dtype.kind != "f" or bool(((t >= 0) & (t == np.floor(t)) & (t <= MAX_LEVELS)).all())
        for t in tables
    )
    return tuple(
        _infer_variable([t[:, d] for t in tables], splits["train"][:, d], d, whole, source)
        for d in range(width)
    )


def _infer_variable(
    columns: list[np.ndarray], train: np.ndarray, d: int, whole: bool, source: str
) -> Variable:
    name = f"x{d}"
    if all(bool(((c == 0) | (c == 1)).all()) for c in columns):
        return Variable(name, Kind.BINARY, 2)
    if whole:
        num_values = int(max(c.max() for c in columns)) + 1
        if num_values > MAX_LEVELS:
            raise ValueError(
                f"column {d} of {source} holds {num_values - 1}; "
                f"integers must be below {MAX_LEVELS}"
            )
        kind = Kind.CATEGORICAL if num_values <= MAX_CATEGORIES else Kind.INTEGER
        return Variable(name, kind, num_values)
    shift, scale = float(train.mean(dtype=np.float64)), float(train.std(dtype=np.float64))
    if not scale > 0:
        raise ValueError(f"column {d} of 'train' of {source} is constant ({shift:g}); drop it")
    return Variable(name, Kind.REAL, shift=shift, scale=scale)


def to_tensor(table: np.ndarray, variables: tuple[Variable, ...]) -> Tensor:
    """The table (N, D) in the smallest dtype of the Dataset record that holds it exactly."""
    if any(v.num_values is None for v in variables) or (
        table.dtype.kind == "f" and bool(np.isnan(table).any())
    ):
        dtype: type = np.float32
    elif all(v.num_values is not None and v.num_values <= 256 for v in variables):
        dtype = np.uint8
    else:
        dtype = np.int64
    return torch.from_numpy(np.array(table, dtype=dtype, order="C"))


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
