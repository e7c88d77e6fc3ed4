"""Checks that take more than one setting, or a look at this machine, but never torch."""

import importlib.metadata
import importlib.util
import os
import re
from pathlib import Path

from made_exp.errors import ConfigError
from made_exp.settings.dataset import CsvSettings, Image2dSettings, NpzSettings
from made_exp.settings.experiment import Settings
from made_exp.settings.model import NetworkSettings
from made_exp.settings.ordering import (
    AgnosticSettings,
    CustomOrderSettings,
    EnsembleSettings,
    check_permutation,
)
from made_exp.variables.variable import ALLOWED_CONDITIONALS, ALLOWED_ENCODINGS, Kind

_NUM_DIMS = {
    "gaussian_1d": 1,
    "bimodal_1d": 1,
    "smiley": 2,
    "hinton": 2,
    "image_2d": 2,
    "shapes": 400,
    "mnist": 784,
    "fashion_mnist": 784,
    "binarized_mnist": 784,
    "adult": 123,
    "connect4": 126,
    "dna": 180,
    "mushrooms": 112,
    "nips": 500,
    "ocr_letters": 128,
    "rcv1": 150,
    "web": 300,
}
_IMAGES = ("shapes", "mnist", "fashion_mnist", "binarized_mnist", "npz")
_RASTER_ORDERS = ("column_major", "snake", "spiral", "centre_out")
_CUDA_DEVICE_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-ctrl", "/dev/nvmap", "/dev/kfd")


def cross_check(settings: Settings, *, here: bool = True) -> None:
    """Check settings against each other and make the paths in them absolute.

    Args:
        settings: Range-checked settings; paths are replaced in place.
        here: Whether the run will be on this machine, so that its devices can be checked.

    Raises:
        ConfigError: Something does not fit.
    """
    _find_files(settings)
    _check_order(settings)
    _check_model(settings)
    if here:
        _check_machine(settings)


def _find_files(settings: Settings) -> None:
    dataset, ordering = settings.dataset, settings.ordering
    if isinstance(dataset, (NpzSettings, CsvSettings, Image2dSettings)):
        dataset.path = _find(dataset.path, "dataset.path", "dataset file")
    if isinstance(ordering, CustomOrderSettings) and isinstance(ordering.order, str):
        path = _find(ordering.order, "ordering.order", "file")
        ordering.order = _read_order(path)


def _find(path: str, setting: str, what: str) -> str:
    data_dir = os.environ.get("MADE_DATA_DIR")
    candidates = [Path(path).expanduser()]
    if data_dir and not candidates[0].is_absolute():
        candidates.append(Path(data_dir) / path)
    for candidate in candidates:
        try:
            if candidate.is_file():
                return str(candidate.absolute())
            if candidate.is_dir():
                raise ConfigError(f"{setting}: '{candidate}' is a folder, not a file")
        except (OSError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{setting}: cannot look for '{path}' ({error})") from error
    raise ConfigError(
        f"{what} not found: {path} ({setting}); set MADE_DATA_DIR or give an absolute path"
    )


def _read_order(path: str) -> list[int]:
    try:
        words = re.split(r"[\s,]+", Path(path).read_text().strip().strip("[]").strip())
        order = [int(word) for word in words if word]
        check_permutation(order)
    except (OSError, ValueError) as error:
        raise ConfigError(f"ordering.order: file {path}: {error}") from error
    return order


def _check_order(settings: Settings) -> None:
    dataset, ordering = settings.dataset.name, settings.ordering
    num_dims = _NUM_DIMS.get(dataset)
    if isinstance(ordering, CustomOrderSettings) and num_dims not in (None, len(ordering.order)):
        raise ConfigError(
            f"ordering.order must hold each of 0..{num_dims - 1} once for dataset={dataset},"
            f" got {len(ordering.order)} numbers"
        )
    share = {AgnosticSettings: "sweeps", EnsembleSettings: "rasters"}.get(type(ordering))
    if share and getattr(ordering, share) and dataset not in _IMAGES:
        raise ConfigError(f"ordering.{share} needs images, but dataset={dataset} has none")
    if ordering.name in _RASTER_ORDERS and dataset not in _IMAGES:
        raise ConfigError(f"ordering={ordering.name} needs images, but dataset={dataset} has none")


def _check_model(settings: Settings) -> None:
    model, dataset = settings.model, settings.dataset.name
    if dataset not in _NUM_DIMS:
        return  # The variables of a table of the user's are known only when it is read.
    num_dims = _NUM_DIMS[dataset]
    if not isinstance(model, NetworkSettings):
        if num_dims > 1:
            raise ConfigError(
                f"model={model.name} is for one variable, but dataset={dataset} has {num_dims};"
                " take model=made"
            )
        return
    kind = Kind.BINARY if num_dims > 2 else Kind.ORDINAL
    for setting, allowed in (
        ("conditional", ALLOWED_CONDITIONALS[kind]),
        ("encoding", ALLOWED_ENCODINGS[kind]),
    ):
        value = getattr(model, setting)
        names = ["auto", *(name for name in allowed if name != "identity")]
        if value not in names:
            raise ConfigError(
                f"model.{setting}={value} does not fit dataset={dataset}, whose variables are"
                f" {kind}; take one of {', '.join(names)}"
            )


def _check_machine(settings: Settings) -> None:
    trainer = settings.trainer
    if trainer.kernel == "triton":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError("trainer.kernel=triton, but triton is not installed; take auto")
        if trainer.device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            raise ConfigError("trainer.kernel=triton needs a CUDA device, got trainer.device=cpu")
    if trainer.device.startswith("cuda") and _surely_without_cuda():
        raise ConfigError(f"trainer.device={trainer.device} but no CUDA device is visible")


def _surely_without_cuda() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return True
    if importlib.metadata.version("torch").endswith("+cpu"):
        return True
    on_linux = Path("/proc").is_dir()
    return on_linux and not any(Path(path).exists() for path in _CUDA_DEVICE_FILES)
