"""Tables in a NumPy .npz file: the user's own, and the files that are published in this form."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.inference import infer_variables
from made_exp.datasets.registry import find_file
from made_exp.datasets.tables import check_table, constant_columns, split_rows, to_tensor
from made_exp.errors import one_line

DEFAULT_FRACTION = 0.1


def load(*, seed: int, data_dir: Path, path: str, context: str) -> Dataset:
    """A table of the user's: `train`, optionally `valid`, `test`, `image_shape` and labels.

    A `test` without rows stands for no test.

    Args:
        seed: Cuts missing splits out of train, a tenth of its rows each.
        data_dir: Where a relative `path` is looked for when the current folder has none.
        path: The file. Its arrays are (rows, variables); `NAME_data` is accepted for `NAME`,
            and `NAME_labels` (rows,) are class labels 0..C-1.
        context: "labels" to condition on the labels, "none" to leave them.

    Raises:
        ValueError: If the file or an array in it cannot be used, with the first bad row and column.
    """
    file = find_file(path, data_dir)
    arrays = read_arrays(file)
    tables = {
        split: check_table(arrays[split], f"'{split}' of {file}")
        for split in SPLITS
        if split in arrays and not _is_none(split, arrays)
    }
    if "train" not in tables:
        known = ", ".join(arrays) or "nothing that is known (train, valid, test)"
        raise ValueError(f"{file} has no array 'train'; it has {known}")
    variables = infer_variables(tables, str(file))
    labels = _labels(arrays, tables, file) if context == "labels" else {}
    missing = [split for split in SPLITS if split not in arrays]
    if missing:
        rows = split_rows(len(tables["train"]), dict.fromkeys(missing, DEFAULT_FRACTION), seed)
        labels |= {s: labels["train"][torch.from_numpy(r)] for s, r in rows.items() if labels}
        tables |= {s: tables["train"][r] for s, r in rows.items()}
    none = torch.zeros(0, len(variables), dtype=torch.uint8)
    x = {split: to_tensor(table, variables) for split, table in tables.items()}
    image_shape = _image_shape(arrays, len(variables), file)
    return Dataset.of_splits(
        file.stem,
        variables,
        {"test": none, **x},
        labels,
        image_shape=image_shape,
        notices=() if image_shape else constant_columns(x["train"], variables),
        num_classes=max((int(y.max()) + 1 for y in labels.values()), default=0),
    )


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file that concern a dataset, with `_data` taken off their names.

    Raises:
        ValueError: If the file is not a whole .npz file, or holds pickled objects, which are
            never opened.
    """
    wanted = {*SPLITS, "image_shape", *(f"{split}_labels" for split in SPLITS)}
    arrays: dict[str, np.ndarray] = {}
    try:
        with warnings.catch_warnings(), open(file, "rb") as stream:
            warnings.simplefilter("ignore")  # "created on Python 2"
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array; save it as np.savez(path, train=array)")
            with archive:
                for key in archive.files:
                    name = key.removesuffix("_data")
                    if name in wanted:
                        arrays[name] = archive[key]
    except Exception as error:  # what a damaged file makes of its reader
        raise ValueError(f"cannot read {file} as .npz: {one_line(error)}") from error
    return arrays


def _is_none(split: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether this split is to have no rows."""
    return split == "test" and arrays["test"].ndim == 2 and not len(arrays["test"])


def _labels(
    arrays: dict[str, np.ndarray], tables: dict[str, np.ndarray], file: Path
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
    arrays: dict[str, np.ndarray], num_dims: int, file: Path
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
