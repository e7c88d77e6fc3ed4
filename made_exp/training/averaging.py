"""A moving average of the weights, which evaluation and the final model use in their place."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """average = decay * average + (1 - decay) * weights, after every step.

    The decay rises to its final value as (1 + t) / (10 + t), so that the start is forgotten.

    Args:
        model: Its parameters are averaged.
        decay: In (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"weight_averaging must be in (0, 1), got {decay}")
        self.decay = decay
        self.names, self.parameters = zip(*model.named_parameters(), strict=True)
        self.average = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights that have a gradient, after optimizer step `step` (0, 1, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        # The other members of an ensemble did not move; their average has its own pace.
        moved = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        weights: list[Tensor] = [self.parameters[i].detach() for i in moved]
        torch._foreach_lerp_([self.average[i] for i in moved], weights, 1 - decay)

    def named(self) -> dict[str, Tensor]:
        """The averages by the names of the parameters."""
        return dict(zip(self.names, self.average, strict=True))

    @torch.no_grad()
    def restart(self) -> None:
        """Make the average the present weights."""
        for average, parameter in zip(self.average, self.parameters, strict=True):
            average.copy_(parameter)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with averaged weights inside the block, its own again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self.parameters, self.average, strict=True):
            weight = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(weight)
