"""Finding runs: every folder below a place that a run has written to, over any number of sweeps."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from made_exp.errors import ConfigError
from made_exp.reporting.records import RunRecord, read_run
from made_exp.reporting.run_files import read_objects, text_in
from made_exp.reporting.run_settings import settings_of

_MARKS = ("status.json", "results.json", "metrics.jsonl", os.path.join(".hydra", "config.yaml"))
_INNER = frozenset({"checkpoints", "samples"})
_SWEEP_FILE = "results.jsonl"


def find_runs(path: str | Path) -> list[RunRecord]:
    """All runs at or below `path`, whatever became of them, by name.

    Jobs that a sweep's results file knows as failed, but that left no folder, are among them.

    Raises:
        ConfigError: If `path` is no folder or holds no run.
    """
    root = Path(path)
    if not root.is_dir():
        raise ConfigError(f"path must be an existing folder, got '{path}'")
    runs: list[RunRecord] = []
    entries_of = cache(_sweep_entries)
    for folder in _folders(root):
        place = folder.absolute()
        runs += [
            _lost(folder / name, root, entry)
            for name, entry in entries_of(place).items()
            if entry.get("status") == "failed" and not (folder / name).exists()
        ]
        if any((folder / mark).exists() for mark in _MARKS):
            entry = entries_of(place.parent).get(place.name)
            runs.append(read_run(folder, _name(folder, root), entry))
    if not runs:
        raise ConfigError(
            f"no runs below '{path}': no folder there holds a status.json, "
            "results.json or metrics.jsonl"
        )
    return sorted(runs, key=lambda run: run.name)


def _folders(root: Path) -> Iterator[Path]:
    # Symbolic links are not followed: they may lead round in circles.
    for folder, children, _ in os.walk(root):
        children[:] = sorted(c for c in children if not c.startswith(".") and c not in _INNER)
        yield Path(folder)


def _sweep_entries(folder: Path) -> dict[str, dict[str, Any]]:
    """The last entry of each job in a sweep's results file, by the job's folder."""
    entries = {text_in(entry, "folder"): entry for entry in read_objects(folder / _SWEEP_FILE)}
    return {name: entry for name, entry in entries.items() if name and Path(name).name == name}


def _lost(folder: Path, root: Path, entry: dict[str, Any]) -> RunRecord:
    settings = settings_of(entry.get("overrides"))
    return RunRecord(
        name=_name(folder, root),
        path=folder,
        status="failed",
        settings=settings,
        dataset=str(settings.get("dataset.name", "")),
        error=str(entry.get("error") or ""),
    )


def _name(folder: Path, root: Path) -> str:
    """Path of `folder` below `root`, as text that can be written as UTF-8."""
    relative = os.path.relpath(folder, root)
    name = folder.resolve().name if relative == "." else relative
    return os.fsencode(name).decode("utf-8", "replace")
