"""One line a job in the results file of a sweep, and the table of failures at its end."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS_FILE = "results.jsonl"


def append(sweep_dir: Path, entry: dict[str, Any]) -> None:
    """Append `entry` to the results file in one write, so that processes do not mix lines."""
    line = json.dumps(entry, allow_nan=False) + "\n"
    handle = os.open(sweep_dir / RESULTS_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read(sweep_dir: Path, offset: int = 0) -> list[dict[str, Any]]:
    """Entries after byte `offset`, the last one of each job folder; cut lines are left out."""
    path = sweep_dir / RESULTS_FILE
    if not path.exists():
        return []
    entries: dict[str, dict[str, Any]] = {}
    for line in path.read_bytes()[offset:].decode(errors="replace").splitlines():
        try:
            entry = json.loads(line)
            entries[entry["folder"]] = entry
        except (ValueError, TypeError, KeyError):
            continue
    return list(entries.values())


def unanswered(sweep_dir: Path, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An entry for each job folder that no entry speaks of: its process was ended from outside."""
    known = {entry["folder"] for entry in entries}
    lost = []
    for folder in sorted(sweep_dir.glob("[0-9]*_*")):
        if folder.is_dir() and folder.name not in known and not (folder / "results.json").exists():
            lost.append(
                {
                    "folder": folder.name,
                    "number": folder.name.split("_")[0],
                    "overrides": [],
                    "status": "lost",
                    "error": "ended without an answer (killed, or out of memory?)",
                }
            )
    return lost


def failure_table(sweep_dir: Path, entries: Sequence[dict[str, Any]]) -> str:
    """A table of the failed jobs among `entries`: number, overrides, error, log; '' if none."""
    failed = [entry for entry in entries if entry["status"] not in ("completed", "skipped")]
    if not failed:
        return ""
    lines = [f"error: {len(failed)} of {len(entries)} jobs failed in {sweep_dir}"]
    for entry in sorted(failed, key=lambda entry: int(entry["number"])):
        lines.append(f"  {entry['number']:>3}  {' '.join(entry['overrides'])}")
        lines.append(f"       {entry['error']}")
        lines.append(f"       {sweep_dir / entry['folder'] / 'train.log'}")
    return "\n".join(lines)
