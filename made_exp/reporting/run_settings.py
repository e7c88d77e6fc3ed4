"""Settings of runs by dotted name: read, as text, in order, and where they differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from made_exp.settings.fingerprint import DISPLAY

_GROUPS = ("model", "dataset", "optimizer", "scheduler", "ordering", "trainer")
_NOT_SHOWN = DISPLAY - {"trainer.device"} | {"experiment"}


def settings_of(overrides: Any) -> dict[str, Any]:
    """Settings by dotted name from a list such as `["optimizer=sgd"]`; none from anything else."""
    settings: dict[str, Any] = {}
    for override in overrides if isinstance(overrides, list) else ():
        key, equals, value = str(override).partition("=")
        key = key.lstrip("+~")
        if not equals or key.startswith("hydra"):
            continue
        settings[f"{key}.name" if key in _GROUPS else key] = _parsed(value)
    return settings


def _parsed(value: str) -> Any:
    text = value.lower() if value.lower() in ("true", "false", "null") else value
    for read in (json.loads, float):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return value.strip("'\"")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name: `{"optimizer": {"lr": 1}}` -> `{"optimizer.lr": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number, which a truth value is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def sort_key(value: Any) -> tuple[int, float, str]:
    """A key that orders numbers before text."""
    return (0, value, "") if is_number(value) else (1, 0.0, cell_text(value))


def cell_text(value: Any) -> str:
    """A setting or name as text: numbers as short as they are exact, lists as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, default=str)
    return str(value)


def short_text(value: Any) -> str:
    """A setting as text to be read: fractions to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else cell_text(value)


def differing_settings(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of settings that two of the runs that have them give different values."""
    seen: dict[str, str] = {}
    differing: set[str] = set()
    for settings in runs:
        for key, value in settings.items():
            if key not in _NOT_SHOWN and seen.setdefault(key, cell_text(value)) != cell_text(value):
                differing.add(key)
    # The names of options come first: they say what the other settings belong to.
    return sorted(
        (key for key in seen if key in differing), key=lambda key: not key.endswith(".name")
    )
