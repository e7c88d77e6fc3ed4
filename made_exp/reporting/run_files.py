"""Readers of the files in a run's folder, which take a file as it is: whole, cut or missing."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TRACEBACK_LINES = 30
_LOG_BYTES = 200_000
_GROUPS = ("model", "dataset", "optimizer", "scheduler", "ordering", "trainer")


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation of a run; NLL in nats per example."""

    epoch: float
    train_nll: float | None
    valid_nll: float | None


def read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """The JSON object in `path`; empty where there is none, with a problem noted if unreadable."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_bytes(), parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read: {' '.join(str(error).split())}")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path.name} cannot be read: it holds no object")
        return {}
    return content


def read_curve(path: Path, problems: list[str]) -> tuple[CurvePoint, ...]:
    """The evaluations in metrics.jsonl; lines that cannot be read are counted and left out."""
    points, damaged = [], 0
    for line in _lines(path):
        try:
            content = json.loads(line, parse_constant=lambda _: None)
            epoch = as_number(content["epoch"])
        except (ValueError, KeyError, TypeError, RecursionError):
            epoch = None
        if epoch is None:
            damaged += 1
            continue
        train, valid = content.get("train_nll"), content.get("valid_nll")
        points.append(CurvePoint(epoch, as_number(train), as_number(valid)))
    if damaged:
        problems.append(f"{path.name}: {damaged} line(s) cannot be read")
    return tuple(points)


def read_seconds(path: Path) -> float | None:
    """Seconds of training at the last line of metrics.jsonl that can be read."""
    for line in reversed(_lines(path)):
        try:
            return as_number(json.loads(line)["seconds"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return None


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []


def read_traceback(path: Path) -> str:
    """The end of the last traceback in the run's log, or ""."""
    for log in sorted(path.glob("*.log")):
        try:
            with open(log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            continue
        starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent")]
        if starts:
            return "\n".join(lines[starts[-1] :][-_TRACEBACK_LINES:])
    return ""


def read_overrides(path: Path) -> list[str]:
    """Items of a YAML list of strings, as Hydra writes it."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [line[2:].strip().strip("'\"") for line in lines if line.startswith("- ")]


def settings_of(overrides: list[Any]) -> dict[str, Any]:
    """Settings by dotted name from overrides such as `optimizer=sgd` and `optimizer.lr=0.1`."""
    settings: dict[str, Any] = {}
    for override in overrides:
        key, equals, value = str(override).partition("=")
        key = key.lstrip("+~")
        if not equals or key.startswith("hydra"):
            continue
        settings[f"{key}.name" if key in _GROUPS else key] = _parsed(value)
    return settings


def _parsed(value: str) -> Any:
    special = {"true": True, "false": False, "null": None}
    if value.lower() in special:
        return special[value.lower()]
    try:
        number = float(value)
    except ValueError:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value.strip("'\"")
    return int(number) if number.is_integer() and value.lstrip("+-").isdigit() else number


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name: `{"optimizer": {"lr": 1}}` -> `{"optimizer.lr": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def as_mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_number(value: Any) -> float | None:
    """`value` where it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def as_whole(value: float | None) -> int | None:
    """`value` without its fraction."""
    return None if value is None else int(value)


def as_text(value: Any) -> str:
    """`value` where it is text, else ""."""
    return value if isinstance(value, str) else ""


def first_known(*values: float | None) -> float | None:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)
