"""Weighted paths into a box of numbers that are normal together (Genz 1992).

Each number is drawn inside what is wanted of it, given those drawn before; the weight of a path
takes the mass of that. The mean weight is the probability of the box, however small it is.

Legend: n paths, R numbers, I intervals, A holes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from made_exp.variables.distributions import normal_quantile
from made_exp.variables.variable import Variable

_SAFE = 1e-300


@final
@dataclass(frozen=True, eq=False)
class Wanted:
    """What is asked of one number, which may be in a state of its own instead.

    Attributes:
        intervals: (I, 2) float64, disjoint, in units of the normal density, without the holes.
        holes: (A, 2) where it never is.
        share: (n,) or (1,) probability that there is a number, and
        beside: that it is in a state that is wanted too.
        settled: What later numbers see of it, from what was drawn (n,).
    """

    intervals: Tensor
    holes: Tensor
    share: Tensor
    beside: Tensor
    settled: Callable[[Tensor], Tensor]

    def masses(self, mean: Tensor, scale: Tensor) -> Tensor:
        """Those (n, I) of the intervals, given that there is a number, by its mean and scale."""
        room = 1 - _masses(*_standardised(self.holes, mean, scale)[:2]).sum(1)
        low, high, _ = _standardised(self.intervals, mean, scale)
        return _masses(low, high) / room.clamp(min=1e-12)[:, None]

    def draw(self, mean: Tensor, scale: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Probability (n,) of what is wanted, and numbers (n,) drawn inside; any for a state."""
        masses = self.masses(mean, scale)
        total = self.beside + self.share * masses.sum(1)
        at = uniforms[:, 0] * total
        free = mean + scale * normal_quantile(uniforms[:, 1])
        if not len(self.intervals):
            return total, free
        ends = masses.cumsum(1)
        within = (
            ((at - self.beside) / self.share.clamp(min=_SAFE)).clamp(min=0).minimum(ends[:, -1])
        )
        chosen = (ends[:, :-1] <= within[:, None]).sum(1)[:, None]
        own = masses.gather(1, chosen)[:, 0]
        part = (within - ends.gather(1, chosen)[:, 0] + own) / own.clamp(min=_SAFE)
        low, high, turned = (
            end.gather(1, chosen)[:, 0] for end in _standardised(self.intervals, mean, scale)
        )
        part = torch.where(turned, 1 - part, part).clamp(0, 1)
        below, above = torch.special.ndtr(low), torch.special.ndtr(high)
        x = normal_quantile(below + part * (above - below)).clamp(low, high)
        inside = self.settled(mean + scale * torch.where(turned, -x, x))
        return total, torch.where(at < self.beside, free, inside)


def path_weights(
    wanted: Sequence[Wanted], means: Tensor, factors: Tensor, uniforms: Tensor
) -> Tensor:
    """Weights (n,) float64 of paths, in the order in which numbers are wanted.

    Args:
        wanted: R of them.
        means: (n, R), and
        factors: (n, R, R) or (1, R, R), lower triangular, of the normal density.
        uniforms: (n, 2R) in [0, 1).
    """
    weights, white = torch.ones_like(uniforms[:, :1])[:, 0], torch.zeros_like(means)
    for place, one in enumerate(wanted):
        scale = factors[:, place, place].expand(len(means))
        mean = means[:, place] + (factors[:, place, :place] * white[:, :place]).sum(1)
        mass, drawn = one.draw(mean, scale, uniforms[:, 2 * place : 2 * place + 2])
        weights = weights * mass
        white[:, place] = (drawn - mean) / scale
    return weights


def without_holes(intervals: Tensor, holes: Tensor) -> Tensor:
    """Intervals (I, 2) less the holes (A, 2)."""
    left = intervals.tolist()
    for low, high in holes.tolist():
        parts = [((a, min(b, low)), (max(a, high), b)) for a, b in left]
        left = [(a, b) for pair in parts for a, b in pair if a < b]
    return torch.tensor(left, dtype=torch.float64).view(-1, 2)


def transformed_ends(variable: Variable, intervals: Sequence[tuple[float, float]]) -> Tensor:
    """Intervals (I, 2) in data space as those of its transform; the range ends at infinity."""
    ends = torch.tensor(intervals, dtype=torch.float64).view(-1, 2)
    found = variable.transform.forward(torch.where(ends.isfinite(), ends, 0.0))
    found = torch.where(ends.isfinite(), found, ends)
    if variable.num_values is None:
        return found
    found = found.masked_fill(ends >= variable.num_values - 0.5, torch.inf)
    return found.masked_fill(ends <= -0.5, -torch.inf)


def _standardised(ends: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ends (n, I) in deviations from the mean, those above it turned below, and which were."""
    low, high = ((ends[:, side] - mean[:, None]) / scale[:, None] for side in (0, 1))
    turned = low > 0
    return torch.where(turned, -high, low), torch.where(turned, -low, high), turned


def _masses(low: Tensor, high: Tensor) -> Tensor:
    return (torch.special.ndtr(high) - torch.special.ndtr(low)).clamp(min=0)
