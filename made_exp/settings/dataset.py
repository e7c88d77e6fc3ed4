"""Options of the group `dataset`."""

from dataclasses import dataclass
from pathlib import Path

from made_exp.settings.base import MISSING, OptionSettings, setting
from made_exp.variables.variable import Kind

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
class FileSettings(DatasetSettings):
    """A dataset in a file of the user's."""

    path: str = setting(MISSING, f"the file, {_PLACE}")


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

    def _check(self) -> None:
        if Path(self.path).suffix.lower() != ".npz":
            raise ValueError(f"path must be a .npz file, got '{self.path}'")


@dataclass
class CsvSettings(FileSettings):
    """Your own table of mixed columns."""

    name: str = "csv"
    kinds: dict[str, str] = setting(
        {}, "column: binary, categorical, integer or real; other columns are guessed"
    )
    valid_fraction: float = setting(0.1, "part of the rows for validation", above=0, below=1)
    test_fraction: float = setting(0.1, "part of the rows for the test", above=0, below=1)
    delimiter: str = setting(",", "one character between columns")

    def _check(self) -> None:
        total = self.valid_fraction + self.test_fraction
        if total >= 1:
            raise ValueError(f"valid_fraction + test_fraction must be below 1, got {total}")
        if self.delimiter != "\\t" and (len(self.delimiter) != 1 or self.delimiter in '\r\n"'):
            raise ValueError(f"delimiter must be one character, got '{self.delimiter}'")
        allowed = [kind.value for kind in Kind if kind is not Kind.ORDINAL]
        for column, kind in self.kinds.items():
            if kind not in allowed:
                raise ValueError(f"kinds.{column}: '{kind}' is not one of {', '.join(allowed)}")
