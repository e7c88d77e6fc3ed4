"""A table of the user's as a dataset: files read, rows shared out, columns understood."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.raw import RawTable
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.sources import find_tables
from made_exp.datasets.table.splits import (
    Rows,
    SplitChoice,
    rows_by_column,
    rows_of_files,
    share_out,
)
from made_exp.datasets.table.text import TextStyle
from made_exp.datasets.tables import to_tensor

Paths = str | Sequence[str]


def load(
    *,
    seed: int,
    data_dir: Path,
    path: Paths,
    valid_path: Paths | None,
    test_path: Paths | None,
    split_column: str | None,
    delimiter: str,
    encoding: str,
    header: bool,
    **options: Any,
) -> Dataset:
    """Read a table from its files, as `settings.dataset.TableSettings` describes it.

    Args:
        seed: Decides which rows are valid and test where neither a file nor a column does.
        data_dir: Where relative paths are looked for when the current folder has nothing there.
        path: Files with the rows of train, and of what else is cut from them.
        valid_path: Files with those of valid.
        test_path: Files with those of test.
        split_column: The column that says what a row is for; it is not modelled.
        delimiter: Of text: one character, a backslash and t for a tab, or auto.
        encoding: Of text.
        header: Whether text begins with the names of the columns.
        **options: How rows are shared out, and what is known of the columns.

    Returns:
        The dataset, with its TableSchema as plain values in `schema`.

    Raises:
        ValueError: With file, line and column, if a file or a cell cannot be used.
    """
    style = TextStyle("\t" if delimiter == "\\t" else delimiter, encoding, header)
    given = {"train": path, "valid": valid_path, "test": test_path}
    files = {
        split: find_tables(
            paths, data_dir, f"dataset.{'' if split == 'train' else split + '_'}path"
        )
        for split, paths in given.items()
        if paths is not None
    }
    raw = read_tables([file for some in files.values() for file in some], style)
    rows = rows_of_files(raw, {split: len(some) for split, some in files.items()})
    if split_column is not None:
        rows = rows_by_column(raw, split_column)
        if "valid" not in rows and not options["valid_fraction"]:
            raise ValueError(
                f"dataset.split_column: column '{split_column}' says valid of no row, and "
                "valid_fraction=0: some are needed"
            )
        options["ignored"] = [split_column]
        raw = raw.select([name for name in raw.names if name != split_column])
    shares = ("valid_fraction", "test_fraction", "folds", "fold")
    choice = SplitChoice(**{key: options.pop(key) for key in shares}, seed=seed)
    rows = share_out(rows, choice, raw.origin.source)
    return _dataset(files["train"][0].name.partition(".")[0], raw, rows, **options)


def _dataset(name: str, raw: RawTable, rows: Rows, **options: Any) -> Dataset:
    fitted = fit_table(raw, rows, **options)
    variables = fitted.schema.variables
    x = to_tensor(fitted.x, variables)
    none = torch.zeros(0, dtype=torch.int64)
    return Dataset.of_splits(
        name,
        variables,
        {s: x[torch.from_numpy(rows[s]) if s in rows else none] for s in SPLITS},
        schema=fitted.schema.to_dict(),
        notices=fitted.suspicions,
        note="" if "test" in rows else "no test split",
    )
