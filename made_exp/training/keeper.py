"""What a run keeps of its training: last.pt to go on from, best.pt to use."""

import copy
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from made_exp.errors import CheckpointError, DivergedError
from made_exp.runs.checkpoints import (
    flush_checkpoint,
    load_checkpoint,
    save_checkpoint,
    share_checkpoint,
)
from made_exp.runs.folder import RunDirectory
from made_exp.runs.spare_file import SpareFile
from made_exp.runs.weight_blocks import blocks_of
from made_exp.training.background import BackgroundJob
from made_exp.training.observer import Observer, SilentObserver
from made_exp.training.optimizer_state import load_optimizer_state, model_state, optimizer_state
from made_exp.training.state import Learner

# A checkpoint is safe from the end of its process at once; so often it is made safe from a power
# failure too, which takes the disk longer than an epoch of a small model.
SECONDS_BETWEEN_FLUSHES = 2.0

# Models of at most so many parameters are written in a millisecond, without a thread.
NUM_PARAMETERS_AT_ONCE = 30_000


class CheckpointKeeper:
    """Saves and restores a learner.

    Training waits for a copy of the learner in memory; the copy is written beside it. The
    generation before is always one that the disk has. While training goes on, best.pt is another
    name of the last.pt that was the best; at its end it is reduced to what using the model needs.

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
        self._spare = SpareFile(run.last)
        self._is_best = False
        self._blocks = blocks_of(learner.model)

    def note_best(self) -> None:
        """What the next `save` writes is the best so far."""
        self._is_best = True

    def save(self, observer: Observer | None = None, *, wait: bool = False) -> None:
        """Begin to write last.pt, which becomes best.pt too if it is the best.

        Args:
            observer: Told when it can record the last evaluation: both are in place.
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
            self._spare.remove()

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
        learner.model.load_state_dict(content["model"])
        if learner.average is not None:
            learner.average.restart()
            learner.model.load_state_dict(content["unaveraged"])
        load_optimizer_state(learner.model, learner.optimizer, content["optimizer"])
        learner.scheduler.load_state_dict(content["scheduler"])
        learner.losses.values.copy_(content["losses"])
        torch.set_rng_state(content["generators"]["cpu"])
        for name, value in content["state"].items():
            setattr(learner.state, name, value)
        if self.writes:
            self._unflushed = {self.run.best, self.run.last}
            if learner.state.evaluated_step == learner.state.step and not learner.state.since_best:
                # The end may have come before it was best.pt, too.
                self._replace(self.run.best, content, flush=False)

    def restore_best(self) -> None:
        """Give the model the weights of the best evaluation; best.pt is all they need from now."""
        self.wait()
        content, model = load_checkpoint(self.run.best), self.learner.model
        model.load_state_dict(content["model"])
        if self.writes:
            kept = {"model": model_state(model), "state": content["state"], **self.description}
            self._replace(self.run.best, kept, flush=True)

    def _begin_to_write(self, observer: Observer, *, flush: bool) -> None:
        self._refuse_bad_weights()
        flush = flush or time.monotonic() - self._flushed_at >= SECONDS_BETWEEN_FLUSHES
        content, is_best, self._is_best = self._content(), self._is_best, False
        size = sum(parameter.numel() for parameter in self.learner.model.parameters())
        self._job.start(
            lambda: self._write(content, is_best, flush, observer),
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

    def _content(self) -> dict[str, Any]:
        """A copy of the learner; `model` has the weights that are evaluated."""
        learner = self.learner
        weights, unaveraged = model_state(learner.model, blocks=True), None
        if learner.average is not None:
            unaveraged = weights
            weights = model_state(learner.model, learner.average.average, blocks=True)
        return {
            "blocks": self._blocks,
            "model": weights,
            "unaveraged": unaveraged,
            "optimizer": optimizer_state(learner.model, learner.optimizer, blocks=True),
            "scheduler": copy.deepcopy(learner.scheduler.state_dict()),
            "losses": learner.losses.values.to("cpu", copy=True),
            "generators": {"cpu": torch.get_rng_state()},
            "state": asdict(learner.state),
            **self.description,
        }

    def _write(
        self, content: dict[str, Any], is_best: bool, flush: bool, observer: Observer
    ) -> None:
        observer.flush()
        if flush:
            self._flush(self.run.best)  # before last.pt goes on from it
        self._replace(self.run.last, content, flush)
        if is_best:
            share_checkpoint(
                self.run.last, self.run.best, keep=self.run.best not in self._unflushed
            )
            self._note_flush(self.run.best, flush)
        observer.saved(content["state"]["record"])

    def _flush(self, *paths: Path) -> None:
        for path in self._unflushed.intersection(paths):
            flush_checkpoint(path)
        self._unflushed.difference_update(paths)
        self._flushed_at = time.monotonic()

    def _replace(self, path: Path, content: dict[str, Any], flush: bool) -> None:
        keep = path not in self._unflushed
        spare = self._spare if path == self.run.last else None
        save_checkpoint(path, content, flush=flush, keep=keep, spare=spare)
        self._note_flush(path, flush)

    def _note_flush(self, path: Path, flush: bool) -> None:
        self._unflushed.discard(path)
        if not flush:
            self._unflushed.add(path)
