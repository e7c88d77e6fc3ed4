"""From a composed config to checked settings; every mistake becomes a ConfigError."""

import dataclasses
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from made_exp.cli.cross_checks import cross_check
from made_exp.cli.messages import explain
from made_exp.errors import ConfigError, did_you_mean
from made_exp.settings.experiment import OPTIONS, Settings


def settings_from(cfg: DictConfig, *, here: bool = True) -> Settings:
    """The typed settings of a composed config.

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
    try:
        settings = Settings(**values)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    cross_check(settings, here=here)
    return settings


def missing_keys(cfg: DictConfig) -> set[str]:
    """Names of the settings that have no value, also of those that were taken out."""
    missing = set()
    for field in dataclasses.fields(Settings):
        if field.name not in cfg or OmegaConf.is_missing(cfg, field.name):
            missing.add(field.name)
        elif isinstance(node := cfg[field.name], DictConfig):
            missing |= OmegaConf.missing_keys(node)
    return missing


def _refuse_added_keys(cfg: DictConfig) -> None:
    extras = _added_keys(cfg, "")
    if extras:
        path, known = extras[0]
        names = ", ".join(path for path, _ in extras)
        hint = did_you_mean(path.split(".")[-1], known)
        raise ConfigError(f"not a setting (added with '+'): {names}{hint}")


def _added_keys(node: DictConfig, prefix: str) -> list[tuple[str, list[str]]]:
    schema = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(schema):
        return []
    known = [field.name for field in dataclasses.fields(schema)]
    extras: list[tuple[str, list[str]]] = []
    for key in node:
        name = str(key)
        if name not in known:
            if not (prefix == "" and name == "hydra"):
                extras.append((prefix + name, known))
            continue
        if OmegaConf.is_missing(node, name) or OmegaConf.is_interpolation(node, name):
            continue
        child = node[name]
        if isinstance(child, DictConfig):
            extras += _added_keys(child, f"{prefix}{name}.")
    return extras


def _refuse_missing(cfg: DictConfig) -> None:
    missing = sorted(missing_keys(cfg))
    if missing:
        raise ConfigError(f"missing value(s): {', '.join(missing)}")


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
        if OmegaConf.is_config(node):
            return OmegaConf.to_object(node)
        return node
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    except ValueError as error:
        raise ConfigError(f"{name}.{error}") from error
