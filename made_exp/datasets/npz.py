"""Tables in arrays of NumPy: the user's own, and the files that are published in this form."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.arrays import (
    Stored,
    files_of,
    mapped_arrays,
    needed_memory,
    read_arrays,
    stored_arrays,
)
from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.inference import infer_variables
from made_exp.datasets.registry import find_arrays
from made_exp.datasets.storage import COLUMN_MEMORY, Kept, kept_table, stays_on_disk, write_rows
from made_exp.datasets.tables import (
    as_dtype,
    check_table,
    constant_columns,
    dtype_of,
    row_blocks,
    split_rows,
)
from made_exp.variables.variable import Variable

DEFAULT_FRACTION = 0.1
_log = logging.getLogger(__name__)


def load(
    *, seed: int, data_dir: Path, path: str, context: str, streaming: bool | None = None
) -> Dataset:
    """A table of the user's: `train`, optionally `valid`, `test`, `image_shape` and labels.

    A `test` without rows stands for no test.

    Args:
        seed: Cuts missing splits out of train, a tenth of its rows each.
        data_dir: Where a relative `path` is looked for when the current folder has none.
        path: An .npz file, a folder of .npy files with the names of its arrays, or one .npy file,
            which is train. Arrays are (rows, variables); `NAME_data` is accepted for `NAME`, and
            `NAME_labels` (rows,) are class labels 0..C-1.
        context: "labels" to condition on the labels, "none" to leave them.
        streaming: Whether the rows stay on disk; None: where they would not fit memory.

    Raises:
        ValueError: If a file or an array in it cannot be used, with the first bad row and column.
    """
    place = find_arrays(path, data_dir)
    if not stays_on_disk(streaming, partial(needed_memory, place)):
        table = _understood(place, read_arrays(place), seed, context)
        x = {split: torch.from_numpy(table.rows_of(split)) for split in SPLITS}
        return Dataset.of_splits(x=x, labels=table.labels, **table.kept().known() | {"reading": 0})

    def make(folder: Path) -> Kept:
        staged = folder / "staged"
        staged.mkdir()
        stored = stored_arrays(place, staged)
        table = _understood(place, mapped_arrays(place, stored), seed, context)
        kept = _write(folder, table, stored)
        shutil.rmtree(staged)
        return kept

    return kept_table(data_dir, files_of(place), {"seed": seed, "context": context}, make)


@final
@dataclass(frozen=True, eq=False)
class _Table:
    """Arrays that were understood.

    Attributes:
        name: Of the table.
        variables: Of its D columns.
        tables: (N, D) by split, checked; not of a test that is to have no rows.
        rows: Which rows of train the splits are that are cut from it.
        labels: (N,) int64 by split, or nothing.
        image_shape: See `Dataset`.
    """

    name: str
    variables: tuple[Variable, ...]
    tables: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    labels: dict[str, Tensor]
    image_shape: tuple[int, int] | None

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the Dataset record."""
        return dtype_of(self.variables, has_missing=False)

    def rows_of(self, split: str) -> np.ndarray:
        """A split (n, D), as the Dataset record has it."""
        table, rows = self.tables.get(split), self.rows.get(split)
        if table is None:
            return np.zeros((0, len(self.variables)), np.uint8)
        return as_dtype(table if rows is None else table[rows], self.dtype)

    def kept(self, stored: Mapping[str, Stored] | None = None) -> Kept:
        """All but the rows."""
        train, rows = self.tables["train"], self.rows.get("train")
        notices = () if self.image_shape else constant_columns(train, self.variables, rows)
        return Kept(
            self.name,
            self.variables,
            notices=notices,
            image_shape=self.image_shape,
            num_classes=max((int(y.max()) + 1 for y in self.labels.values() if len(y)), default=0),
            reading=0 if self.dtype == np.uint8 else COLUMN_MEMORY * len(train),
            places=dict(stored or {}),
        )


def _understood(place: Path, arrays: Mapping[str, np.ndarray], seed: int, context: str) -> _Table:
    tables = {
        split: check_table(arrays[split], f"'{split}' of {place}")
        for split in SPLITS
        if split in arrays and not _is_none(split, arrays)
    }
    if "train" not in tables:
        known = ", ".join(arrays) or "nothing that is known (train, valid, test)"
        raise ValueError(f"{place} has no array 'train'; it has {known}")
    variables = infer_variables(tables, str(place))
    labels = _labels(arrays, tables, place) if context == "labels" else {}
    missing, rows = [split for split in SPLITS if split not in arrays], {}
    if missing:
        rows = split_rows(len(tables["train"]), dict.fromkeys(missing, DEFAULT_FRACTION), seed)
        labels |= {s: labels["train"][torch.from_numpy(r)] for s, r in rows.items() if labels}
        tables |= dict.fromkeys(rows, tables["train"])
    if labels:
        labels.setdefault("test", torch.zeros(0, dtype=torch.int64))
    shape = _image_shape(arrays, len(variables), place)
    return _Table(place.stem, variables, tables, rows, labels, shape)


def _write(folder: Path, table: _Table, stored: Mapping[str, Stored]) -> Kept:
    """Write the splits that cannot stay where they are, and the labels."""
    places = {}
    for split in SPLITS:
        own, rows = table.tables.get(split), table.rows.get(split)
        if own is not None and rows is None and _can_stay(own, stored[split], folder, table.dtype):
            places[split] = stored[split]
            continue
        file = folder / f"{split}.npy"
        if own is None:
            write_rows(file, (), (0, len(table.variables)), np.dtype(np.uint8))
            continue
        _log.info("%s stays on disk: its %s rows are written into %s", table.name, split, folder)
        blocks = (block for _, block in row_blocks(own, rows))
        count = len(own) if rows is None else len(rows)
        write_rows(file, blocks, (count, len(table.variables)), table.dtype)
    for split, labels in table.labels.items():
        own = labels.numpy()
        write_rows(folder / f"{split}_labels.npy", [own], own.shape, own.dtype)
    return table.kept(places)


def _can_stay(own: np.ndarray, stored: Stored, folder: Path, dtype: np.dtype) -> bool:
    """Whether an array can be mapped where it lies, as the Dataset record has it."""
    is_users = not Path(stored.file).is_relative_to(folder.resolve())
    return is_users and own.dtype == dtype and own.flags.c_contiguous and own.flags.aligned


def _is_none(split: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether this split is to have no rows."""
    return split == "test" and arrays["test"].ndim == 2 and not len(arrays["test"])


def _labels(
    arrays: Mapping[str, np.ndarray], tables: dict[str, np.ndarray], file: Path
) -> dict[str, Tensor]:
    labels = {}
    for split, table in tables.items():
        y = arrays.get(f"{split}_labels")
        if y is None:
            raise ValueError(f"context=labels, but {file} has no array '{split}_labels'")
        if y.shape != (len(table),) or y.dtype.kind not in "iu" or int(y.min()) < 0:
            raise ValueError(
                f"'{split}_labels' of {file} must be {len(table)} integers of 0 or more, "
                f"got shape {y.shape}, dtype {y.dtype}"
            )
        labels[split] = torch.from_numpy(y.astype(np.int64))
    return labels


def _image_shape(
    arrays: Mapping[str, np.ndarray], num_dims: int, file: Path
) -> tuple[int, int] | None:
    if "image_shape" not in arrays:
        return None
    shape = arrays["image_shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or int(shape.prod()) != num_dims:
        raise ValueError(
            f"'image_shape' of {file} must be 2 integers with product {num_dims}, "
            f"got {shape.tolist()}"
        )
    return int(shape[0]), int(shape[1])
