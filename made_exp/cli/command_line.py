"""The command line of made-train: flags anywhere, plugins by their names, mistakes explained."""

import argparse
import importlib.util
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Self

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from made_exp.cli.dashes import as_setting
from made_exp.cli.names import as_hydra_has_it
from made_exp.datasets.table.sources import COMPRESSED, TABLES
from made_exp.errors import ConfigError, did_you_mean
from made_exp.settings.experiment import defaults_of, known_settings, option_choices

CONFIG_DIR = "--config-dir"
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_UNSPEAKABLE = re.compile(r"[^\s!-~]|[!#&;<>^`~]")
"""What Hydra's grammar has no way to write in a key."""
# Group -> option -> the module that brings it, and the extra that brings the module. Options are
# typed by these names and chosen as presets of ours, made_OPTION.
_PLUGINS = {
    "hydra/launcher": {
        "joblib": ("hydra_joblib_launcher", "joblib"),
        "submitit_local": ("hydra_submitit_launcher", "slurm"),
        "submitit_slurm": ("hydra_submitit_launcher", "slurm"),
        "ray": ("hydra_ray_launcher", "ray"),
        "ray_train": ("hydra_ray_launcher", "ray"),
    },
    "hydra/sweeper": {"optuna": ("hydra_optuna_sweeper", "optuna")},
}


@dataclass(frozen=True)
class CommandLine:
    """What was typed.

    Attributes:
        argv: Arguments for Hydra: flags first, then overrides.
        overrides: Overrides alone.
        parsed: The same, parsed.
        multirun: Whether -m was given.
        help, version: Whether --help, or --version, was given.
        asked: What help is asked for: with --help, whatever was typed beside flags.
        runs: Whether jobs are to be run; False for flags that only show something.
        config_name, config_path, config_dir: Hydra's flags of these names.
    """

    argv: list[str]
    overrides: list[str]
    parsed: list[Override]
    multirun: bool
    help: bool
    version: bool
    asked: list[str]
    runs: bool
    config_name: str | None
    config_path: str | None
    config_dir: str | None

    def with_overrides(self, *more: str) -> Self:
        """The same with further overrides."""
        return replace(
            self,
            argv=[*self.argv, *more],
            overrides=[*self.overrides, *more],
            parsed=self.parsed + [_parse(text) for text in more],
        )

    def of(self, overrides: Sequence[str]) -> Self:
        """The same flags with other overrides."""
        flags = self.argv[: len(self.argv) - len(self.overrides)]
        texts = list(overrides)
        return replace(
            self, argv=flags + texts, overrides=texts, parsed=[_parse(text) for text in texts]
        )

    def with_varied_first(self) -> Self:
        """The same with what differs between jobs first, by which names of jobs then begin.

        As it is where the order of overrides may matter: one key twice, or a dictionary.
        """
        keys = [override.key_or_group for override in self.parsed]
        if len({*keys}) < len(keys) or any(isinstance(one.value(), dict) for one in self.parsed):
            return self
        pairs = zip(self.overrides, self.parsed, strict=True)
        first = sorted(pairs, key=lambda pair: not pair[1].is_sweep_override())
        return self.of([text for text, _ in first])

    def with_config_dir(self, folder: str) -> Self:
        """The same with options of the user's own in `folder`, unless a folder is named."""
        if self.config_dir is not None:
            return self
        return replace(self, argv=[f"{CONFIG_DIR}={folder}", *self.argv], config_dir=folder)

    def value_of(self, key: str) -> str | None:
        """The last plain value given for `key` on the command line, or None."""
        for override in reversed(self.parsed):
            if override.key_or_group == key and not override.is_sweep_override():
                return override.get_value_element_as_str()
        return None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see made-train --help")


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for flags in (("--help", "-h"), ("--hydra-help",), ("--version",), ("--resolve",)):
        parser.add_argument(*flags, action="store_true")
    for flags in (("--run", "-r"), ("--multirun", "-m"), ("--shell-completion", "-sc")):
        parser.add_argument(*flags, action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--config-path", "-cp")
    parser.add_argument("--config-name", "-cn")
    parser.add_argument(CONFIG_DIR, "-cd")
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_INFO)
    return parser


def parse_command_line(argv: list[str]) -> CommandLine:
    """Sort `argv` into flags and overrides.

    Raises:
        ConfigError: A flag is unknown or an override cannot be parsed.
    """
    parser = _parser()
    args, rest = parser.parse_known_intermixed_args(argv)
    known = [flag for action in parser._actions for flag in action.option_strings]
    if rest:
        places = known_settings()
        switches = [one for one in places.values() if isinstance(defaults_of(one)[0], bool)]
        hint = as_setting(rest[0], argv, places, switches)
        hint = hint or did_you_mean(rest[0].split("=")[0], known)
        raise ConfigError(f"unknown flag '{rest[0]}'{hint}")
    shows = args.hydra_help or args.version or args.shell_completion or args.cfg or args.info
    # What a shell wants completed is Hydra's affair, half a word at its end included.
    typed = [] if args.shell_completion or args.help else args.overrides
    overrides = [_listed(_as_preset(as_hydra_has_it(override))) for override in typed]
    return CommandLine(
        argv=argv if args.shell_completion else _flags(args) + overrides,
        overrides=overrides,
        parsed=[_parse(override) for override in overrides],
        multirun=args.multirun,
        help=args.help,
        version=args.version,
        asked=args.overrides if args.help else [],
        runs=not shows,
        config_name=args.config_name,
        config_path=args.config_path,
        config_dir=args.config_dir,
    )


def command_for(overrides: Sequence[str], config_dir: str | None) -> str:
    """A line to paste that runs the same job again, with the folder of the user's own options."""
    kept = [text for text in overrides if not text.startswith("resume=")]
    flags = [f"{CONFIG_DIR}={config_dir}"] if config_dir else []
    return shlex.join(["made-train", *flags, *kept])


def refuse_missing_plugin(group: str, preset: str) -> None:
    """Raise ConfigError if `preset` of `group` needs an extra that is not installed."""
    plugins, option = _PLUGINS[group], preset.removeprefix("made_")
    if option not in plugins or _is_installed(plugins[option][0]):
        return
    have = ["basic", *(name for name, (module, _) in plugins.items() if _is_installed(module))]
    raise ConfigError(
        f"{group}={option} is not installed (have: {', '.join(have)});"
        f" pip install 'made-exp[{plugins[option][1]}]'"
    )


def extra_hint(group: str, option: str) -> str:
    """The pip line for the extra that brings `option` of `group`, or ''."""
    if group == "hydra/sweeper/sampler":
        group, option = "hydra/sweeper", "optuna"
    _, extra = _PLUGINS.get(group, {}).get(option, ("", ""))
    return f". It comes with an extra: pip install 'made-exp[{extra}]'" if extra else ""


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(f"hydra_plugins.{module}") is not None
    except ModuleNotFoundError:  # There are no plugins at all.
        return False


def _flags(args: argparse.Namespace) -> list[str]:
    flags = []
    for name, value in vars(args).items():
        if name == "overrides" or value is None or value is False:
            continue
        flag = f"--{name.replace('_', '-')}"
        flags.append(flag if value is True else f"{flag}={value}")
    return flags


def _as_preset(override: str) -> str:
    """`override`, with the preset in place of the plugin's own option."""
    group, _, option = override.partition("=")
    return f"{group}=made_{option}" if option in _PLUGINS.get(group, ()) else override


def _listed(override: str) -> str:
    """`override`, with the names that fit in place of `glob(PATTERN)` of a setting with choices.

    Hydra's own glob knows the options of groups alone.
    """
    if "=glob(" not in override:
        return override
    parsed = _parse(override)
    key, pattern = parsed.key_or_group, parsed.value()
    group, _, name = key.partition(".")
    if not isinstance(pattern, Glob) or not (allowed := option_choices(group, name)):
        return override
    if found := pattern.filter(allowed):
        return f"{key}={','.join(found)}"
    raise ConfigError(f"{override}: none of {', '.join(allowed)} fits")


def _parse(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(_explain_parse_error(text.removeprefix("++"))) from error


def own_data(file: str) -> str:
    """How a file of the user's own is typed as the data, by its ending; "" if it has none such."""
    path = Path(file)
    ending = Path(path.stem if path.suffix in COMPRESSED else path.name).suffix.lower()
    kind = "npz" if ending in (".npz", ".npy") else "table" if ending in TABLES else ""
    return f"dataset={kind} dataset.path={file}" if kind else ""


def _explain_parse_error(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals:
        return f"cannot parse '{text}': write {own_data(text) or 'key=value'}"
    if not key or " " in key:
        return f"cannot parse '{text}': '{key}' is not the name of a setting"
    if value[:1] == "{" and (odd := _UNSPEAKABLE.search(value)):
        return (
            f"cannot parse '{text}': a name with '{odd[0]}' can be given in a file only, such as"
            " mine/experiment/NAME.yaml with --config-dir=mine experiment=NAME"
        )
    if '"' in value or "'" in value:
        return f"cannot parse '{text}': quotes or brackets do not match"
    if value.startswith(("[", "{", "(")):
        return (
            f"cannot parse '{text}': brackets or commas do not match (names with such: in quotes)"
        )
    return f"cannot parse '{text}': quote the value: '{key}=\"{value}\"'"
