"""What a run needs to be understood later: resolved settings, command, code."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from made_exp.files import atomic_write_bytes, atomic_write_json, atomic_write_text
from made_exp.machine import code_state
from made_exp.settings.experiment import Settings

_LONGEST_DIFF = 1_000_000

FILES = ("config.resolved.yaml", "command.json", "git.json", "diff.patch")
"""What `save_provenance` writes."""


def save_provenance(
    run_dir: Path, settings: Settings, overrides: Sequence[str], launch: str
) -> None:
    """Write the settings, the command and the state of the code into `run_dir`.

    Args:
        run_dir: Folder of the run.
        settings: Its settings.
        overrides: What was typed.
        launch: What tells this start of the command from every other.
    """
    text = OmegaConf.to_yaml(OmegaConf.create(asdict(settings)))
    atomic_write_text(run_dir / "config.resolved.yaml", text)
    command = {
        "command": command_for(overrides),
        "argv": sys.argv,
        "folder": os.getcwd(),
        "host": platform.node(),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "seed": settings.seed,
        "launch": launch,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    atomic_write_json(run_dir / "command.json", command)
    commit, diff = code_state()
    state = {"commit": commit, "dirty": bool(diff) if commit else None}
    atomic_write_json(run_dir / "git.json", state)
    if diff:
        atomic_write_bytes(run_dir / "diff.patch", diff[:_LONGEST_DIFF])


def launch_of(run_dir: Path) -> str | None:
    """The launch that last ran in `run_dir`; None where there was none."""
    try:
        return json.loads((run_dir / "command.json").read_text())["launch"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def command_for(overrides: Sequence[str]) -> str:
    """A line to paste that runs the same job again."""
    kept = [text for text in overrides if not text.startswith("resume=")]
    return shlex.join(["made-train", *kept])
