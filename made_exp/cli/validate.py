"""From a composed config to checked settings; every mistake becomes a ConfigError.

Also what takes more than one setting to check, or a look at this machine; nothing needs torch.
"""

import dataclasses
import importlib.metadata
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from made_exp.cli.messages import explain, not_of_option
from made_exp.cli.names import as_typed, in_words
from made_exp.cli.teaching import check_teacher
from made_exp.datasets.registry import DATASETS, default_data_dir, find_arrays, find_file
from made_exp.datasets.table.sources import absolute_paths
from made_exp.errors import ConfigError, as_config_errors, did_you_mean
from made_exp.masks.fixed_orders import SCANS
from made_exp.settings.dataset import FileSettings, NpzSettings, PythonSettings, TableSettings
from made_exp.settings.experiment import OPTIONS, Settings, option_fields
from made_exp.settings.model import NetworkSettings
from made_exp.settings.ordering import CustomOrderSettings, check_permutation
from made_exp.settings.training import TrainerSettings
from made_exp.variables.variable import ALLOWED_CONDITIONALS, ALLOWED_ENCODINGS

_CUDA_DEVICE_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-ctrl", "/dev/nvmap", "/dev/kfd")


def settings_from(cfg: DictConfig, *, here: bool = True) -> Settings:
    """The typed settings of a composed config, with absolute paths in them.

    Args:
        cfg: The composed task config (a `hydra` node is ignored).
        here: Whether the run will be on this machine, so that its devices can be checked.

    Raises:
        ConfigError: A key is unknown, a value is missing, out of range or does not fit another.
    """
    _refuse_added_keys(cfg)
    _refuse_missing(cfg)
    _check_names(cfg)
    values = {field.name: _value(cfg, field.name) for field in dataclasses.fields(Settings)}
    with as_config_errors():
        settings = Settings(**values)
        _find_files(settings)
    check_teacher(settings)
    _check_order(settings)
    _check_model(settings)
    if here:
        _check_machine(settings.trainer)
    return settings


def _refuse_added_keys(cfg: DictConfig) -> None:
    extras: dict[str, list[str]] = {}
    for group in ("", *OPTIONS):
        node = OmegaConf.select(cfg, group, throw_on_resolution_failure=False) if group else cfg
        schema: Any = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
        if dataclasses.is_dataclass(schema):
            known = [field.name for field in dataclasses.fields(schema)]
            added = [str(key) for key in node if key not in (known if group else [*known, "hydra"])]
            extras |= {f"{group}.{key}".lstrip("."): known for key in added}
    if extras:
        path, known = next(iter(extras.items()))
        group, _, key = path.rpartition(".")
        if any(key in option_fields(group, option) for option in OPTIONS.get(group, ())):
            raise ConfigError(not_of_option(group, key, cfg[group].name))
        hint = did_you_mean(path.split(".")[-1], known)
        raise ConfigError(f"not a setting (added with '+'): {', '.join(extras)}{hint}")


def _refuse_missing(cfg: DictConfig) -> None:
    missing = set()
    for field in dataclasses.fields(Settings):
        # Taken out by '~', or ???.
        if field.name not in cfg or OmegaConf.is_missing(cfg, field.name):
            missing.add(field.name)
        elif isinstance(node := cfg[field.name], DictConfig):
            missing |= OmegaConf.missing_keys(node)
    if missing:
        raise ConfigError(f"missing value(s): {', '.join(sorted(missing))}")


def _check_names(cfg: DictConfig) -> None:
    for group, options in OPTIONS.items():
        name = cfg[group].name
        if name not in options:
            raise ConfigError(
                f"{group}.name: '{name}' is not one of {', '.join(options)}"
                f"{did_you_mean(name, options)}"
            )
        if OmegaConf.get_type(cfg[group]) is not options[name]:
            raise ConfigError(f"{group}.name: choose with {group}={name}, not with {group}.name")


def _value(cfg: DictConfig, name: str) -> Any:
    try:
        node = cfg[name]
        return OmegaConf.to_object(node) if OmegaConf.is_config(node) else node
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    except ValueError as error:
        raise ConfigError(in_words(f"{name}.{error}")) from error


def _find_files(settings: Settings) -> None:
    dataset, ordering, data_dir = settings.dataset, settings.ordering, default_data_dir()
    if isinstance(dataset, FileSettings):
        find = find_arrays if isinstance(dataset, NpzSettings) else find_file
        dataset.path = str(find(dataset.path, data_dir).absolute())
    if isinstance(dataset, PythonSettings):
        place, _, function = dataset.loader.rpartition(":")
        if place.endswith(".py"):
            file = find_file(place, data_dir, "dataset.loader", "file").absolute()
            dataset.loader = f"{file}:{function}"
    if isinstance(dataset, TableSettings):
        dataset.kinds = as_typed(dataset.kinds)
        for key in ("path", "valid_path", "test_path"):
            if (given := getattr(dataset, key)) is not None:
                setattr(dataset, key, absolute_paths(given, data_dir, f"dataset.{key}"))
    if isinstance(ordering, CustomOrderSettings) and isinstance(ordering.order, str):
        ordering.order = _read_order(find_file(ordering.order, data_dir, "ordering.order", "file"))


def _read_order(path: Path) -> list[int]:
    try:
        words = re.split(r"[\s,]+", path.read_text().strip().strip("[]").strip())
        order = [int(word) for word in words if word]
        check_permutation(order)
    except (OSError, ValueError) as error:
        raise ConfigError(f"ordering.order: file {path}: {error}") from error
    return order


def _check_order(settings: Settings) -> None:
    dataset, ordering = settings.dataset.name, settings.ordering
    known = DATASETS[dataset]
    size = known.num_dims
    if isinstance(ordering, CustomOrderSettings) and size not in (None, len(ordering.order)):
        raise ConfigError(
            f"ordering.order must hold each of 0..{size - 1} once for dataset={dataset},"
            f" got {len(ordering.order)} numbers"
        )
    shares = [f"ordering.{name}" for name in ("sweeps", "rasters") if getattr(ordering, name, 0)]
    for what in [f"ordering={ordering.name}"] if ordering.name in SCANS else shares:
        if not known.has_images:
            raise ConfigError(f"{what} needs images, but dataset={dataset} has none")


def _check_model(settings: Settings) -> None:
    model, dataset = settings.model, settings.dataset.name
    known = DATASETS[dataset]
    if known.num_dims is None or known.kind is None:
        return  # The variables of a table of the user's are known only when it is read.
    if not isinstance(model, NetworkSettings):
        if known.num_dims > 1:
            raise ConfigError(
                f"model={model.name} is for one variable, but dataset={dataset} has"
                f" {known.num_dims}; take model=made"
            )
        return
    for setting, allowed in (
        ("conditional", ALLOWED_CONDITIONALS[known.kind]),
        ("encoding", ALLOWED_ENCODINGS[known.kind]),
    ):
        value = getattr(model, setting)
        if value not in ("auto", *allowed):
            raise ConfigError(
                f"model.{setting}={value} does not fit dataset={dataset}, whose variables are"
                f" {known.kind}; take one of {', '.join(('auto', *allowed))}"
            )


def _check_machine(trainer: TrainerSettings) -> None:
    if trainer.kernel == "triton":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError("trainer.kernel=triton, but triton is not installed; take auto")
        on_cpu = trainer.device == "cpu" or (trainer.device == "auto" and _surely_without_cuda())
        if on_cpu and os.environ.get("TRITON_INTERPRET") != "1":
            raise ConfigError(
                f"trainer.kernel=triton needs a CUDA device, got trainer.device={trainer.device}"
            )
    if trainer.device.startswith("cuda") and _surely_without_cuda():
        raise ConfigError(f"trainer.device={trainer.device} but no CUDA device is visible")


def _surely_without_cuda() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return True
    if importlib.metadata.version("torch").endswith("+cpu"):
        return True
    on_linux = Path("/proc").is_dir()
    return on_linux and not any(Path(path).exists() for path in _CUDA_DEVICE_FILES)
