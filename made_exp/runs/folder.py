"""The folder of a run: every path inside it, who may write to it, and how far the run has come."""

import json
import logging
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

from made_exp.errors import RunError, TrainingError, is_the_disks
from made_exp.files import atomic_write_json, remove_unfinished
from made_exp.runs.holding import Lease, held, is_free
from made_exp.settings.experiment import Settings
from made_exp.settings.fingerprint import changed_keys

_log = logging.getLogger(__name__)
# So many settings that differ are named.
_MOST_TOLD = 4
# What a run writes: its own files, and those of the command that keep how it was started.
_WRITTEN: tuple[str, ...] = (
    "config.json",
    "status.json",
    "metrics.jsonl",
    "results*.json",
    "train.log",
    "config.resolved.yaml",
    "command.json",
)
_WRITTEN += ("git.json", "diff.patch", ".hydra/*.yaml", "samples/final.png", "samples/epoch_*.png")
_WRITTEN += ("samples/training.gif", "checkpoints/last*.pt", "checkpoints/best*.pt")


class RunState(StrEnum):
    """How far a run has come, as its status.json says."""

    NEW = "new"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    COMPLETED = "completed"


class RunDirectory:
    """Every path of a run in one place.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lease: Lease | None = None
        self.config = self.path / "config.json"
        self.status = self.path / "status.json"
        self.results = self.path / "results.json"
        self.previous_results = self.path / "results.previous.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.last = self.checkpoints / "last.pt"
        self.best = self.checkpoints / "best.pt"
        self.samples = self.path / "samples"
        self.final_samples = self.samples / "final.png"
        self.animation = self.samples / "training.gif"

    def epoch_samples(self, epoch: int) -> Path:
        """The sample picture of `epoch` (>= 0)."""
        return self.samples / f"epoch_{epoch:04d}.png"

    def create(self) -> None:
        """Make the folder.

        Raises:
            RunError: If the place cannot be written.
        """
        with self._written():
            self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kind = TrainingError if is_the_disks(error) else RunError
            raise kind(f"cannot write the run folder {self.path}: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; it is free should the process die.

        Raises:
            RunError: If another process holds it, or it cannot be written.
        """
        with ExitStack() as stack:
            with self._written():
                self._lease = stack.enter_context(held(self.path))
            if self.status.exists():
                self._clear_up()
            yield

    def check_held(self) -> None:
        """Refuse to write where `locked` is not enough: see `Lease`.

        Raises:
            TrainingError: If another process has taken the folder over.
        """
        if self._lease is not None:
            self._lease.check()

    def _clear_up(self) -> None:
        """Remove what processes that were killed had begun to write; the lock is held."""
        with self._written():
            remove_unfinished(self.path, others_write=True)  # such as made-eval
            for folder in (self.checkpoints, self.samples):
                remove_unfinished(folder, others_write=False)

    def read_status(self) -> dict[str, Any]:
        """Content of status.json; a state of NEW when there is none, RUNNING when it is damaged."""
        if not self.status.exists():
            return {"state": RunState.NEW}
        try:
            status = json.loads(self.status.read_text())
            return {**status, "state": RunState(status["state"])}
        except (ValueError, KeyError, TypeError):
            return {"state": RunState.RUNNING}

    def is_abandoned(self) -> bool:
        """Whether its run was begun on this machine, and the process died without a word."""
        status = self.read_status()
        is_here = status.get("host") == platform.node()
        return status["state"] is RunState.RUNNING and is_here and is_free(self.path)

    def write_status(self, state: RunState, fingerprint: str, **details: Any) -> None:
        """Replace status.json by this state; `details` are plain JSON values."""
        self.check_held()
        atomic_write_json(self.status, {"state": state, "fingerprint": fingerprint, **details})

    @contextmanager
    def telling_how_it_ends(self, fingerprint: str) -> Iterator[None]:
        """Say in status.json what ends the block, if it is an error or a signal."""
        try:
            yield
        except BaseException as error:
            state = RunState.FAILED if isinstance(error, Exception) else RunState.STOPPED
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if isinstance(error, SystemExit | KeyboardInterrupt):  # whose text is a number, or none
                reason = "interrupted; made-train resume=RUN goes on"
            try:
                self.write_status(state, fingerprint, error=reason)
            except (OSError, TrainingError):
                _log.warning("cannot write %s", self.status)
            raise

    def finished_objective(self, fingerprint: str) -> float | None:
        """The stored objective if exactly this config has been completed here, else None."""
        status = self.read_status()
        if status["state"] is not RunState.COMPLETED or not self.results.exists():
            return None
        return status["objective"] if status.get("fingerprint") == fingerprint else None

    def saved_config(self) -> dict[str, Any] | None:
        """The config of the run in this folder; None where there is none that can be read."""
        try:
            content = json.loads(self.config.read_text())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def check(self, settings: Settings) -> None:
        """Refuse to run here what would damage the run that the folder holds.

        Raises:
            RunError: If the folder holds a run and `settings` are not to continue one, or the run
                of other settings; the message names those that differ.
        """
        if not any(path.exists() for path in (self.config, self.status, self.results, self.last)):
            return
        if not settings.resume:
            raise RunError(
                f"directory already holds a run: {self.path}. Give resume=true to continue it, "
                "or another directory"
            )
        changed = changed_keys(self.saved_config() or asdict(settings), settings)
        if changed:
            more = f" and {len(changed) - _MOST_TOLD} more" if len(changed) > _MOST_TOLD else ""
            typed = f" ({self.typed()})" if self.typed() else ""
            raise RunError(
                f"cannot resume {self.path}: the config differs from that of the run in "
                f"{'; '.join(changed[:_MOST_TOLD])}{more}. Resume with the same settings"
                f"{typed}, or start a new run"
            )

    def typed(self) -> str | None:
        """The command that the run was started by, for pasting; None where that is not known."""
        try:
            return str(json.loads((self.path / "command.json").read_text())["command"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def start(self, config: Mapping[str, Any], fingerprint: str) -> None:
        """Mark the folder as that of a running run, and make its sub-folders.

        Args:
            config: Plain values.
            fingerprint: What identifies the results of `config`.

        Raises:
            RunError: If the folder cannot be written.
        """
        with self._written():
            self.checkpoints.mkdir(exist_ok=True)
            self.samples.mkdir(exist_ok=True)
            if self.results.exists():  # a finished run is given more epochs
                self.results.replace(self.previous_results)
            atomic_write_json(self.config, config)
            self.write_status(RunState.RUNNING, fingerprint, host=platform.node())


def finished_sibling(path: Path, fingerprint: str) -> RunDirectory | None:
    """A completed run of the same config beside `path`, as after a sweep has grown."""
    for status in sorted(Path(path).parent.glob("*/status.json")):
        run = RunDirectory(status.parent)
        if run.finished_objective(fingerprint) is not None:
            return run
    return None


def files_of_others(path: Path) -> list[str]:
    """Names of files in `path` that a run would write over, where it is not the folder of a run."""
    run = RunDirectory(path)
    if "trainer" in (run.saved_config() or {}) or "fingerprint" in run.read_status():
        return []
    if run.last.exists() or (path / ".hydra" / "hydra.yaml").is_file():
        return []
    found = (one for pattern in _WRITTEN for one in path.glob(pattern))
    return sorted(str(one.relative_to(path)) for one in found if not one.is_dir())
