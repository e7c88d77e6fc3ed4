"""Names of datasets and who loads them."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from made_exp.datasets.base import Dataset

UCI_NAMES = ("adult", "connect4", "dna", "mushrooms", "nips", "ocr_letters", "rcv1", "web")
# Name -> module in this package and function in it. A loader takes seed, data_dir and the
# dataset's own options, all by keyword.
_LOADERS = {
    "shapes": ("shapes", "load"),
    "mnist": ("mnist", "load_mnist"),
    "fashion_mnist": ("mnist", "load_fashion_mnist"),
    "binarized_mnist": ("binarized_mnist", "load"),
    "gaussian_1d": ("densities_1d", "load_gaussian"),
    "bimodal_1d": ("densities_1d", "load_bimodal"),
    "smiley": ("densities_2d", "load_smiley"),
    "hinton": ("densities_2d", "load_hinton"),
    "image_2d": ("densities_2d", "load_image"),
    **{name: ("uci", f"load_{name}") for name in UCI_NAMES},
    "npz": ("npz", "load"),
    "csv": ("csv", "load"),
}
NAMES = tuple(_LOADERS)


def load_dataset(name: str, *, seed: int, data_dir: Path, **options: Any) -> "Dataset":
    """Load a dataset by name.

    Args:
        name: One of `NAMES`.
        seed: For what the product itself draws or splits; the same for runs to be compared.
        data_dir: Where files are looked for and downloaded to; it may be read-only when
            everything needed is there.
        options: The dataset's own settings.

    Raises:
        ValueError: If the name is unknown, or the data cannot be had or used.
    """
    if name not in _LOADERS:
        raise ValueError(f"dataset must be one of {', '.join(NAMES)}, got '{name}'")
    module, function = _LOADERS[name]
    loader: Callable[..., Dataset] = getattr(import_module(f"made_exp.datasets.{module}"), function)
    return loader(seed=seed, data_dir=Path(data_dir), **options)
