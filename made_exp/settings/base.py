"""What a setting is, in one line: its type, default, meaning and range; the base of every group."""

import copy
import dataclasses
import json
import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from made_exp.errors import did_you_mean

MISSING: Any = "???"
"""The value of a setting that has to be given, as OmegaConf spells it."""

_BOUNDS = {
    "at_least": (operator.ge, ">=", "at least"),
    "above": (operator.gt, ">", "above"),
    "below": (operator.lt, "<", "below"),
    "at_most": (operator.le, "<=", "at most"),
}


def setting(
    default: Any, meaning: str, *, choices: Sequence[str] | None = None, **bounds: float
) -> Any:
    """A field of a class of settings, with all that is known of it.

    Args:
        default: Its only default; lists and dictionaries are copied.
        meaning: What it does, in a few words, for help texts.
        choices: The texts that are allowed; None: any.
        **bounds: at_least, above, below and at_most of a number, or of every number of a list.
    """
    assert bounds.keys() <= _BOUNDS.keys(), f"no such bound: {bounds}"
    metadata = {"help": meaning, "choices": choices, "bounds": bounds}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def described(schema: type) -> Iterator[tuple[str, str, str]]:
    """Name, default as it is typed, and meaning of every setting of a class, except `name`."""
    for entry in fields(schema):
        if entry.metadata:
            factory = entry.default_factory
            default = entry.default if factory is dataclasses.MISSING else factory()
            text = default if isinstance(default, str) else json.dumps(default)
            choices = entry.metadata["choices"]
            names = f" ({' '.join(choices)})" if choices else ""
            yield (
                entry.name,
                "required" if default == MISSING else text,
                entry.metadata["help"] + names,
            )


@dataclass
class CheckedSettings:
    """Settings whose ranges are checked when they are made."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is not None and entry.metadata:  # whether null is allowed the type says
                _check(entry.name, value, entry.metadata)
        self._check()

    def _check(self) -> None:
        """Raise ValueError when values do not fit each other."""


@dataclass
class OptionSettings(CheckedSettings):
    """Settings of one option of a group; `name` is the option, as typed in `group=name`."""

    name: str = MISSING

    @classmethod
    def options(cls) -> dict[str, type[Self]]:
        """Every subclass that is an option, by its name."""
        found = {}
        for option in cls.__subclasses__():
            if option.name != MISSING:
                found[option.name] = option
            found |= option.options()
        return found


def check_device(device: str) -> None:
    """Raise ValueError unless `device` can be the name of one."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:0, cuda:1, ..., got '{device}'")


def _check(name: str, value: Any, metadata: Mapping[str, Any]) -> None:
    choices, bounds = metadata["choices"], metadata["bounds"]
    if choices and value not in choices:
        hint = did_you_mean(str(value), choices)
        raise ValueError(f"{name}: '{value}' is not one of {', '.join(choices)}{hint}")
    numbers = value if isinstance(value, list) else [value]
    if bounds and not all(_is_within(number, bounds) for number in numbers):
        what = "must hold numbers" if isinstance(value, list) else "must be"
        raise ValueError(f"{name} {what} {_words(bounds)}, got {value}")


def _is_within(number: float, bounds: Mapping[str, float]) -> bool:
    fits = (_BOUNDS[bound][0](number, limit) for bound, limit in bounds.items())
    return -math.inf < number < math.inf and all(fits)


def _words(bounds: Mapping[str, float]) -> str:
    sign = 1 if len(bounds) == 1 else 2
    return " and ".join(f"{_BOUNDS[bound][sign]} {limit}" for bound, limit in bounds.items())
