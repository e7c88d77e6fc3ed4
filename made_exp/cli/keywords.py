"""Settings as Python values, checked as those of the command are."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config
from made_exp.cli.messages import explain
from made_exp.cli.validate import settings_from
from made_exp.errors import ConfigError, did_you_mean
from made_exp.settings.experiment import OPTIONS, Settings

_ARGUMENTS = ("experiment", "max_minutes", "path", "progress")
_OF_THE_COMMAND = ("resume", "describe", "search", "hydra")


def settings_of(
    experiment: str | None, dataset: str, path: Path, values: Mapping[str, Any]
) -> Settings:
    """The settings of an experiment on a file.

    Args:
        experiment: A preset, or None.
        dataset: The option that reads the file.
        path: The file.
        values: By the names of the command: an option of a group (`ordering="natural"`), one
            setting (`"trainer.max_steps"`), or several of a group (`trainer={"max_steps": 9}`).

    Raises:
        ConfigError: A name is unknown, or a value is out of range or does not fit another.
    """
    flat = dict(_flat(values))
    for key in flat:
        if key.split(".")[0] in _OF_THE_COMMAND or key in ("dataset", "dataset.path"):
            raise ConfigError(f"'{key}' is a setting of the command made-train, not of fit")
        if get_close_matches(key, _ARGUMENTS, 1, 0.8):
            raise ConfigError(f"fit has no argument '{key}'{did_you_mean(key, _ARGUMENTS)}")
    choices = {"experiment": experiment, "dataset": dataset}
    choices |= {key: value for key, value in flat.items() if key in OPTIONS}
    command = parse_command_line(
        [f"{group}={option}" for group, option in choices.items() if option is not None]
    )
    cfg = compose_config(command, command.overrides)
    for key, value in {**flat, "dataset.path": str(path)}.items():
        if key not in OPTIONS:
            _assign(cfg, key, _plain(key, value))
    return settings_from(cfg)


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Options by group, and values by key."""
    for key, value in values.items():
        if key not in OPTIONS:
            yield key, value
        elif isinstance(value, Mapping):
            for name, one in value.items():
                yield key if name == "name" else f"{key}.{name}", one
        elif isinstance(value, str):
            yield key, value
        else:
            raise ConfigError(
                f"{key} must be the name of an option or a dictionary of settings, got {value!r}"
            )


def _assign(cfg: DictConfig, key: str, value: Any) -> None:
    try:
        OmegaConf.update(cfg, key, value, merge=False)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error


def _plain(key: str, value: Any) -> Any:
    """The value in the types that settings have."""
    if isinstance(value, Mapping):
        return {str(name): _plain(key, one) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(key, value.tolist())
    if isinstance(value, list | tuple | range):
        return [_plain(key, one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and ("${" in value or value == "???"):
        raise ConfigError(f"{key}: '{value}' is not a value")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(f"{key}: {value!r} is not a value of a setting")
