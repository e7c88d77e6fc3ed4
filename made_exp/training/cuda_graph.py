"""The training step replayed from a CUDA graph: one launch instead of hundreds.

A small network is bound by launches, not arithmetic. The first steps run as usual; then gather,
forward, backward and optimizer are recorded once, and every later step copies its indices, and the
degrees of its mask set where these change, into place and replays the recording. The losses are
those of the plain step, to rounding.
"""

import logging
from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.masks.mask_set import MaskSet
from made_exp.model.component import Component
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


class GraphedStep(TrainStep):
    """As `TrainStep`, for one GPU and a model of one member.

    Should recording fail, or a replayed loss differ from the plain one, steps go on as usual.
    """

    _calls = 0
    _broken = False
    _graph: torch.cuda.CUDAGraph | None = None
    _component: Component
    _masks: StaticMasks | None

    @override
    def __call__(self, index: Tensor, step: int) -> Tensor:
        self._calls += 1
        if self._broken:
            return super().__call__(index, step)
        if self._calls <= _WARM_UP:
            return self._on_side_stream(index, step)
        thresholds = self.batches.thresholds(step)
        if self._graph is None and not self._record(index, thresholds):
            return super().__call__(index, step)
        return self._replay(index, thresholds, step)

    def _on_side_stream(self, index: Tensor, step: int) -> Tensor:
        """A plain step where recording will take place, as torch asks for."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = super().__call__(index, step)
        torch.cuda.current_stream().wait_stream(stream)
        return loss

    def _record(self, index: Tensor, thresholds: Tensor | None) -> bool:
        """Set apart the memory of what changes, and record a step that reads it."""
        self._index = index.clone()
        self._thresholds = None if thresholds is None else thresholds.clone()
        self._component, self._masks = self.model.at_step(0), None
        if self.model.max_orderings != 1:
            self._masks = StaticMasks(self.model.masks_at(0), index.device)
        self.optimizers[0].zero_grad(set_to_none=True)
        try:
            self._graph = self._capture()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            _log.warning("no CUDA graph (%s); training goes on without", reason)
            torch.cuda.synchronize()
            self.optimizers[0].zero_grad(set_to_none=True)
            self._broken = True
        return not self._broken

    def _capture(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._recorded()
        return graph

    def _recorded(self) -> None:
        component = self._component
        if self._masks is not None:
            component = replace(component, masks=self._masks.masks())
        self._loss = self.update(self._index, self._thresholds, component)

    def _replay(self, index: Tensor, thresholds: Tensor | None, step: int) -> Tensor:
        assert self._graph is not None
        is_compared = self._calls <= _WARM_UP + _COMPARED and not self._draws
        expected = self._plain_loss(index, thresholds, step) if is_compared else None
        self.seed_dropout(step)
        self._index.copy_(index)
        if self._thresholds is not None and thresholds is not None:
            self._thresholds.copy_(thresholds)
        if self._masks is not None:
            self._masks.load(self.model.masks_at(step))
        self._graph.replay()
        if expected is not None and not torch.allclose(expected, self._loss, rtol=1e-2):
            _log.warning(
                "the CUDA graph's loss %g differs from the plain loss %g; going on without it",
                float(self._loss),
                float(expected),
            )
            self._broken = True
        return self._loss

    @torch.no_grad()
    def _plain_loss(self, index: Tensor, thresholds: Tensor | None, step: int) -> Tensor:
        x, context = self.batches.gather(index, thresholds)
        return self.loss_of(x, self.model.at_step(step), context)
