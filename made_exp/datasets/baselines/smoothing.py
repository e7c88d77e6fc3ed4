"""Where the kernels of a smooth density stand and how wide they are, and its far tails."""

import torch
from torch import Tensor

from made_exp.variables.distributions import normal_log_prob

# Points that stand for the values of a number, and over which share of them each is spread.
_MAX_KNOTS = 200
_SPREADS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_FLOOR = 1e-3  # of the deviation, the least width of a kernel; as in conditionals


def kernels(values: Tensor) -> tuple[Tensor, Tensor]:
    """Knots (Q,) of values (N,) and the widths (Q,) of the kernels there."""
    if len(values) == 0:
        return values.new_zeros(1), values.new_ones(1)
    ranked = values.sort().values
    count = min(len(values), _MAX_KNOTS)
    knots = ranked[((torch.arange(count).double() + 0.5) * len(values) / count).long()]
    # Rounded numbers repeat: kernels narrower than the digits are apart would be spikes.
    floor = torch.clamp(_gaps(ranked)[torch.searchsorted(ranked.unique(), knots)] / 2, min=1e-9)
    floor = floor.clamp(min=float(values.std(correction=0)) * _FLOOR)
    if count < 3:
        return knots, floor.clamp(min=max(float(knots.std(correction=0)), 1e-3))

    def widths(spread: float) -> Tensor:
        reach, at = max(1, round(spread * count)), torch.arange(count)
        above, below = (at + reach).clamp(max=count - 1), (at - reach).clamp(min=0)
        return ((knots[above] - knots[below]) / (above - below) * reach / 2).maximum(floor)

    def score(spread: float) -> float:
        own = widths(spread)
        z = (knots[:, None] - knots) / own
        kernels = normal_log_prob(z, own.log()).exp()
        kernels.fill_diagonal_(0)
        return float((kernels.sum(1) / (count - 1)).clamp(min=1e-12).log().sum())

    return knots, widths(max(_SPREADS, key=score))


def _gaps(ranked: Tensor) -> Tensor:
    """How far each different value of rising ones is from its nearest neighbour; 0 for one."""
    apart = ranked.unique().diff()
    if not len(apart):
        return ranked.new_zeros(1)
    ends = apart.new_tensor([torch.inf])
    return torch.minimum(torch.cat([ends, apart]), torch.cat([apart, ends]))


def tail(values: Tensor) -> Tensor:
    """Middle, width and share (3,) of the Cauchy density for values (N,)."""
    if len(values) == 0:
        return values.new_tensor([0.0, 1.0, 0.5])
    quartiles = values.quantile(values.new_tensor([0.25, 0.5, 0.75]))
    width = max(float(quartiles[2] - quartiles[0]), float(values.std(correction=0)), 1e-6)
    return torch.stack(
        [quartiles[1], quartiles.new_tensor(width), quartiles.new_tensor(1 / (len(values) + 1))]
    )
