"""Options of the group `dataset`."""

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from made_exp.datasets.registry import DEBD_TABLES, KINDS
from made_exp.errors import did_you_mean
from made_exp.settings.base import MISSING, OptionSettings, setting

_STREAMING = "whether rows stay on disk, not in memory; null = where they would not fit"
_PLACE = "relative to the current folder or to MADE_DATA_DIR"


@dataclass
class DatasetSettings(OptionSettings):
    """A dataset without settings of its own; the base of those with."""


@dataclass
class LabelledSettings(DatasetSettings):
    """A dataset that has class labels."""

    context: str = setting("none", "labels = a class-conditional model", choices=("none", "labels"))


@dataclass
class ShapesSettings(LabelledSettings):
    """20 x 20 binary images of circles, squares, triangles and stars."""

    name: str = "shapes"


@dataclass
class MnistSettings(LabelledSettings):
    """28 x 28 images of digits, made binary."""

    name: str = "mnist"
    binarization: str = setting(
        "threshold",
        "of grey levels: at one half, one seeded draw, or a draw at each visit",
        choices=("threshold", "fixed", "dynamic"),
    )


@dataclass
class FashionMnistSettings(MnistSettings):
    """28 x 28 images of clothes, made binary."""

    name: str = "fashion_mnist"


@dataclass
class SmileySettings(DatasetSettings):
    """Pairs (row, column) drawn from the picture of a smiley."""

    name: str = "smiley"
    size: int = setting(25, "rows and columns", at_least=2)
    num_examples: int = setting(10000, "pairs drawn", at_least=10)
    original: bool = setting(False, "the published smiley.jpg (downloaded), not our own")


@dataclass
class HintonSettings(DatasetSettings):
    """Pairs (row, column) drawn from a photograph (downloaded)."""

    name: str = "hinton"
    size: int = setting(200, "rows and columns", at_least=2)
    num_examples: int = setting(100000, "pairs drawn", at_least=10)


@dataclass
class DebdSettings(DatasetSettings):
    """One of the twenty binary tables that density estimators are compared on (downloaded)."""

    name: str = "debd"
    table: str = setting(
        MISSING, "which; all with -m 'dataset.table=glob(*)'", choices=[*DEBD_TABLES]
    )


@dataclass
class FileSettings(DatasetSettings):
    """A dataset in a file of the user's."""

    path: str = setting(MISSING, f"the file, {_PLACE}")


@dataclass
class OutsideSettings(DatasetSettings):
    """A dataset that an entry point of another package brings."""

    arguments: dict[str, Any] = setting({}, "settings of its own, handed to its loader by keyword")


@dataclass
class PythonSettings(OutsideSettings):
    """A dataset of yours that a function returns."""

    name: str = "python"
    loader: str = setting(MISSING, "FILE.py:FUNCTION or MODULE:FUNCTION; it returns a Dataset")

    def _check(self) -> None:
        place, _, function = self.loader.rpartition(":")
        if not place or not function.isidentifier():
            raise ValueError(
                f"loader must be FILE.py:FUNCTION or MODULE:FUNCTION, got '{self.loader}'"
            )


@dataclass
class Image2dSettings(FileSettings):
    """Pairs (row, column) drawn from any picture."""

    name: str = "image_2d"
    size: int = setting(100, "rows and columns after resizing", at_least=2)
    num_examples: int = setting(100000, "pairs drawn", at_least=10)


@dataclass
class NpzSettings(FileSettings, LabelledSettings):
    """Your own table: arrays train, optionally valid, test, their labels and image_shape."""

    name: str = "npz"
    path: str = setting(MISSING, f".npz, .npy (train), or a folder of .npy files, {_PLACE}")
    streaming: bool | None = setting(None, _STREAMING)

    def _check(self) -> None:
        if Path(self.path).suffix.lower() not in ("", ".npz", ".npy"):
            raise ValueError(
                f"path must be a .npz file, a .npy file or a folder of these, got '{self.path}'"
            )


@dataclass
class TableSettings(DatasetSettings):
    """Your own table of mixed columns: CSV, TSV, Parquet, Feather, .gz, .zst, folders, patterns."""

    name: str = "table"
    path: Any = setting(MISSING, f"file, folder, pattern or list of files, {_PLACE}")
    kinds: dict[str, str] = setting({}, f"column: {' '.join(KINDS)}; others are found")
    drop: list[str] = setting([], "columns to leave out")
    columns: list[str] = setting([], "columns to keep; [] = all")
    context: list[str] = setting([], "columns that are given; the others are modelled given these")
    missing: str = setting(
        "ignore", "cells: left out of the likelihood, or values", choices=("ignore", "model")
    )
    missing_values: list[str] | None = setting(
        None, "texts that stand for no value; null = NA and the like, in numbers and dates"
    )
    valid_path: Any = setting(None, "files of the rows for validation; null = cut from path")
    test_path: Any = setting(None, "files of the rows for the test; null = cut from path")
    split_column: str | None = setting(None, "a column that says train, valid or test of each row")
    valid_fraction: float = setting(
        0.1, "part of the rows for validation; 0 = train on all", at_least=0, below=1
    )
    test_fraction: float = setting(
        0.1, "part of the rows for the test; 0 = none", at_least=0, below=1
    )
    folds: int = setting(0, "equal parts of which one is the test; 0 = test_fraction", at_least=0)
    fold: int = setting(0, "which of them, from 0; with -m: dataset.fold=range(K)", at_least=0)
    delimiter: str = setting("auto", "one character between columns; auto = found")
    encoding: str = setting("auto", "of text, such as cp1252; auto = UTF-8, or UTF-16 by its mark")
    header: bool = setting(True, "whether the first line of text names the columns")
    streaming: bool | None = setting(None, _STREAMING)

    def _check(self) -> None:
        for key in ("path", "valid_path", "test_path"):
            _check_paths(key, getattr(self, key))
        self._check_splits()
        if self.delimiter not in ("auto", "\\t") and (
            len(self.delimiter) != 1 or self.delimiter in '\r\n"'
        ):
            raise ValueError(f"delimiter must be one character or auto, got '{self.delimiter}'")
        if self.encoding != "auto":
            _check_encoding(self.encoding)
        for column, kind in self.kinds.items():
            if kind not in KINDS:
                hint = did_you_mean(str(kind), KINDS)
                raise ValueError(f"kinds.{column}: '{kind}' is not one of {', '.join(KINDS)}{hint}")

    @property
    def trains_on_all(self) -> bool:
        """Whether no rows are kept for validation."""
        return not (self.valid_fraction or self.valid_path or self.split_column)

    def _check_splits(self) -> None:
        total = self.valid_fraction + self.test_fraction
        if total >= 1:
            raise ValueError(f"valid_fraction + test_fraction must be below 1, got {total}")
        rivals = [key for key in ("split_column", "test_path", "valid_path") if getattr(self, key)]
        if self.split_column and len(rivals) > 1:
            raise ValueError(f"split_column and {rivals[1]} both say what a row is for; take one")
        if not self.folds and self.fold:
            raise ValueError(f"fold={self.fold} needs folds=K")
        if self.folds:
            if self.folds == 1 or self.fold >= self.folds:
                raise ValueError(
                    f"fold must be below folds, and folds at least 2, got fold={self.fold}, "
                    f"folds={self.folds}"
                )
            if rival := next((key for key in rivals if key != "valid_path"), None):
                raise ValueError(f"folds and {rival} both say which rows are the test; take one")


@dataclass
class CsvSettings(TableSettings):
    """The same as table."""

    name: str = "csv"


def _check_paths(key: str, value: Any) -> None:
    if value is None and key != "path":
        return
    paths = value if isinstance(value, list) else [value]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise ValueError(
            f"{key} must be a file, a folder, a pattern or a list of such, got {value}"
        )


def _check_encoding(name: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(
            f"encoding: '{name}' is not known; utf-8, cp1252, latin-1, utf-16, gb18030, "
            "shift_jis, ... are"
        ) from None
