"""Which rows of a table are train, valid and test."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import polars as pl

from made_exp.datasets.base import SPLITS
from made_exp.datasets.registry import HELD_BACK
from made_exp.datasets.table.raw import GivenTable

_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "eval"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call the splits -> their names here."""
Rows = dict[str, np.ndarray]
"""Numbers of the rows of train, and of valid and test where there are such, rising."""


@final
@dataclass(frozen=True)
class SplitChoice:
    """How rows are shared out that neither a file nor a column gives to a split.

    Attributes:
        valid_fraction: Share of the rows, in [0, 1); of what is not test where there are folds. 0
            for none: valid has a tenth of them, and train these too.
        test_fraction: Share of the rows, in [0, 1); 0 for none.
        folds: Test is one of so many equal parts of the rows; 0 to take `test_fraction`.
        fold: Which of them, from 0.
        seed: The same seed gives the same splits, for all folds the same parts.
    """

    valid_fraction: float
    test_fraction: float
    folds: int = 0
    fold: int = 0
    seed: int = 0


def share_out(given: Mapping[str, np.ndarray], choice: SplitChoice, source: str) -> Rows:
    """The splits that are given, and the others cut at random from the rows of train.

    Args:
        given: Numbers of the rows by split; "train" has those that are to be shared out.
        choice: How.
        source: How messages call the table.

    Raises:
        ValueError: If a split that is wanted gets no row.
    """
    order = np.random.RandomState(choice.seed).permutation(given["train"])
    rows = {split: np.sort(numbers) for split, numbers in given.items() if split != "train"}
    num_rows = len(order)
    if "test" not in rows and choice.folds:
        if choice.folds > num_rows:
            raise ValueError(f"{source}: too few rows ({num_rows}) for {choice.folds} folds")
        bounds = np.linspace(0, num_rows, choice.folds + 1).round().astype(int)
        start, end = bounds[choice.fold : choice.fold + 2]
        rows["test"] = np.sort(order[start:end])
        order = np.concatenate([order[:start], order[end:]])
        num_rows = len(order)
    start, kept_back = 0, choice.valid_fraction or HELD_BACK
    for split, fraction in (("valid", kept_back), ("test", choice.test_fraction)):
        if split not in rows and fraction:
            size = max(1, round(fraction * num_rows))
            rows[split] = np.sort(order[start : start + size])
            start += size
    if start >= len(order):
        raise ValueError(
            f"{source}: too few rows ({num_rows}) for the splits train, {', '.join(rows)}"
        )
    if "valid" in given or choice.valid_fraction:
        rows["train"] = np.sort(order[start:])
    else:
        rows["train"] = np.sort(np.concatenate([order[start:], rows["valid"]]))
    return {split: rows[split] for split in SPLITS if split in rows}


def rows_of_files(raw: GivenTable, counts: Mapping[str, int]) -> Rows:
    """The rows of each split of a table read from so many files for each, one after the other."""
    starts, rows, first = [*raw.origin.starts, len(raw)], {}, 0
    for split, count in counts.items():
        if count:
            rows[split] = np.arange(starts[first], starts[first + count])
            first += count
    return rows


def rows_by_column(raw: GivenTable, name: str) -> Rows:
    """The rows of each split as a column names them.

    Raises:
        ValueError: If there is no such column, or it holds what is no split; with the row.
    """
    raw.check_names([name], "dataset.split_column")
    column = raw.column(name)
    column.check_type()
    words = column.values.cast(pl.String).str.strip_chars().str.to_lowercase()
    splits = words.replace_strict(_NAMES, default=None, return_dtype=pl.String)
    if splits.null_count():
        row = int(splits.is_null().arg_max() or 0)
        raise column.error(row, f"is no split; take one of {', '.join(_NAMES)}")
    rows = {split: (splits == split).arg_true().to_numpy().astype(np.int64) for split in SPLITS}
    if not len(rows["train"]):
        raise ValueError(f"dataset.split_column: column '{name}' says train of no row")
    return {split: numbers for split, numbers in rows.items() if len(numbers)}
