"""The training step replayed from a CUDA graph: one launch instead of hundreds.

A small network is bound by launches, not arithmetic. The first steps of a member run as usual; then
gather, forward, backward, optimizer and what follows it are recorded once, and every later step
copies its indices, and the degrees of its mask set where these change, into place and replays the
recording. The losses are those of the plain step, to rounding. Members share no weights, so each
runs on a stream of its own, beside the others.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.masks.mask_set import MaskSet
from made_exp.model.component import Component
from made_exp.training.optimizers import set_learning_rate
from made_exp.training.step import TrainStep

_log = logging.getLogger(__name__)
_WARM_UP = 3  # steps that let torch and cuBLAS allocate what they keep
_COMPARED = 3  # replays whose loss is compared with the plain forward pass


class StaticMasks:
    """A mask set in memory that a recording reads and every step writes over.

    Args:
        masks: The first mask set; later ones have the same sizes.
        device: Where the recording reads them.
    """

    def __init__(self, masks: MaskSet, device: torch.device) -> None:
        self._sizes = [len(part) for part in _parts(masks)]
        self._flat = torch.cat(_parts(masks)).to(device)

    def load(self, masks: MaskSet) -> None:
        """Take in the mask set of the next step, from the CPU."""
        flat = torch.cat(_parts(masks))
        # From pinned memory the host does not wait for the step before.
        self._flat.copy_(flat.pin_memory() if self._flat.is_cuda else flat, non_blocking=True)

    def masks(self) -> MaskSet:
        """The mask set in that memory; nothing is kept that was derived from one before it."""
        ordering, *hidden_degrees = self._flat.split(self._sizes)
        return MaskSet(0, ordering, tuple(hidden_degrees))


def _parts(masks: MaskSet) -> tuple[Tensor, ...]:
    return masks.ordering, *masks.hidden_degrees


class _Replayed(Protocol):
    """What a recording is to who replays it: a `torch.cuda.CUDAGraph`, or a double of tests."""

    def replay(self) -> None:
        """Do all of it again, on what lies in the same memory by now."""


@dataclass
class _Recording:
    """The step of one member, and the memory that it reads.

    Attributes:
        index: (B,) int64, examples of the step.
        thresholds: (B, D) of its binarization, or None.
        share: () of the weights in their average.
        component: The density that is trained.
        masks: Its mask set, where that changes.
        loss: () of the step that was replayed last.
        graph: What is replayed.
    """

    index: Tensor
    thresholds: Tensor | None
    share: Tensor
    component: Component
    masks: StaticMasks | None
    loss: Tensor
    graph: _Replayed | None = None

    def load(self, index: Tensor, thresholds: Tensor | None, share: float) -> None:
        """Put in place what the next step reads."""
        self.index.copy_(index)
        self.share.fill_(share)
        if self.thresholds is not None and thresholds is not None:
            self.thresholds.copy_(thresholds)


@dataclass
class _Done:
    """What was done of one member: its steps up to now, and what came of recording them."""

    calls: int = 0
    is_broken: bool = False
    recording: _Recording | None = None


@final
class GraphedStep(TrainStep):
    """As `TrainStep`, for one GPU.

    Should recording fail, or a replayed loss differ from the plain one, the steps of that member go
    on as usual.
    """

    @cached_property
    def _streams(self) -> list[torch.cuda.Stream | None]:
        # What dropout draws, all recordings read in one place.
        count = 1 if self._draws else len(self.members)
        return [_stream(self.batches.device) for _ in range(count)]

    @cached_property
    def _done(self) -> list[_Done]:
        return [_Done() for _ in self.members]

    @override
    def beside(self, number: int) -> AbstractContextManager[object]:
        # Recording asks for a stream that is not the first one, whatever the number of members.
        return torch.cuda.stream(self._streams[number % len(self._streams)])

    @override
    def part(self) -> None:
        for stream in filter(None, self._streams):
            stream.wait_stream(torch.cuda.current_stream(self.batches.device))

    @override
    def join(self) -> None:
        for stream in filter(None, self._streams):
            torch.cuda.current_stream(self.batches.device).wait_stream(stream)

    @override
    def __call__(self, index: Tensor, step: int, lr: float) -> Tensor:
        done = self._done[self.model.member_at(step)]
        done.calls += 1
        if done.recording is None and done.calls > _WARM_UP and not done.is_broken:
            self._record(done, index, step)
        if done.recording is None or done.is_broken:
            return super().__call__(index, step, lr)
        set_learning_rate(self.members[done.recording.component.member].optimizer, lr)
        return self._replay(done, done.recording, index, step)

    def _record(self, done: _Done, index: Tensor, step: int) -> None:
        """Set apart the memory of what changes, and record a step that reads it."""
        component, thresholds = self.model.at_step(step), self.batches.thresholds(step)
        number, masks = component.member, None
        if component.network.schedule.is_resampled:
            masks = StaticMasks(self.model.masks_at(step), index.device)
        share = torch.zeros((), dtype=self.model.dtype, device=index.device)
        made = _Recording(index.clone(), thresholds, share, component, masks, share.clone())
        self.members[number].optimizer.zero_grad(set_to_none=True)
        try:
            made.graph = self._capture(lambda: self._recorded(made))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            _log.warning("no CUDA graph (%s); training goes on without", reason)
            torch.cuda.synchronize()
            self.members[number].optimizer.zero_grad(set_to_none=True)
            done.is_broken = True
        else:
            done.recording = made

    def _capture(self, work: Callable[[], None]) -> _Replayed:
        graph = torch.cuda.CUDAGraph()
        # Recordings that run beside each other must not share the stream's work space.
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(self.batches.device)):
            work()
        return graph

    def _recorded(self, recording: _Recording) -> None:
        component = recording.component
        if recording.masks is not None:
            component = replace(component, masks=recording.masks.masks())
        member = self.members[component.member]
        recording.loss = self.update(recording.index, recording.thresholds, component)
        member.finish_step(member.optimizer.param_groups[0]["lr"], recording.share)

    def _replay(self, done: _Done, recording: _Recording, index: Tensor, step: int) -> Tensor:
        assert recording.graph is not None
        number, thresholds = recording.component.member, self.batches.thresholds(step)
        is_compared = done.calls <= _WARM_UP + _COMPARED and not self._draws
        expected = self._plain_loss(index, thresholds, step) if is_compared else None
        self.seed_dropout(step)
        recording.load(index, thresholds, self.members[number].share_at(self.model.turn_at(step)))
        if recording.masks is not None:
            recording.masks.load(self.model.masks_at(step))
        recording.graph.replay()
        if expected is not None and not torch.allclose(expected, recording.loss, rtol=1e-2):
            _log.warning(
                "the CUDA graph's loss %g differs from the plain loss %g; going on without it",
                float(recording.loss),
                float(expected),
            )
            done.is_broken = True
        return recording.loss

    @torch.no_grad()
    def _plain_loss(self, index: Tensor, thresholds: Tensor | None, step: int) -> Tensor:
        x, context = self.batches.gather(index, thresholds)
        return self.loss_of(x, self.model.at_step(step), context)


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    return torch.cuda.Stream(device) if device.type == "cuda" else None
