"""What a run keeps of its training: last.pt to go on from, best.pt to use."""

import copy
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from made_exp.runs import RunDirectory
from made_exp.training.background import BackgroundJob
from made_exp.training.checkpoints import (
    CheckpointError,
    flush_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from made_exp.training.losses import DivergedError
from made_exp.training.observer import Observer, SilentObserver
from made_exp.training.optimizer_state import load_optimizer_state, model_state, optimizer_state
from made_exp.training.spare_file import SpareFile
from made_exp.training.state import Learner

# A checkpoint is safe from the end of its process at once; so often it is made safe from a power
# failure too, which takes the disk longer than an epoch of a small model.
SECONDS_BETWEEN_FLUSHES = 2.0

# Models of at most so many parameters are written in a millisecond, without a thread.
NUM_PARAMETERS_AT_ONCE = 30_000


class CheckpointKeeper:
    """Saves and restores a learner.

    Training waits for a copy of the learner in memory; the copy is written beside it. The
    generation before is always one that the disk has.

    Args:
        learner: What is saved; restoring changes it in place.
        run: Where the checkpoints are.
        description: Plain values that every checkpoint carries, such as the config.
        writes: Whether this process is the one that writes.
    """

    def __init__(
        self,
        learner: Learner,
        run: RunDirectory,
        description: Mapping[str, Any] | None = None,
        *,
        writes: bool = True,
    ) -> None:
        self.learner, self.run, self.writes = learner, run, writes
        self.description = dict(description or {})
        self.saved_at, self._flushed_at = time.monotonic(), -float("inf")
        self._saved: tuple[int, int] | None = None
        self._job = BackgroundJob()
        self._unflushed: set[Path] = set()
        self._spares = {path: SpareFile(path) for path in (run.best, run.last)}
        self._new_best: dict[str, Tensor] | None = None

    def note_best(self) -> None:
        """Keep the model's present weights as the best, for the next `save`."""
        self._new_best = model_state(self.learner.model)

    def save(self, observer: Observer | None = None, *, wait: bool = False) -> None:
        """Begin to write last.pt, and before it best.pt if there is a new best.

        Args:
            observer: Told when it can record the last evaluation: last.pt is in place.
            wait: Whether to return when the disk has it.

        Raises:
            CheckpointError: If this or the last checkpoint cannot be written.
            DivergedError: If a weight is not finite; the last checkpoint is left as it is.
        """
        if not self.writes:
            return
        started, state = time.monotonic(), self.learner.state
        self.wait()
        if wait and self._saved == (state.step, state.evaluations):
            self._job.start(lambda: self._flush(self.run.best, self.run.last))
        else:
            self._begin_to_write(observer or SilentObserver(), flush=wait)
        if wait:
            self.wait()
        self.saved_at = time.monotonic()
        state.checkpoint_seconds += self.saved_at - started

    def wait(self) -> None:
        """Return when all that was saved is written.

        Raises:
            CheckpointError: If it cannot be written.
        """
        self._job.wait()
        self.learner.state.checkpoint_seconds += self._job.take_cpu_seconds()

    def close(self) -> None:
        """Return when all that was saved is written, and leave nothing else.

        Raises:
            CheckpointError: If it cannot be written.
        """
        try:
            self.wait()
        finally:
            for spare in self._spares.values():
                spare.remove()

    def restore(self) -> None:
        """Put the learner into the state of last.pt.

        Raises:
            CheckpointError: If it cannot be read, or was trained on other data.
        """
        content, learner = load_checkpoint(self.run.last), self.learner
        if content.get("data") != self.description.get("data"):
            raise CheckpointError(
                f"cannot resume {self.run.path}: the data have changed since it was started"
            )
        if learner.average is not None:
            learner.model.load_state_dict(content["average"])
            learner.average.restart()
        learner.model.load_state_dict(content["model"])
        load_optimizer_state(learner.model, learner.optimizer, content["optimizer"])
        learner.scheduler.load_state_dict(content["scheduler"])
        learner.losses.values.copy_(content["losses"])
        torch.set_rng_state(content["generators"]["cpu"])
        for name, value in content["state"].items():
            setattr(learner.state, name, value)
        if self.writes:
            self._unflushed = {self.run.best, self.run.last}

    def restore_best(self) -> None:
        """Give the model the weights of the best evaluation."""
        self.wait()
        self.learner.model.load_state_dict(load_checkpoint(self.run.best)["model"])

    def _begin_to_write(self, observer: Observer, *, flush: bool) -> None:
        self._refuse_bad_weights()
        flush = flush or time.monotonic() - self._flushed_at >= SECONDS_BETWEEN_FLUSHES
        best, last = self._contents()
        size = sum(parameter.numel() for parameter in self.learner.model.parameters())
        self._job.start(
            lambda: self._write(best, last, flush, observer),
            at_once=size <= NUM_PARAMETERS_AT_ONCE,
        )
        self._saved = (self.learner.state.step, self.learner.state.evaluations)

    def _refuse_bad_weights(self) -> None:
        bad = self.learner.first_bad_parameter()
        if bad is not None:
            step = self.learner.state.step
            raise DivergedError(
                f"training diverged: {bad} is not finite after step {step}. Last finite "
                f"checkpoint: {self.run.last}. Try a lower optimizer.lr or trainer.grad_clip=1"
            )

    def _contents(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Copies of what belongs into best.pt, if that is to be written, and into last.pt."""
        last, weights = self._content(), self._new_best
        self._new_best = None
        if weights is None:
            return None, last
        return {"model": weights, "state": last["state"], **self.description}, last

    def _content(self) -> dict[str, Any]:
        learner = self.learner
        average = None
        if learner.average is not None:
            average = self._new_best or model_state(learner.model, learner.average.average)
        return {
            "model": model_state(learner.model),
            "average": average,
            "optimizer": optimizer_state(learner.model, learner.optimizer),
            "scheduler": copy.deepcopy(learner.scheduler.state_dict()),
            "losses": learner.losses.values.to("cpu", copy=True),
            "generators": {"cpu": torch.get_rng_state()},
            "mask_index": learner.model.schedule.index_at(learner.state.step),
            "state": asdict(learner.state),
            **self.description,
        }

    def _write(
        self, best: dict[str, Any] | None, last: dict[str, Any], flush: bool, observer: Observer
    ) -> None:
        observer.flush()
        if best is not None:
            self._replace(self.run.best, best, flush)
        if flush:
            self._flush(self.run.best)  # before last.pt knows of it
        self._replace(self.run.last, last, flush)
        observer.saved(last["state"]["record"])

    def _flush(self, *paths: Path) -> None:
        for path in self._unflushed.intersection(paths):
            flush_checkpoint(path)
        self._unflushed.difference_update(paths)
        self._flushed_at = time.monotonic()

    def _replace(self, path: Path, content: dict[str, Any], flush: bool) -> None:
        keep = path not in self._unflushed
        save_checkpoint(path, content, flush=flush, keep=keep, spare=self._spares[path])
        self._unflushed.discard(path)
        if not flush:
            self._unflushed.add(path)
