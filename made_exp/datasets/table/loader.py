"""A table of the user's as a dataset: files read, rows shared out, columns understood."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.storage import COLUMN_MEMORY, Kept, kept_table, stays_on_disk, write_rows
from made_exp.datasets.table.choosing import Chosen
from made_exp.datasets.table.empty_parts import find_parts
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.raw import GivenTable
from made_exp.datasets.table.room import needed_memory
from made_exp.datasets.table.schema import FittedTable, fit_table
from made_exp.datasets.table.splits import (
    Rows,
    SplitChoice,
    rows_by_column,
    rows_of_files,
    share_out,
)
from made_exp.datasets.table.staging import StagedTable
from made_exp.datasets.table.text import TextStyle
from made_exp.datasets.tables import blocks_of, dtype_of, gathered

Paths = str | Sequence[str]
_log = logging.getLogger(__name__)


def load(
    *,
    seed: int,
    data_dir: Path,
    path: Paths,
    valid_path: Paths | None,
    test_path: Paths | None,
    delimiter: str,
    encoding: str,
    header: bool,
    streaming: bool | None = None,
    **options: Any,
) -> Dataset:
    """Read a table from its files, as `settings.dataset.TableSettings` describes it.

    Args:
        seed: Decides which rows are valid and test where neither a file nor a column does.
        data_dir: Where relative paths are looked for when the current folder has nothing there.
        path: Files with the rows of train, and of what else is cut from them.
        valid_path: Files with those of valid.
        test_path: Files with those of test.
        delimiter: Of text: one character, a backslash and t for a tab, or auto.
        encoding: Of text.
        header: Whether text begins with the names of the columns.
        streaming: Whether the rows stay on disk; None: where they would not fit memory.
        **options: How rows are shared out, and what is known of the columns.

    Returns:
        The dataset, with its TableSchema as plain values in `schema`.

    Raises:
        ValueError: With file, line and column, if a file or a cell cannot be used.
    """
    style = TextStyle("\t" if delimiter == "\\t" else delimiter, encoding, header, empty_rows=False)
    given = {"train": path, "valid": valid_path, "test": test_path}
    files = {
        split: find_parts(
            paths,
            data_dir,
            f"dataset.{'' if split == 'train' else split + '_'}path",
            header=header,
        )
        for split, paths in given.items()
        if paths is not None
    }
    every = [file for some in files.values() for file in some]
    counts = {split: len(some) for split, some in files.items()}
    chosen = Chosen(options["columns"], options["drop"], besides=[options["split_column"]])
    name = files["train"][0].name.partition(".")[0]
    if not stays_on_disk(streaming, partial(needed_memory, every)):
        fitted, rows = _fit(read_tables(every, style, chosen), counts, seed=seed, **options)
        return _dataset(name, fitted, rows)

    def make(folder: Path) -> Kept:
        _log.info("%s stays on disk: its rows are read once, into %s", name, folder.parent)
        staged = folder / "staged"
        staged.mkdir()
        raw, keep = StagedTable(every, style, staged, chosen), _Columns(staged)
        fitted, rows = _fit(raw, counts, seed=seed, **options, keep=keep)
        kept = _write(name, folder, fitted, rows)
        shutil.rmtree(staged)
        return kept

    meaning = {"style": asdict(style), "counts": counts, "seed": seed, **options}
    return kept_table(data_dir, every, meaning, make)


@final
class _Columns:
    """Keeps columns in files of a folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The values (N,), from their file."""
        file = self._folder / f"{self._count}.npy"
        self._count += 1
        write_rows(file, [values], values.shape, values.dtype)
        return np.load(file, mmap_mode="r")


def _fit(
    raw: GivenTable,
    counts: Mapping[str, int],
    *,
    seed: int,
    split_column: str | None,
    valid_fraction: float,
    test_fraction: float,
    folds: int,
    fold: int,
    **options: Any,
) -> tuple[FittedTable, Rows]:
    """The table, understood, and the rows of each split; it is of so many files for each."""
    rows = rows_of_files(raw, counts)
    num_first = len(rows["train"])
    if split_column is not None:
        rows = rows_by_column(raw, split_column)
        if "valid" not in rows and not valid_fraction:
            raise ValueError(
                f"dataset.split_column: column '{split_column}' says valid of no row, and "
                "valid_fraction=0: some are needed"
            )
        options["ignored"] = [split_column]
        raw = raw.select([name for name in raw.names if name != split_column])
    choice = SplitChoice(valid_fraction, test_fraction, folds, fold, seed)
    rows = share_out(rows, choice, raw.origin.source)
    return fit_table(raw, rows, num_first=num_first, **options), rows


def _dataset(name: str, fitted: FittedTable, rows: Rows) -> Dataset:
    none, dtype = np.zeros(0, np.int64), _dtype(fitted)
    return Dataset.of_splits(
        name,
        fitted.schema.variables,
        {split: gathered(fitted.values, rows.get(split, none), dtype) for split in SPLITS},
        schema=fitted.schema.to_dict(),
        notices=fitted.suspicions,
        note=_note(rows),
    )


def _write(name: str, folder: Path, fitted: FittedTable, rows: Rows) -> Kept:
    none, dtype, variables = np.zeros(0, np.int64), _dtype(fitted), fitted.schema.variables
    for split in SPLITS:
        own = rows.get(split, none)
        blocks = blocks_of(fitted.values, own, dtype)
        write_rows(folder / f"{split}.npy", blocks, (len(own), len(variables)), dtype)
    return Kept(
        name,
        variables,
        fitted.schema.to_dict(),
        notices=fitted.suspicions,
        note=_note(rows),
        reading=COLUMN_MEMORY * len(fitted.values[0]),
    )


def _note(rows: Rows) -> str:
    return "" if "test" in rows else "no test split"


def _dtype(fitted: FittedTable) -> np.dtype:
    has_missing = any(bool(np.isnan(column).any()) for column in fitted.values)
    return dtype_of(fitted.schema.variables, has_missing=has_missing)
