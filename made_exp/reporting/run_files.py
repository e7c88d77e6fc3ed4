"""Readers of the files in a run's folder, which take a file as it is: whole, cut or missing."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from made_exp.errors import one_line
from made_exp.reporting.run_settings import is_number

_TRACEBACK_LINES = 30
_LOG_BYTES = 200_000
_UNREADABLE = (OSError, ValueError, RecursionError, yaml.YAMLError)


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation of a run; NLL in nats per example, seconds of training until then."""

    epoch: float
    train_nll: float | None
    valid_nll: float | None
    seconds: float | None = None


def read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """The JSON object in `path`; empty where there is none, with a problem noted if unreadable."""
    if not path.exists():
        return {}
    try:
        content = _parsed(path.read_bytes())
        if isinstance(content, dict):
            return content
        problems.append(f"{path.name} cannot be read: it holds no object")
    except _UNREADABLE as error:
        problems.append(f"{path.name} cannot be read: {one_line(error)}")
    return {}


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The JSON objects in a file of lines; an empty one for a line that cannot be read."""
    return [_object_in(line) for line in _content(path).splitlines()]


def read_curve(path: Path, problems: list[str]) -> tuple[CurvePoint, ...]:
    """The evaluations in metrics.jsonl; lines that cannot be read are counted and left out."""
    lines = read_objects(path)
    numbers = [
        [number_in(line, name) for name in ("epoch", "train_nll", "valid_nll", "seconds")]
        for line in lines
    ]
    points = [CurvePoint(epoch, *rest) for epoch, *rest in numbers if epoch is not None]
    if len(points) < len(lines):
        problems.append(f"{path.name}: {len(lines) - len(points)} line(s) cannot be read")
    return tuple(points)


def read_traceback(path: Path) -> str:
    """The end of the last traceback in the run's log, or ""."""
    for log in sorted(path.glob("*.log")):
        text = "\n" + _content(log)[-_LOG_BYTES:].decode(errors="replace")
        _, mark, rest = text.rpartition("\nTraceback (most recent")
        if mark:
            return "\n".join((mark + rest).splitlines()[1:][-_TRACEBACK_LINES:])
    return ""


def read_list(path: Path) -> list[Any]:
    """The YAML list in `path`, such as the overrides that Hydra writes; empty where unreadable."""
    try:
        content = yaml.safe_load(_content(path))
    except _UNREADABLE:
        return []
    return content if isinstance(content, list) else []


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _parsed(text: bytes) -> Any:
    return json.loads(text, parse_constant=lambda _: None)


def _object_in(line: bytes) -> dict[str, Any]:
    try:
        content = _parsed(line)
    except _UNREADABLE:
        return {}
    return content if isinstance(content, dict) else {}


def number_in(content: Mapping[str, Any], *path: str) -> float | None:
    """The finite number that stands at `path` of nested mappings, else None."""
    value: Any = content
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    try:
        return value if is_number(value) and math.isfinite(value) else None
    except OverflowError:
        return None


def text_in(content: Mapping[str, Any], name: str) -> str:
    """The text called `name`, else ""."""
    value = content.get(name)
    return value if isinstance(value, str) else ""
