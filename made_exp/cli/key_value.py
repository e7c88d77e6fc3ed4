"""Commands with typed key=value arguments and no config files."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from made_exp.cli.app import answer
from made_exp.cli.messages import explain
from made_exp.errors import ConfigError, did_you_mean
from made_exp.settings.base import described

T = TypeVar("T")


def run_command(
    schema: type[T],
    function: Callable[[T], None],
    *,
    program: str,
    examples: Sequence[str],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse `argv` (default: sys.argv) by `schema`, call `function`; the exit code.

    Args:
        schema: A class of settings.
        function: What the command does with its settings.
        program: Name of the command.
        examples: Arguments to show in the help text.
        argv: Arguments, each key=value.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if {"--help", "-h"} & set(arguments):
            print(help_text(schema, program, examples))
            return 0
        function(parse(schema, arguments, program))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return answer(error)
    return 0


def parse(schema: type[T], arguments: Sequence[str], program: str) -> T:
    """The settings that `arguments` (each key=value) describe.

    Values of text settings are taken as they are, so paths need no quotes.

    Raises:
        ConfigError: An argument is unknown, missing or wrong.
    """
    node = OmegaConf.structured(schema)
    names = [field.name for field in dataclasses.fields(schema)]  # type: ignore[arg-type]
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in names:
            hint = did_you_mean(key.lstrip("-"), names)
            raise ConfigError(f"unknown setting '{key}' ({', '.join(names)}){hint}")
        if not equals:
            raise ConfigError(f"cannot parse '{argument}': write {key}=value")
        _assign(node, key, value)
    missing = sorted(OmegaConf.missing_keys(node))
    if missing:
        raise ConfigError(f"missing value(s): {', '.join(missing)}; see {program} --help")
    try:
        settings: Any = OmegaConf.to_object(node)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return settings


def _assign(node: DictConfig, key: str, value: str) -> None:
    if "${" in value or value == "???":
        raise ConfigError(f"{key}: '{value}' is not a value")
    try:
        node[key] = None if value in ("null", "") else value
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error


def help_text(schema: type, program: str, examples: Sequence[str]) -> str:
    """What the command does, its settings with defaults, examples."""
    summary = (schema.__doc__ or "").strip()
    lines = [f"{program}: {summary}", "", f"usage: {program} key=value ...", ""]
    for name, default, meaning in described(schema):
        lines.append(f"  {name:<14} {meaning} [{default}]")
    lines += ["", "Examples:", *(f"  {program} {example}" for example in examples)]
    return "\n".join(lines)
