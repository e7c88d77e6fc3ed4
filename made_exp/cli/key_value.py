"""Commands with typed key=value arguments and no config files."""

import dataclasses
import difflib
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from made_exp.cli.dashes import as_setting
from made_exp.cli.messages import answered, explain
from made_exp.cli.version import version_text
from made_exp.errors import ConfigError, as_config_errors, did_you_mean
from made_exp.settings.base import described

T = TypeVar("T")
_NOTHING = "null"


@dataclass(frozen=True)
class Command(Generic[T]):
    """A command as a function of its arguments.

    Attributes:
        program: Its name.
        schema: A class of settings.
        run: What it does with its settings; what that returns is printed.
        examples: Arguments to show in the help text.
        positional: A setting, a list of texts, that takes the arguments which name no setting.
    """

    program: str
    schema: type[T]
    run: Callable[[T], object]
    examples: tuple[str, ...]
    positional: str | None = None

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Parse `argv` (default: sys.argv), run; the exit code."""
        return answered(lambda: self._run(list(sys.argv[1:] if argv is None else argv)))

    def _run(self, arguments: list[str]) -> int:
        if "--version" in arguments:
            print(version_text())
        elif {"--help", "-h"} & set(arguments):
            print(self.help())
        else:
            print(self.run(self.parse(arguments)))
        return 0

    def parse(self, arguments: Sequence[str]) -> T:
        """The settings that `arguments` (each key=value) describe.

        Values of text settings are taken as they are, so paths need no quotes.

        Raises:
            ConfigError: An argument is unknown, missing or wrong.
        """
        node = OmegaConf.structured(self.schema)
        defaults = {entry.name: entry.default for entry in dataclasses.fields(self.schema)}  # type: ignore[arg-type]
        names, places = [*defaults], {name: name for name in defaults}
        switches = [name for name, default in defaults.items() if isinstance(default, bool)]
        for argument in arguments:
            key, equals, value = argument.partition("=")
            if self._is_positional(key, names):
                node[self.positional].append(argument)
                continue
            if key not in names:
                named = [name for name in ("run", "path") if name in names]
                if named and Path(argument).exists():
                    raise ConfigError(f"cannot parse '{argument}': write {named[0]}={argument}")
                hint = as_setting(argument, arguments, places, switches)
                hint = hint or did_you_mean(key.lstrip("-"), names)
                raise ConfigError(f"unknown setting '{key}' ({', '.join(names)}){hint}")
            if not equals:
                raise ConfigError(f"cannot parse '{argument}': write {key}=value")
            _assign(node, key, value)
        missing = sorted(OmegaConf.missing_keys(node))
        if missing:
            listed = ", ".join(missing)
            folder = next((text for text in arguments if Path(text).is_dir()), None)
            hint = f"write {missing[0]}={folder}" if folder else f"see {self.program} --help"
            raise ConfigError(f"missing value(s): {listed}; {hint}")
        with as_config_errors():
            settings: Any = OmegaConf.to_object(node)
        return settings

    def _is_positional(self, key: str, names: Sequence[str]) -> bool:
        """Whether an argument that begins so names no setting and is none misspelt."""
        if self.positional is None or key.startswith("-") or key in names:
            return False
        return not difflib.get_close_matches(key, names, n=1, cutoff=0.8)

    def help(self) -> str:
        """What the command does, its settings with defaults, examples."""
        summary = inspect.cleandoc(self.schema.__doc__ or "")
        what = "key=value ..." if self.positional is None else '"QUESTION" ... key=value ...'
        lines = [f"{self.program}: {summary}", "", f"usage: {self.program} {what}", ""]
        for name, default, meaning in described(self.schema):
            text = f"{name:<14} {meaning} [{default}]"
            lines.append(textwrap.fill(text, 98, initial_indent="  ", subsequent_indent=" " * 17))
        lines += [
            "",
            "Examples:",
            *(f"  {self.program} {example}".rstrip() for example in self.examples),
        ]
        return "\n".join(lines)


def _assign(node: DictConfig, key: str, value: str) -> None:
    if "${" in value or value == "???":
        raise ConfigError(f"{key}: '{value}' is not a value")
    if not value:  # as of a variable of a shell that is not set
        raise ConfigError(f"{key}: nothing stands after the '='; write {key}=null for none")
    is_mapping = OmegaConf.is_dict(node[key]) if not OmegaConf.is_missing(node, key) else False
    try:
        if is_mapping:
            node[key] = {} if value == _NOTHING else _mapping(key, value)
        else:
            node[key] = None if value == _NOTHING else value
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error


def _mapping(key: str, value: str) -> dict[str, str]:
    """The texts {NAME: VALUE} as they stand there; a name or a value with , : {} in quotes."""
    try:
        found = yaml.load(value, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise ConfigError(f"{key} must be {{NAME: VALUE, ...}}, got '{value}'")
    return {str(name): text for name, text in found.items()}
