"""The training step replayed from a CUDA graph: one launch instead of hundreds.

A small network is bound by launches, not arithmetic. The first steps run as usual; then gather,
forward, backward and optimizer are recorded once, and every later step copies its indices into
place and replays the recording. The losses are those of the plain step, to rounding.
"""

import logging

import torch
from torch import Tensor

from made_exp.training.step import TrainStep

_log = logging.getLogger(__name__)
_WARM_UP = 3  # steps that let torch and cuBLAS allocate what they keep
_COMPARED = 3  # replays whose loss is compared with the plain forward pass


class GraphedStep(TrainStep):
    """As `TrainStep`, for one GPU and one mask set.

    Should recording fail, or a replayed loss differ from the plain one, steps go on as usual.
    """

    _calls = 0
    _broken = False
    _graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, index: Tensor, step: int) -> Tensor:
        """See `TrainStep.__call__`."""
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
        self._index = index.clone()
        self._thresholds = None if thresholds is None else thresholds.clone()
        self.optimizers[0].zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._loss = self.update(self._index, self._thresholds, self.model.component(0))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            _log.warning("no CUDA graph (%s); training goes on without", reason)
            torch.cuda.synchronize()
            self.optimizers[0].zero_grad(set_to_none=True)
            self._broken = True
            return False
        self._graph = graph
        return True

    def _replay(self, index: Tensor, thresholds: Tensor | None, step: int) -> Tensor:
        assert self._graph is not None
        is_compared = self._calls <= _WARM_UP + _COMPARED and not self._draws
        expected = self._plain_loss(index, thresholds) if is_compared else None
        self.seed_dropout(step)
        self._index.copy_(index)
        if self._thresholds is not None and thresholds is not None:
            self._thresholds.copy_(thresholds)
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
    def _plain_loss(self, index: Tensor, thresholds: Tensor | None) -> Tensor:
        x, context = self.batches.gather(index, thresholds)
        return self.loss_of(x, self.model.component(0), context)
