"""Draws that have as many ones as the rows of train: one number is added to all log-odds.

Where a network draws freely it reads what it drew. Conditionals that are each a little too weak,
as early stopping and penalties leave them, make shorter rows, after which the next are weaker
still: each class of length is drawn a few percent too short, though train fits it to the row. So

    logit p(x_d = 1 | x_<d, k) + c_k,

with c_k, the same for all networks and columns, such that the mean number of ones of draws of class
k is that of its rows. It is a change of biases: likelihoods stay exact. Nothing is changed where
draws are within half a percent.

Legend: K classes (1 where networks have none), D variables, B rows of one network, of each class
equally many.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from made_exp.model.lengths import lengths
from made_exp.model.made import MADE
from made_exp.model.request import Request
from made_exp.model.samplers import draw_uniforms
from made_exp.model.sampling import IncrementalSampler
from made_exp.model.sampling_plan import build_plan
from made_exp.variables.variable import Kind

TOLERANCE, CORRECTIONS, LARGEST = 0.005, 3, 0.2
# Rows that are drawn at least, at most, and together; numbers in them at most.
_LEAST_ROWS, _MOST_ROWS, _BATCH, _MOST_NUMBERS = 4096, 2**16, 1024, 2**23
# How far the response of draws to a shift may be from that of independent columns.
_LEAST_RESPONSE, _MOST_RESPONSE = 0.5, 6.0


def has_lengths(model: MADE) -> bool:
    """Whether rows have a number of ones that its networks, each of one order, draw alone."""
    is_plain = all(
        variable.kind is Kind.BINARY and not variable.may_be_missing and not variable.is_given
        for variable in model.groups.variables
    )
    return is_plain and not model.num_classes and not model.members[-1].schedule.is_resampled


@torch.no_grad()
def match_lengths(model: MADE, train: Tensor, generator: torch.Generator) -> Tensor:
    """Shift the log-odds of a model for which `has_lengths`, and say by how much, (K,) float64.

    The uniform numbers stay the same from one correction to the next, so that a secant finds c.

    Args:
        model: Its networks are changed.
        train: (N, D) of 0 and 1, none missing.
        generator: Source of the uniform numbers, on the CPU.
    """
    rows = _Rows.of(model, train)
    uniforms = _uniforms(model, rows.num_draws(model.num_dims), generator)
    shift = torch.zeros_like(rows.means)
    step, before = shift, rows.means
    for correction in range(CORRECTIONS):
        columns = _shares_of_ones(model, uniforms)
        found, alone = columns.sum(1), (columns * (1 - columns)).sum(1)
        if rows.are_matched(found):
            break
        response = alone
        if correction:
            measured = torch.where(step == 0, alone, (found - before) / step)
            response = measured.clamp(_LEAST_RESPONSE * alone, _MOST_RESPONSE * alone)
        step = ((rows.means - found) / response).nan_to_num(0.0, LARGEST, -LARGEST)
        step, before = step.clamp(-LARGEST, LARGEST), found
        _add_to_log_odds(model, step)
        shift = shift + step
    return shift


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of train by class: their shares (K,), mean numbers of ones (K,) and variances (K,).

    Means are NaN of classes without rows.
    """

    shares: Tensor
    means: Tensor
    variances: Tensor

    @classmethod
    def of(cls, model: MADE, train: Tensor) -> Self:
        labels = model.labels(train.to(model.device))
        labels = train.new_zeros(len(train), dtype=torch.long) if labels is None else labels
        labels, ones = labels.cpu(), lengths(train).cpu()
        counts = torch.bincount(labels, minlength=max(1, model.num_latent))
        sums, squares = (
            ones.new_zeros(len(counts)).index_add_(0, labels, power) for power in (ones, ones**2)
        )
        means = sums / counts
        return cls(counts / counts.sum(), means, squares / counts - means**2)

    @property
    def mean(self) -> float:
        """Mean number of ones of all rows."""
        return float((self.shares * self.means).nansum())

    def num_draws(self, num_dims: int) -> int:
        """Draws of each class by which the mean of all is known as well as it is to be matched."""
        error = TOLERANCE * self.mean
        needed = float((self.shares**2 * self.variances).nansum()) / max(error**2, 1e-12)
        num_classes = len(self.shares)
        total = min(max(num_classes * needed, _LEAST_ROWS), _MOST_ROWS, _MOST_NUMBERS / num_dims)
        return max(1, round(total / num_classes))

    def are_matched(self, found: Tensor) -> bool:
        """Whether draws with so many ones (K,) are as long, but for the tolerance."""
        error = float((self.shares * (found - self.means).abs()).nansum())
        return error <= TOLERANCE * self.mean


def _uniforms(model: MADE, num_draws: int, generator: torch.Generator) -> list[Tensor]:
    """What each network draws by, (B, D): as many of `num_draws` of a class as its weight says."""
    num_classes = max(1, model.num_latent)
    log_weights = model.mixture.log_weights()[: model.num_orderings]
    weights = log_weights.softmax(0).view(-1, num_classes).sum(1)
    ends = (weights.cumsum(0) * num_draws).round().long().cpu()
    counts = ends.diff(prepend=ends.new_zeros(1)).tolist()
    return [
        draw_uniforms((num_classes * count, model.num_dims), model.dtype, generator)
        for count in counts
    ]


def _shares_of_ones(model: MADE, uniforms: Sequence[Tensor]) -> Tensor:
    """The share of ones (K, D) float64 of each column among the draws of each class."""
    num_classes = max(1, model.num_latent)
    ones = torch.zeros(num_classes, model.num_dims, dtype=torch.float64)
    for number, own in enumerate(uniforms):
        component = replace(model.component(number * num_classes), label=None)
        draw = IncrementalSampler(build_plan(component)).draw
        labels = torch.arange(len(own)) % num_classes
        for part, of in zip(own.split(_BATCH), labels.split(_BATCH), strict=True):
            context = one_hot(of, num_classes).to(component.network.output_bias)
            drawn = draw(Request(part.to(model.device), context if model.num_latent else None))
            ones.index_add_(0, of, drawn.cpu().double())
    return ones / (sum(map(len, uniforms)) / num_classes)


def _add_to_log_odds(model: MADE, step: Tensor) -> None:
    """Add step (K,) to the log-odds of all columns in all networks, by class."""
    for network in model.members:
        own = network.context[-1].weight if model.num_latent else network.output_bias
        assert isinstance(own, Tensor)
        own += step.to(own)
