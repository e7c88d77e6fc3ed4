"""What a run keeps of its training: last.pt to go on from, best.pt to use."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from made_exp.errors import REMEDY, CheckpointError, DivergedError
from made_exp.runs.checkpoints import exists, load_checkpoint, restore_previous, save_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.training.learner import Learner, saved_layout
from made_exp.training.state import Observer, Record
from made_exp.training.world import World

# Of the time of training, what checkpoints take; and what they may take lest an evaluation wait
# for its record longer than so many seconds.
SHARE_OF_TIME, LARGEST_SHARE, LONG_WAIT = 0.01, 0.03, 5.0


class CheckpointKeeper:
    """Saves and restores a learner.

    An evaluation is recorded once a checkpoint has it, so that a resumed training never lacks
    one that is. Between two checkpoints the weights of the best evaluation are kept in memory.

    Processes that share the members all save at the same step: each keeps the best weights of its
    own members, and they come together in the one that writes.

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
        description: Mapping[str, Any],
        *,
        writes: bool = True,
    ) -> None:
        self.learner, self.run, self.writes = learner, run, writes
        self.description = dict(description)
        self.saved_at, self._took = time.monotonic(), 0.0
        self._saved: tuple[int, int] | None = None
        self._records: list[Record] = []
        self._best: dict[str, Any] | None = None
        model = learner.model
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._tensors = {name: tensors[name] for name in model.state_dict()}
        self._names = [
            [name for name in self._tensors if name.startswith(f"networks.{number}.")]
            for number in range(len(learner.members))
        ]

    @property
    def is_due(self) -> bool:
        """Whether training has gone on long enough for another checkpoint, and for the last one.

        It has since the checkpoint before, and from the start on for all that were written.
        """
        age, state = time.monotonic() - self.saved_at, self.learner.state
        share = SHARE_OF_TIME if age < LONG_WAIT else max(SHARE_OF_TIME, LARGEST_SHARE)
        total = state.checkpoint_seconds + 2 * self._took
        return age * share >= self._took and state.seconds * share >= total

    def note_evaluation(self, record: Record, *, is_best: bool) -> None:
        """Keep an evaluation for the next `save`, with the model's weights if it is the best."""
        self._records.append(record)
        if is_best and (self.writes or self.learner.shares.is_shared):
            started = time.monotonic()
            self._best = {"model": self._copy(), "state": asdict(self.learner.state)}
            self.learner.state.checkpoint_seconds += time.monotonic() - started

    def save(self, observer: Observer) -> None:
        """Write last.pt, and before it best.pt if there was a better evaluation; then record.

        Args:
            observer: Told of every evaluation that the checkpoint is the first to have.

        Raises:
            CheckpointError: If it cannot be written.
            TrainingError: If another process has taken over the run folder.
            DivergedError: If a weight is not finite; the last checkpoint is left as it is.
        """
        state = self.learner.state
        takes_part = self.writes or self.learner.shares.is_shared
        if not takes_part or self._saved == (state.step, state.evaluations):
            self.saved_at = time.monotonic()
            return
        started = time.monotonic()
        if self.writes:
            self.run.check_held()
        self._refuse_bad_weights()
        observer.flush()
        if self._best is not None:
            best = {**self._best, "model": self._whole(self._best["model"]), **self.description}
            self._best = None
            if self.writes:
                save_checkpoint(self.run.best, best)
        content = self._content()
        if self.writes:
            save_checkpoint(self.run.last, content)
        self._saved, self.saved_at = (state.step, state.evaluations), time.monotonic()
        self._took = self.saved_at - started
        state.checkpoint_seconds += self._took
        self.record(observer)

    def record(self, observer: Observer) -> None:
        """Tell `observer` of the evaluations that last.pt has and that it may not have heard of."""
        for record in self._records:
            observer.saved(record)
        self._records.clear()

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
        for member, saved in zip(learner.members, content["members"], strict=True):
            member.load_state(saved)
        learner.scheduler.load_state_dict(content["scheduler"])
        learner.losses.copy_(content["losses"])
        for name, value in content["state"].items():
            setattr(learner.state, name, value)
        self._records = content["records"]
        if self.writes:
            self._clear_up()

    def restore_best(self) -> None:
        """Give the model the weights of the best evaluation."""
        self.learner.model.load_state_dict(self.best_weights())

    def best_weights(self) -> dict[str, Tensor]:
        """The state_dict of the model at the best evaluation, in the process that writes."""
        if self._best is not None:
            return self._whole(self._best["model"])
        weights: dict[str, Tensor] = load_checkpoint(self.run.best)["model"] if self.writes else {}
        return weights

    def amend_best(self, name: str, change: Callable[[], None]) -> None:
        """Let `change` alter the model, which has the best weights, once: best.pt then has it.

        Under `name` best.pt says that it was done, and a run that was killed after it does not do
        it again. For the process that writes.
        """
        best = load_checkpoint(self.run.best)
        if name in best:
            return
        self.run.check_held()
        change()
        weights = {key: own.cpu() for key, own in self.learner.model.state_dict().items()}
        save_checkpoint(self.run.best, {**best, "model": weights, name: True})

    def go_back(self, world: World) -> None:
        """Let all members, in all processes of `world`, go on from their best weights."""
        best = self.best_weights()
        for number, names in enumerate(self._names):
            start, weights = len(f"networks.{number}."), None
            if self.writes:
                weights = {name[start:]: best[name] for name in names}
            weights = world.from_main(weights)
            if self.learner.shares.owns(number):
                self.learner.start_from(number, weights)

    def _clear_up(self) -> None:
        """Undo what a process that was killed while it saved had begun."""
        if exists(self.run.best):
            best = load_checkpoint(self.run.best)["state"]
            if best["evaluations"] > self.learner.state.evaluations:  # last.pt did not follow
                restore_previous(self.run.best)

    def _refuse_bad_weights(self) -> None:
        bad = self.learner.first_bad_parameter()
        if bad is not None:
            step = self.learner.state.step
            raise DivergedError(
                f"training diverged: {bad} is not finite after step {step}. Last finite "
                f"checkpoint: {self.run.last}. {REMEDY}"
            )

    def _copy(self) -> dict[str, Tensor]:
        """What the model's state_dict has now of this process's own, as the model stores it."""
        own = {name for number in self.learner.shares.own for name in self._names[number]}
        others = {name for names in self._names for name in names} - own
        return {
            name: tensor.detach().clone()
            for name, tensor in self._tensors.items()
            if name not in others
        }

    def _whole(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state_dict of the model, in the main process, from what `_copy` gave in each."""
        layout = saved_layout(self.learner.model, own)
        parts = self.learner.shares.collect(
            lambda number: {name: layout[name] for name in self._names[number]}
        )
        for part in parts or ():
            layout |= part
        return {name: layout[name] for name in self._tensors if name in layout}

    def _content(self) -> dict[str, Any]:
        """The learner, in the main process; `model` has the weights that are evaluated."""
        learner = self.learner
        with learner.evaluated_weights():
            weights = self._copy()
        return {
            "model": self._whole(weights),
            "members": learner.shares.collect(lambda number: learner.members[number].state()),
            "scheduler": learner.scheduler.state_dict(),
            "losses": self._losses(),
            "state": asdict(learner.state),
            "records": self._records,
            **self.description,
        }

    def _losses(self) -> Tensor:
        """(batches,) float64: the losses of the present epoch so far, then zeros."""
        losses = torch.zeros(len(self.learner.losses), dtype=torch.float64)
        done = self.learner.gather_losses()
        if done is not None:
            losses[: len(done)] = done
        return losses
