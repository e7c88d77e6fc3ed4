"""Readers of the files in a run's folder, which take a file as it is: whole, cut or missing."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_TRACEBACK_LINES = 30
_LOG_BYTES = 200_000


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


def read_list(path: Path) -> list[Any]:
    """The YAML list in `path`, such as the overrides that Hydra writes; empty where unreadable."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return []
    return content if isinstance(content, list) else []


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
