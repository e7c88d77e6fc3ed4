"""Composing configs before Hydra's own run, so that a refused one leaves nothing behind."""

import itertools
import math
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from made_exp.cli.command_line import CommandLine
from made_exp.cli.messages import explain
from made_exp.cli.resolvers import conf_dir
from made_exp.errors import ConfigError

_MOST_COMBINATIONS = 16


def compose_config(command: CommandLine, overrides: list[str]) -> DictConfig:
    """The config, `hydra` node included, that made-train would compose from `overrides`.

    Raises:
        ConfigError: It does not compose.
    """
    extra = []
    if command.config_dir:
        if not Path(command.config_dir).is_dir():
            raise ConfigError(f"--config-dir: '{command.config_dir}' is not a folder")
        extra = [f"hydra.searchpath=['file://{Path(command.config_dir).absolute()}']"]
    with _hydra(command):
        try:
            return compose(command.config_name or "config", extra + overrides, True)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(explain(error)) from error
        except OverflowError as error:
            key = str(error).partition("full_key: ")[2].partition("\n")[0]
            raise ConfigError(f"{key}: the number has no place in 64 bits") from error
        except (AssertionError, TypeError) as error:  # of Hydra, about names that are none
            raise ConfigError(f"cannot be composed: {' '.join(overrides)}") from error


def _hydra(command: CommandLine) -> initialize_config_dir:
    folder = Path(command.config_path or conf_dir()).absolute()
    return initialize_config_dir(version_base="1.3", config_dir=str(folder), job_name="train")


def fixed_overrides(command: CommandLine) -> list[str]:
    """The overrides that are the same for all jobs of a sweep."""
    pairs = zip(command.overrides, command.parsed, strict=True)
    return [text for text, override in pairs if not override.is_sweep_override()]


def sweep_overrides(command: CommandLine, base: DictConfig) -> list[list[str]]:
    """The overrides of each job of a sweep, in the order of Hydra's basic sweeper.

    Args:
        command: The command line.
        base: The config composed from `fixed_overrides`.

    Returns:
        One list a job; for a search over intervals a single list, with the first value of each.
    """
    params = OmegaConf.select(base, "hydra.sweeper.params") or OmegaConf.create()
    texts = [f"{key!s}={value}" for key, value in params.items()]
    parsed = OverridesParser.create().parse_overrides(texts)
    choices: dict[str, list[str]] = {}
    with _hydra(command):
        for override in parsed + command.parsed:
            if not override.key_or_group.startswith("hydra"):
                choices[override.get_key_element()] = _values(override)
    if "BasicSweeper" not in base.hydra.sweeper._target_:
        return [[values[0] for values in choices.values()]]
    return [list(combination) for combination in itertools.product(*choices.values())]


def worth_checking(jobs: list[list[str]]) -> list[list[str]]:
    """`jobs`, or of a large sweep enough of them that every value occurs."""
    if len(jobs) <= _MOST_COMBINATIONS:
        return jobs
    seen: set[str] = set()
    chosen = []
    for job in jobs:
        if not seen.issuperset(job):
            seen.update(job)
            chosen.append(job)
    return chosen


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if override.is_discrete_sweep():
        override.config_loader = GlobalHydra.instance().config_loader()  # glob(*) lists options
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    interval = override.value()
    assert isinstance(interval, IntervalSweep)
    start = interval.start
    return [f"{key}={start if start is not None and math.isfinite(start) else 0}"]
