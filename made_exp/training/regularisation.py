"""What happens to the weights after each optimizer step: a pull towards zero, a moving average."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# The part of the steps that an average reaches back in which the weights are looked at once.
_SPARED = 1 / 24


class L1Penalty:
    """w - c = sign(w - c) max(|w - c| - lr pull, 0) after a step: a proximal step of pull |w - c|.

    Under Adam a weight whose mean gradient is small beside its spread, as noise makes it, is kept
    at c, which is zero but for layers that have a centre.

    Args:
        weights: Those between layers; biases, and what acts as one, are left alone.
        pull: Learning rates by which a step pulls a weight towards c; > 0.
        centres: c of each weight, None = 0; all are 0 where none are given.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        pull: float,
        centres: Iterable[Tensor | None] | None = None,
    ) -> None:
        self.weights, self.pull = list(weights), pull
        self.centres = [None] * len(self.weights) if centres is None else list(centres)

    @torch.no_grad()
    def shrink(self, lr: float | Tensor) -> None:
        """Move every weight towards its centre by what one step of rate `lr` asks for."""
        most = lr * self.pull
        for weight, centre in zip(self.weights, self.centres, strict=True):
            if centre is None and not isinstance(most, Tensor):  # one pass over memory for three
                torch.ops.aten.softshrink.out(weight, most, out=weight)
                continue
            away = weight if centre is None else weight - centre
            weight.sub_(away.clamp(-most, most))  # type: ignore[arg-type]


class WeightAverage:
    """average = decay^n * average + (1 - decay^n) * weights, after every n-th step.

    The decay rises to its final value as (1 + t) / (10 + t), so that the start is forgotten. n is
    a power of two, at most a 24th of the 1 / (1 - decay) steps that the average reaches back: to
    look at all of them would cost more and tell no more. Evaluation and the final model use the
    average in place of the weights.

    Args:
        parameters: They are averaged.
        decay: Of a step, in (0, 1).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.decay, self.parameters = decay, list(parameters)
        self.average = [p.detach().clone() for p in self.parameters]

    def share_at(self, step: int) -> float:
        """The share in [0, 1] of the weights after step `step` (0, 1, ...); 0: not looked at."""
        decay = min(self.decay, (1 + step) / (10 + step))
        every = 2 ** int(math.log2(max(1.0, _SPARED / (1 - decay))))
        return 0.0 if (step + 1) % every else 1 - decay**every

    @torch.no_grad()
    def update(self, share: float | Tensor) -> None:
        """Take in the weights with the share in [0, 1] that they have of the average."""
        if not isinstance(share, Tensor) and share == 0:
            return
        weights: list[Tensor] = [parameter.detach() for parameter in self.parameters]
        if isinstance(share, Tensor):
            torch._foreach_lerp_(self.average, weights, [share] * len(weights))
        else:
            torch._foreach_lerp_(self.average, weights, share)

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
