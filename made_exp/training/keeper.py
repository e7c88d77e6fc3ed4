"""What a run keeps of its training: last.pt to go on from, best.pt to use."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from made_exp.runs import RunDirectory
from made_exp.training.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from made_exp.training.losses import DivergedError
from made_exp.training.optimizer_state import load_optimizer_state, optimizer_state
from made_exp.training.state import Learner

# Checkpoints may take this share of the time; a new one waits until it is earned.
SAVING_SHARE = 0.025


class CheckpointKeeper:
    """Saves and restores a learner.

    The best weights are held in memory until they are written, always before the last.pt that
    knows of them.

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
        self.saved_at, self._cost = time.monotonic(), 0.0
        self._new_best: dict[str, Any] | None = None

    def is_affordable(self) -> bool:
        """Whether enough time has passed since the last checkpoint to pay for another."""
        return time.monotonic() - self.saved_at >= self._cost / SAVING_SHARE

    def note_best(self) -> None:
        """Keep the model's present weights as the best."""
        self._new_best = {
            "model": _on_cpu(self.learner.model.state_dict()),
            "state": asdict(self.learner.state),
            **self.description,
        }

    def save(self) -> None:
        """Write last.pt, and before it best.pt if there is a new best.

        Raises:
            CheckpointError: If a file cannot be written.
            DivergedError: If a weight is not finite; the last checkpoint is left as it is.
        """
        if not self.writes:
            return
        started = time.monotonic()
        bad = self.learner.first_bad_parameter()
        if bad is not None:
            step = self.learner.state.step
            raise DivergedError(
                f"training diverged: {bad} is not finite after step {step}. Last finite "
                f"checkpoint: {self.run.last}. Try a lower optimizer.lr or trainer.grad_clip=1"
            )
        if self._new_best is not None:
            save_checkpoint(self.run.best, self._new_best)
            self._new_best = None
        save_checkpoint(self.run.last, self._content())
        self.saved_at = time.monotonic()
        self._cost = self.saved_at - started

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

    def restore_best(self) -> None:
        """Give the model the weights of the best evaluation."""
        self.learner.model.load_state_dict(load_checkpoint(self.run.best)["model"])

    def _content(self) -> dict[str, Any]:
        learner, average = self.learner, None
        if learner.average is not None:
            with learner.average.applied():
                average = _on_cpu(learner.model.state_dict())
        return {
            "model": _on_cpu(learner.model.state_dict()),
            "average": average,
            "optimizer": optimizer_state(learner.model, learner.optimizer),
            "scheduler": learner.scheduler.state_dict(),
            "losses": learner.losses.values.cpu(),
            "generators": {"cpu": torch.get_rng_state()},
            "mask_index": learner.model.schedule.index_at(learner.state.step),
            "state": asdict(learner.state),
            **self.description,
        }


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
