"""Tables that are kept on disk as arrays and mapped into memory, for those that do not fit.

A table has a folder below `tables/` of the data folder: an array (rows, variables) for each split,
and what else is known of it as JSON. A folder is whole or absent, and made once.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import filelock
import numpy as np
import platformdirs
import torch
from torch import Tensor

from made_exp.datasets.arrays import Stored
from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.download import is_writable
from made_exp.errors import one_line
from made_exp.files import atomic_folder, remove_unfinished
from made_exp.memory import available_memory
from made_exp.variables.variable import Variable

_log = logging.getLogger(__name__)
_FOLDER, _RECORD = "tables", "table.json"
_FORMAT = 2  # raise it when what is kept changes: names hold it
COLUMN_MEMORY = 120
"""Bytes a row that it takes to understand a column of numbers: texts, values, places, order."""
# Of what the machine has, so much is left to training.
_SHARE = 0.6


def stays_on_disk(wanted: bool | None, needed: Callable[[], int]) -> bool:
    """Whether a table does: as it is wanted, or where the bytes it needs would not fit memory."""
    if wanted is not None:
        return wanted
    available = available_memory()
    return available is not None and needed() > _SHARE * available


@final
@dataclass(frozen=True)
class Kept:
    """What is kept of a table beside its rows; fields but the last have the names of `Dataset`'s.

    Attributes:
        places: Where the splits lie that stay in files of the user's.
    """

    name: str
    variables: tuple[Variable, ...]
    schema: dict[str, Any] | None = None
    notices: tuple[str, ...] = ()
    note: str = ""
    image_shape: tuple[int, int] | None = None
    num_classes: int = 0
    reading: int = 0
    places: dict[str, Stored] = field(default_factory=dict)

    def known(self) -> dict[str, Any]:
        """The fields of `Dataset`."""
        return {name: value for name, value in vars(self).items() if name != "places"}

    def to_json(self) -> str:
        """As text; floats exactly."""
        return json.dumps(asdict(self) | {"variables": [v.to_dict() for v in self.variables]})

    @classmethod
    def from_json(cls, text: str) -> "Kept":
        """The inverse of `to_json`."""
        content = json.loads(text)
        content["variables"] = tuple(map(Variable.from_dict, content["variables"]))
        content["notices"] = tuple(content["notices"])
        content["places"] = {split: Stored(**p) for split, p in content["places"].items()}
        content["image_shape"] = content["image_shape"] and tuple(content["image_shape"])
        return cls(**content)


def kept_table(
    data_dir: Path,
    files: Sequence[Path],
    meaning: Mapping[str, Any],
    make: Callable[[Path], Kept],
) -> Dataset:
    """The table of some files, whose rows are mapped from disk; made where it is not kept yet.

    Args:
        data_dir: It is kept below, or below the user's cache folder where this is read-only.
        files: Of the user's. Another size or time of writing makes them another table.
        meaning: Plain values that decide what is made of them.
        make: Writes the rows into a folder by `write_rows`, and returns what else is to be kept.

    Raises:
        ValueError: If there is no room, or what `make` raises.
    """
    place = _place(data_dir, files, meaning)
    place.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(place.with_name(f".{place.name}.lock")):
        try:
            if place.exists():
                return _mapped(place)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged (%s): made anew", place, one_line(error))
            _remove(place)
        remove_unfinished(place.parent, others_write=True)  # also of tables that are no more
        try:
            with atomic_folder(place) as folder:
                kept = make(folder)
                (folder / _RECORD).write_text(kept.to_json())
        except OSError as error:
            raise ValueError(
                f"dataset.streaming: the table cannot be kept in {place.parent}: "
                f"{error.strerror or error}; MADE_DATA_DIR names another folder"
            ) from error
        return replace(_mapped(place), reading=kept.reading)


def _place(data_dir: Path, files: Sequence[Path], meaning: Mapping[str, Any]) -> Path:
    states = [(str(file.resolve()), file.stat()) for file in files]
    known = [(path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for path, s in states]
    text = json.dumps([_FORMAT, version("made-exp"), known, meaning], sort_keys=True)
    name = f"{files[0].name.partition('.')[0]}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    return _folder(data_dir) / name


def _folder(data_dir: Path) -> Path:
    folder = data_dir / _FOLDER
    return folder if is_writable(folder) else platformdirs.user_cache_path("made-exp") / _FOLDER


def write_rows(
    file: Path, blocks: Iterable[np.ndarray], shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Write an array of this shape and dtype, block by block of its rows."""
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    with open(file, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for block in blocks:
            stream.write(np.ascontiguousarray(block, dtype).data)


def _mapped(place: Path) -> Dataset:
    kept = Kept.from_json((place / _RECORD).read_text())

    def array(name: str) -> Tensor:
        stored = kept.places.get(name, Stored(str(place / f"{name}.npy")))
        return torch.from_numpy(stored.mapped())

    labels = {split: array(f"{split}_labels") for split in SPLITS if kept.num_classes}
    splits = {split: array(split) for split in SPLITS}
    return Dataset.of_splits(
        x=splits, labels=labels, is_mapped=True, **kept.known() | {"reading": 0}
    )


def kept_tables(data_dir: Path) -> Iterator[tuple[Path, int]]:
    """The folder of each table that is kept, and its bytes."""
    for record in sorted(_folder(data_dir).glob(f"*/{_RECORD}")):
        yield record.parent, sum(file.stat().st_size for file in record.parent.iterdir())


def remove_table(place: Path) -> None:
    """Remove a table that is kept; runs that have it mapped go on."""
    _remove(place)
    with suppress(OSError):
        place.with_name(f".{place.name}.lock").unlink()


def _remove(place: Path) -> None:
    """Remove what was written there, and the folder unless something else is in it."""
    arrays = (f"{split}{what}.npy" for split in SPLITS for what in ("", "_labels"))
    for name in (_RECORD, *arrays):
        (place / name).unlink(missing_ok=True)
    with suppress(OSError):
        place.rmdir()
