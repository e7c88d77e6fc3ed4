"""What datasets there are, and what is known of each before it is loaded. Imports no torch."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from made_exp.errors import did_you_mean
from made_exp.variables.variable import Kind

if TYPE_CHECKING:
    from made_exp.datasets.base import Dataset

# Splits and draws of the data do not follow the run's seed: runs of several seeds share one test.
DATA_SEED = 0


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from, and what its variables are.

    Attributes:
        loader: `module:function` in this package, or `module:function:argument`; the function
            takes seed, data_dir and the dataset's own settings by keyword and returns a `Dataset`.
        num_dims: Number of variables; None where the user's file or the chosen table says.
        kind: Kind of all of them; None where the user's file says.
        image_shape: (height, width) where the rows are images.
        may_be_images: Whether the user's file can say that its rows are images.
    """

    loader: str
    num_dims: int | None = None
    kind: Kind | None = None
    image_shape: tuple[int, int] | None = None
    may_be_images: bool = False

    @property
    def has_images(self) -> bool:
        """Whether the rows are images, as far as is known."""
        return self.image_shape is not None or self.may_be_images


OUTSIDE = {
    entry.name: Source(f"outside:load:{entry.value}", may_be_images=True)
    for entry in entry_points(group="made_exp.datasets")
}
"""Datasets that other packages bring, by entry points NAME = "MODULE:FUNCTION"."""

DATASETS = {
    "shapes": Source("shapes:load", 400, Kind.BINARY, (20, 20)),
    "mnist": Source("mnist:load:mnist", 784, Kind.BINARY, (28, 28)),
    "fashion_mnist": Source("mnist:load:fashion_mnist", 784, Kind.BINARY, (28, 28)),
    "binarized_mnist": Source("mnist:load_binarized", 784, Kind.BINARY, (28, 28)),
    "gaussian_1d": Source("densities_1d:load_gaussian", 1, Kind.ORDINAL),
    "bimodal_1d": Source("densities_1d:load_bimodal", 1, Kind.ORDINAL),
    "smiley": Source("densities_2d:load_smiley", 2, Kind.ORDINAL),
    "hinton": Source("densities_2d:load_hinton", 2, Kind.ORDINAL),
    "image_2d": Source("densities_2d:load_image", 2, Kind.ORDINAL),
    "adult": Source("uci:load:adult", 123, Kind.BINARY),
    "connect4": Source("uci:load:connect4", 126, Kind.BINARY),
    "dna": Source("uci:load:dna", 180, Kind.BINARY),
    "mushrooms": Source("uci:load:mushrooms", 112, Kind.BINARY),
    "nips": Source("uci:load:nips", 500, Kind.BINARY),
    "ocr_letters": Source("uci:load:ocr_letters", 128, Kind.BINARY, (16, 8)),
    "rcv1": Source("uci:load:rcv1", 150, Kind.BINARY),
    "web": Source("uci:load:web", 300, Kind.BINARY),
    "debd": Source("debd:load", kind=Kind.BINARY),
    "npz": Source("npz:load", may_be_images=True),
    "table": Source("table.loader:load"),
    "csv": Source("table.loader:load"),
    "python": Source("outside:load_python", may_be_images=True),
}
DATASETS |= {name: source for name, source in OUTSIDE.items() if name not in DATASETS}
"""Option of the group `dataset` -> where it comes from."""

DEBD_TABLES = {
    "nltcs": 16,
    "msnbc": 17,
    "kdd": 64,
    "plants": 69,
    "baudio": 100,
    "jester": 100,
    "bnetflix": 100,
    "accidents": 111,
    "tretail": 135,
    "pumsb_star": 163,
    "dna": 180,
    "kosarek": 190,
    "msweb": 294,
    "book": 500,
    "tmovie": 500,
    "cwebkb": 839,
    "cr52": 889,
    "c20ng": 910,
    "bbc": 1058,
    "ad": 1556,
}
"""Name of each of the twenty binary tables -> number of its variables."""

KINDS = ("binary", "categorical", "integer", "real", "decimal", "date", "identifier")
"""What a user can say that a column of a table holds."""

HELD_BACK = 0.1
"""Share of a table that is kept back to find how long to train on all of it."""


def load_dataset(
    name: str, *, seed: int = DATA_SEED, data_dir: Path | None = None, **options: Any
) -> "Dataset":
    """Load a dataset by name.

    Args:
        name: One of `DATASETS`.
        seed: For what the product itself draws or splits; the same for runs to be compared.
        data_dir: Where files are looked for and downloaded to, `default_data_dir` where None; it
            may be read-only when everything needed is there.
        options: The dataset's own settings.

    Raises:
        ValueError: If the name is unknown, or the data cannot be had or used.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got '{name}'")
    module, function, *arguments = DATASETS[name].loader.split(":")
    loader: Callable[..., Dataset] = getattr(import_module(f"made_exp.datasets.{module}"), function)
    return loader(*arguments, seed=seed, data_dir=data_dir or default_data_dir(), **options)


def default_data_dir() -> Path:
    """$MADE_DATA_DIR, or the user's cache folder."""
    given = os.environ.get("MADE_DATA_DIR", "").strip()
    return Path(given).expanduser() if given else platformdirs.user_cache_path("made-exp")


def find_file(
    path: str,
    data_dir: Path,
    setting: str = "dataset.path",
    what: str = "dataset file",
    *,
    or_folder: bool = False,
) -> Path:
    """The file, or folder if this may be one, at `path` in the current folder or in `data_dir`.

    Raises:
        ValueError: If there is none: no `what` at the path that was typed as `setting`.
    """
    given = Path(path).expanduser()
    try:
        for candidate in (given, data_dir / given):
            if candidate.is_file() or (or_folder and candidate.is_dir()):
                return candidate
            if candidate.is_dir():
                raise ValueError(f"{setting}: '{candidate}' is a folder, not a file")
    except OSError as error:
        raise ValueError(f"{setting}: cannot look for '{path}' ({error})") from error
    hint = _named_alike(given) or _named_alike(data_dir / given)
    hint = hint or "; set MADE_DATA_DIR or give an absolute path"
    raise ValueError(f"{what} not found: {path} ({setting}){hint}")


def _named_alike(path: Path) -> str:
    """The question whether the file beside `path` is meant whose name is nearly the same, or ''."""
    if not path.parent.is_dir():
        return ""
    beside = (other for other in path.parent.iterdir() if other.suffix == path.suffix)
    return did_you_mean(path.stem, {other.stem: str(other) for other in beside})


def find_arrays(path: str, data_dir: Path, setting: str = "dataset.path") -> Path:
    """The file of arrays at `path`, or the folder of such, which has no dot in its name.

    Raises:
        ValueError: See `find_file`.
    """
    return find_file(path, data_dir, setting, or_folder=not Path(path).suffix)
