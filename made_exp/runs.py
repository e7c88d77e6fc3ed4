"""The folder of a run: every path inside it, who may write to it, and how far the run has come."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from made_exp.files import atomic_write_json

# Settings that change how a run is executed or shown, never what it computes (but for rounding).
EXECUTION_SETTINGS = frozenset(
    {
        "resume",
        "notes",
        "experiment",
        "trainer.name",
        "trainer.device",
        "trainer.kernel",
        "trainer.num_threads",
        "trainer.eval_batch_size",
        "trainer.checkpoint_every_seconds",
        "trainer.samples_every",
        "trainer.num_samples",
        "trainer.animation",
        "trainer.progress",
        "trainer.tensorboard",
        "trainer.check_numbers",
    }
)
# Settings that say when a run ends: a resumed run may be given more (or less) of them.
LENGTH_SETTINGS = frozenset(
    {"trainer.epochs", "trainer.max_steps", "trainer.max_minutes", "trainer.patience"}
)


class RunError(RuntimeError):
    """A run folder cannot be used as asked."""


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
        self.config = self.path / "config.json"
        self.status = self.path / "status.json"
        self.results = self.path / "results.json"
        self.previous_results = self.path / "results.previous.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.last = self.checkpoints / "last.pt"
        self.last_previous = self.checkpoints / "last.previous.pt"
        self.best = self.checkpoints / "best.pt"
        self.best_previous = self.checkpoints / "best.previous.pt"
        self.samples = self.path / "samples"
        self.final_samples = self.samples / "final.png"
        self.animation = self.samples / "training.gif"

    def epoch_samples(self, epoch: int) -> Path:
        """The sample picture of `epoch` (>= 0)."""
        return self.samples / f"epoch_{epoch:04d}.png"

    def create(self) -> None:
        """Make the folder and its sub-folders.

        Raises:
            RunError: If the place cannot be written.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.samples.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write the run folder {self.path}: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the kernel frees it should the process die.

        Raises:
            RunError: If another process holds it, or it cannot be written.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"another process is working in the run folder {self.path}") from None
        except OSError as error:
            raise RunError(f"cannot write the run folder {self.path}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def read_status(self) -> dict[str, Any]:
        """Content of status.json; a state of NEW when there is none, RUNNING when it is damaged."""
        if not self.status.exists():
            return {"state": RunState.NEW}
        try:
            status = json.loads(self.status.read_text())
            return {**status, "state": RunState(status["state"])}
        except (ValueError, KeyError, TypeError):
            return {"state": RunState.RUNNING}

    def write_status(self, state: RunState, fingerprint: str, **details: Any) -> None:
        """Replace status.json by this state; `details` are plain JSON values."""
        atomic_write_json(self.status, {"state": state, "fingerprint": fingerprint, **details})

    def finished_objective(self, config: Mapping[str, Any]) -> float | None:
        """The stored objective if exactly this config has been completed here, else None."""
        status = self.read_status()
        if status["state"] is not RunState.COMPLETED or not self.results.exists():
            return None
        return status["objective"] if status.get("fingerprint") == fingerprint(config) else None

    def begin(self, config: Mapping[str, Any], *, resume: bool) -> bool:
        """Take the folder for a run of `config`; return whether an earlier run is continued.

        Raises:
            RunError: If the folder holds a run and `resume` is false, or holds a run of another
                config; the message names the settings that differ.
        """
        holds_run = any(path.exists() for path in (self.status, self.results, self.last))
        if holds_run and not resume:
            raise RunError(
                f"directory already holds a run: {self.path}. Give resume=true to continue it, "
                "or another directory"
            )
        if holds_run and self.config.exists():
            changed = differing_keys(json.loads(self.config.read_text()), config)
            if changed:
                raise RunError(
                    f"cannot resume {self.path}: the config differs from that of the run in "
                    f"{', '.join(changed)}. Resume with the same settings, or start a new run"
                )
        if self.results.exists():
            self.results.replace(self.previous_results)
        atomic_write_json(self.config, config)
        self.write_status(RunState.RUNNING, fingerprint(config))
        return holds_run


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping from dotted keys to values."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def fingerprint(config: Mapping[str, Any]) -> str:
    """What identifies the results of `config`: sha1 of all settings that can change them."""
    text = json.dumps(_select(config, EXECUTION_SETTINGS), sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def differing_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What forbids to continue a run of `old` as `new`: lines `key (old -> new)`, sorted."""
    ignored = EXECUTION_SETTINGS | LENGTH_SETTINGS
    before, after = _select(old, ignored), _select(new, ignored)
    return [
        f"{key} ({before.get(key, 'absent')} -> {after.get(key, 'absent')})"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def finished_sibling(path: Path, config: Mapping[str, Any]) -> RunDirectory | None:
    """A completed run of `config` in another folder beside `path`, as after a sweep has grown."""
    for status in sorted(Path(path).parent.glob("*/status.json")):
        run = RunDirectory(status.parent)
        if run.finished_objective(config) is not None:
            return run
    return None


def _select(config: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, Any]:
    return {
        key: value
        for key, value in flatten(config).items()
        if key not in ignored and not key.startswith("notes.")
    }
