"""Options of the group `dataset`."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from omegaconf import MISSING

from made_exp.settings.base import DatasetSettings
from made_exp.settings.ranges import above, at_least, fraction
from made_exp.variables.variable import Kind


class Context(StrEnum):
    """What the model is told beside x."""

    none = "none"
    labels = "labels"


class Binarization(StrEnum):
    """How grey levels become 0 or 1."""

    threshold = "threshold"
    fixed = "fixed"
    dynamic = "dynamic"


@dataclass
class PlainSettings(DatasetSettings):
    """A dataset without settings: gaussian_1d, bimodal_1d, binarized_mnist and the vectors."""


@dataclass
class ShapesSettings(DatasetSettings):
    """20 x 20 binary images of circles, squares, triangles and stars.

    Attributes:
        context: labels = a class-conditional model of the four shapes.
    """

    name: str = "shapes"
    context: Context = Context.none


@dataclass
class MnistSettings(DatasetSettings):
    """28 x 28 images of MNIST or Fashion-MNIST, made binary.

    Attributes:
        binarization: threshold = grey level above one half; fixed = one seeded draw with the grey
            level as probability; dynamic = drawn afresh at each visit in training.
        context: labels = a class-conditional model.
    """

    name: str = "mnist"
    binarization: Binarization = Binarization.threshold
    context: Context = Context.none


@dataclass
class SmileySettings(DatasetSettings):
    """Pairs (row, column) drawn from the picture of a smiley.

    Attributes:
        size: Rows and columns of the picture, >= 2.
        num_examples: Pairs drawn, >= 10.
        original: True = the published smiley.jpg (downloaded); False = drawn here.
    """

    name: str = "smiley"
    size: int = 25
    num_examples: int = 10000
    original: bool = False

    def _check(self) -> None:
        at_least(self, 2, "size")
        at_least(self, 10, "num_examples")


@dataclass
class HintonSettings(DatasetSettings):
    """Pairs (row, column) drawn from a photograph (downloaded).

    Attributes:
        size: Rows and columns of the picture, >= 2.
        num_examples: Pairs drawn, >= 10.
    """

    name: str = "hinton"
    size: int = 200
    num_examples: int = 100000

    def _check(self) -> None:
        at_least(self, 2, "size")
        at_least(self, 10, "num_examples")


@dataclass
class Image2dSettings(DatasetSettings):
    """Pairs (row, column) drawn from any picture.

    Attributes:
        path: The picture.
        size: Rows and columns after resizing, >= 2.
        num_examples: Pairs drawn, >= 10.
    """

    name: str = "image_2d"
    path: str = MISSING
    size: int = 100
    num_examples: int = 100000

    def _check(self) -> None:
        at_least(self, 2, "size")
        at_least(self, 10, "num_examples")


@dataclass
class NpzSettings(DatasetSettings):
    """Your own table: arrays train, optionally valid, test and image_shape.

    Attributes:
        path: The .npz file.
        context: labels = the file also holds train_labels (and valid_labels, test_labels).
    """

    name: str = "npz"
    path: str = MISSING
    context: Context = Context.none

    def _check(self) -> None:
        if Path(self.path).suffix.lower() != ".npz":
            raise ValueError(f"path must be a .npz file, got '{self.path}'")


@dataclass
class CsvSettings(DatasetSettings):
    """Your own table of mixed columns.

    Attributes:
        path: The text file, with a header line.
        kinds: Column name -> kind of variable, for columns whose kind is not to be guessed.
        valid_fraction: Part of the rows for validation, in [0, 1).
        test_fraction: Part of the rows for the test, in [0, 1).
        delimiter: One character between columns.
    """

    name: str = "csv"
    path: str = MISSING
    kinds: dict[str, str] = field(default_factory=dict)
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    delimiter: str = ","

    def _check(self) -> None:
        fraction(self, "valid_fraction", "test_fraction")
        above(self, 0, "valid_fraction", "test_fraction")
        total = self.valid_fraction + self.test_fraction
        if total >= 1:
            raise ValueError(f"valid_fraction + test_fraction must be below 1, got {total}")
        if len(self.delimiter) != 1 and self.delimiter != "\\t":
            raise ValueError(f"delimiter must be one character, got '{self.delimiter}'")
        allowed = [kind.value for kind in Kind if kind is not Kind.ORDINAL]
        for column, kind in self.kinds.items():
            if kind not in allowed:
                raise ValueError(f"kinds.{column}: '{kind}' is not one of {', '.join(allowed)}")
