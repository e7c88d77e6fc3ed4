"""What a sweep is from outside its jobs: its start, a line for each job, the tables at its end."""

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from made_exp.cli.command_line import command_for
from made_exp.cli.resolvers import conf_dir, slug  # workers import this module first

RESULTS_FILE = "results.jsonl"


started: dict[Path, int] = {}
"""The folder of the sweep that this process started, if any: bytes of results it held before."""


places: list[Path] = []
"""Where the command that this process started writes: a folder, once it is known."""


missing_folders: set[Path] = set()
"""The folders above that of the run which this process started, that were not there before."""


class SweepStart(Callback):
    """Fixes what every job of a sweep must share, and notes what was there, before a job starts."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note which folders Hydra is going to make for a single run."""
        folder = Path(str(config.hydra.run.dir)).absolute()
        places[:] = [folder]
        missing_folders.clear()
        missing_folders.update(parent for parent in folder.parents if not parent.exists())

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Freeze the hash of conf/, remember the folder, make room for Optuna's database."""
        HydraConfig.instance().set_config(config)
        for name in config.hydra.job.env_set:
            str(config.hydra.job.env_set[name])  # Resolved here once, cached for all jobs.
        folder = Path(str(config.hydra.sweep.dir)).absolute()
        places[:] = [folder]
        results = folder / RESULTS_FILE
        started[folder] = results.stat().st_size if results.exists() else 0
        storage = str(config.hydra.sweeper.get("storage", None) or "")
        if storage.startswith("sqlite:///") and storage != "sqlite:///:memory:":
            database = Path(storage.removeprefix("sqlite:///").split("?")[0])
            os.makedirs(database.absolute().parent, exist_ok=True)


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


def append_lost(sweep_dir: Path, number: int, overrides: Sequence[str], error: str) -> None:
    """Append an entry for a job whose process ended without writing one."""
    task = [text for text in overrides if not text.startswith(("hydra.", "hydra/"))]
    entry = {"number": number, "folder": f"{number:03d}_{slug(task)}", "overrides": task}
    entry |= {"status": "lost", "objective": None, "error": error}
    append(sweep_dir, entry)


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


def _without_search(entry: dict[str, Any]) -> list[str]:
    """Overrides of a job, with the options that a ready search chose in place of the search."""
    texts = list(entry["overrides"])
    search = next((text for text in texts if text.startswith("search=")), None)
    if search is None:
        return texts
    folders = [conf_dir(), *map(Path, filter(None, [entry.get("config_dir")]))]
    files = [folder / "search" / f"{search.removeprefix('search=')}.yaml" for folder in folders]
    config = next((OmegaConf.load(file) for file in files if file.is_file()), None)
    if not isinstance(config, DictConfig) or config.keys() - {"defaults", "hydra"}:
        return texts
    rest = [text for text in texts if text is not search]
    typed = {text.partition("=")[0] for text in rest}
    defaults = [entry for entry in config.get("defaults", ()) if OmegaConf.is_dict(entry)]
    pairs = ((str(key), value) for entry in defaults for key, value in entry.items())
    chosen = {key.removeprefix("override /"): value for key, value in pairs}
    return [f"{k}={v}" for k, v in chosen.items() if "/" not in k and k not in typed] + rest


def what_next(sweep_dir: Path) -> str:
    """The best job in `sweep_dir`, its command, and those that compare all; '' if none is done."""
    done = [entry for entry in read(sweep_dir) if entry.get("objective") is not None]
    if not done:
        return ""
    best = min(done, key=lambda entry: entry["objective"])
    folder = os.path.relpath(sweep_dir) if Path.cwd() in sweep_dir.parents else str(sweep_dir)
    lines = (
        ("best job", command_for(_without_search(best), best.get("config_dir"))),
        ("a page with charts", f"made-report {shlex.quote(f'path={folder}')}"),
        ("curves, pictures", f"tensorboard --logdir {shlex.quote(folder)}"),
    )
    return "\n".join(
        [
            f"best validation NLL {best['objective']:.4f} nats in {sweep_dir / best['folder']}",
            *(f"  {what:<20} {command}" for what, command in lines),
        ]
    )
