"""Draws that have as many ones as the rows of train: one number is added to all log-odds.

Where a network draws freely it reads what it drew. Conditionals that are each a little too weak,
as early stopping and penalties leave them, make shorter rows, after which the next are weaker
still: each class of length is drawn a few percent too short, though train fits it to the row. So

    logit p(x_d = 1 | x_<d, k) + c_k,

with c_k, the same for all networks and columns, such that the mean number of ones of draws of class
k is that of its rows. It is a change of biases: likelihoods stay exact. Of what n draws cannot tell
from no shift it costs about 1 / (2 n) nats.

Legend: K classes (1 where networks have none), D variables, B rows of one network.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from made_exp.model.made import MADE
from made_exp.model.request import Request
from made_exp.model.samplers import draw_uniforms
from made_exp.model.sampling import IncrementalSampler
from made_exp.model.sampling_plan import build_plan
from made_exp.variables.variable import Kind

NUM_ROWS, CORRECTIONS, LARGEST = 4096, 3, 0.2
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
    wanted = _ones_by_class(train, model.labels(train.to(model.device)), max(1, model.num_latent))
    uniforms = _uniforms(model, generator)
    shift, step, before = torch.zeros_like(wanted), torch.zeros_like(wanted), wanted
    for correction in range(CORRECTIONS):
        shares = _shares_of_ones(model, uniforms)
        found, alone = shares.sum(1), (shares * (1 - shares)).sum(1)
        response = alone
        if correction:
            measured = torch.where(step == 0, alone, (found - before) / step)
            response = measured.clamp(_LEAST_RESPONSE * alone, _MOST_RESPONSE * alone)
        step = ((wanted - found) / response).nan_to_num(0.0, LARGEST, -LARGEST)
        step, before = step.clamp(-LARGEST, LARGEST), found
        _add_to_log_odds(model, step)
        shift += step
    return shift


def _ones_by_class(train: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """Mean number of ones (K,) float64 of the rows of each class; NaN where it has none."""
    labels = torch.zeros(len(train), dtype=torch.long) if labels is None else labels.cpu()
    ones = torch.zeros(num_classes, dtype=torch.float64)
    ones.index_add_(0, labels, train.sum(1, dtype=torch.float64).cpu())
    return ones / torch.bincount(labels, minlength=num_classes)


def _uniforms(model: MADE, generator: torch.Generator) -> list[Tensor]:
    """What each network draws by, (B, D): as many rows of each class as its weight says."""
    num_classes = max(1, model.num_latent)
    log_weights = model.mixture.log_weights()[: model.num_orderings]
    weights = log_weights.softmax(0).view(-1, num_classes).sum(1)
    ends = (weights.cumsum(0) * (NUM_ROWS // num_classes)).round().long().cpu()
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
        if len(own):
            component = replace(model.component(number * num_classes), label=None)
            labels = torch.arange(num_classes).repeat_interleave(len(own) // num_classes)
            context = (
                one_hot(labels).to(component.network.output_bias) if model.num_latent else None
            )
            sampler = IncrementalSampler(build_plan(component))
            drawn = sampler.draw(Request(own.to(model.device), context)).cpu().double()
            ones += drawn.view(num_classes, -1, model.num_dims).sum(1)
    return ones / (sum(map(len, uniforms)) / num_classes)


def _add_to_log_odds(model: MADE, step: Tensor) -> None:
    """Add step (K,) to the log-odds of all columns in all networks, by class."""
    for network in model.members:
        own = network.context[-1].weight if model.num_latent else network.output_bias
        assert isinstance(own, Tensor)
        own += step.to(own)
