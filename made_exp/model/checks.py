"""A run that proves its own numbers.

`check_masks` multiplies the weights that are in use, `check_normalisation` sums the probabilities
of all inputs where they can be counted, `check_samples` scores samples against log_prob.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from made_exp.masks.connectivity import Connectivity, connectivity, reachable
from made_exp.model.component import Component
from made_exp.model.made import MADE

MAX_INPUTS = 2**16
NUM_SAMPLES = 1000
# Five standard errors: one sound run in two million is refused.
NUM_STANDARD_ERRORS = 5.0


@dataclass(frozen=True)
class Check:
    """Outcome of one check: its name, whether it held, and what was measured."""

    name: str
    passed: bool
    detail: str


def check_masks(model: MADE) -> Check:
    """No output depends on its own or a later variable, for every mask set of the mixture.

    The product of the masks is formed over all paths of each mask set, and for the first one, and
    for each that has weights of its own, the weights in use must vanish where the masks do.
    """
    for index in range(model.num_orderings):
        masks = model.component(index).masks.to("cpu")
        positions = masks.input_degrees
        leaks = reachable(masks) & (positions[None, :] >= positions[:, None])
        if leaks.any():
            output, source = torch.nonzero(leaks)[0].tolist()
            detail = f"mask set {index}: variable {output} depends on variable {source}"
            return Check("masks", False, detail)
    own_weights = range(min(len(model.members), model.num_orderings))
    stray = sum(_stray_weights(model.component(index)) for index in own_weights)
    if stray:
        return Check("masks", False, f"{stray} masked weights are not zero")
    return Check("masks", True, f"{model.num_orderings} mask sets, no path to a later variable")


def measure_connectivity(model: MADE) -> Connectivity:
    """What is connected in the mask set of the mixture that loses most."""
    measured = map(_connectivity, map(model.component, range(model.num_orderings)))
    return max(measured, key=lambda one: (one.lost_pairs, sum(one.dead_units)))


def _connectivity(component: Component) -> Connectivity:
    network, masks = component.network, component.masks
    degrees = network.layer_degrees(masks)
    edges = [edge for level in network.levels for edge in level.edges]
    return connectivity(
        masks.to("cpu"),
        direct_connections=network.direct is not None,
        layers=[(degrees[edge.below], degrees[edge.above]) for edge in edges],
    )


@torch.no_grad()
def _stray_weights(component: Component) -> int:
    """Weights in use that are not zero although their mask is."""
    network = component.network
    degrees = network.layer_degrees(component.masks)
    call = degrees if network.schedule.is_resampled else None
    stray = 0
    for edge in network.edges:
        hidden = degrees[edge.above][:, None] < degrees[edge.below][None, :]
        stray += int((edge.layer.masked_weight(*edge.degrees(call))[hidden] != 0).sum())
    return stray


@torch.no_grad()
def check_normalisation(model: MADE) -> Check:
    """Probabilities of all inputs sum to one; skipped, and said so, above 2^16 inputs."""
    counts = [variable.num_values or math.inf for variable in model.groups.variables]
    if math.prod(counts) > MAX_INPUTS:
        return Check("normalisation", True, "not summed: more than 65536 inputs")
    values = [torch.arange(count) for count in counts]
    x = torch.cartesian_prod(*values).reshape(-1, model.num_dims).to(model.device)
    classes: list[int | None] = [*range(model.num_classes)] or [None]
    worst = 0.0
    for label in classes:
        total = torch.zeros((), dtype=torch.float64, device=model.device)
        for part in x.split(4096):
            context = None if label is None else x.new_full((len(part),), label)
            total += model.log_prob(part, context).double().exp().sum()
        worst = max(worst, abs(float(total) - 1), key=abs)
    tolerance = 1e-9 if model.dtype == torch.float64 else 1e-4
    passed = worst <= tolerance
    return Check("normalisation", passed, f"sum over {x.shape[0]} inputs: 1 {worst:+.2e}")


@torch.no_grad()
def check_samples(model: MADE, generator: torch.Generator, context: Tensor | None = None) -> Check:
    """Samples agree with the conditionals that score them.

    With m_d = E[x_d | earlier] computed from each finished sample, the residuals x_d - m_d have
    mean zero given everything earlier. So the sums over d of the residuals, of the residuals in
    random directions, and of the residuals times (m_d - average m_d) must be zero within their
    standard error. A sampler that mistakes the ordering, redraws earlier variables or reads other
    conditionals than the likelihood fails.

    Args:
        model: The model; the check draws from its first component.
        generator: Source of the samples.
        context: (1000,) class labels for a class-conditional model, or None.
    """
    samples = model.sample(NUM_SAMPLES, generator=generator, context=context, component=0)
    means = model.component(0).conditionals(samples, context).mean().double()
    scales = [
        v.transform.scale if v.num_values is None else v.num_values - 1
        for v in model.groups.variables
    ]
    units = torch.tensor(scales, device=means.device)
    residuals = (samples.double() - means) / units
    directions = torch.randn(model.num_dims, 4, generator=generator, dtype=torch.float64)
    centred = (means - means.mean(0)) / units
    totals = torch.stack(
        [
            residuals.sum(1),
            (residuals * centred).sum(1),
            *(residuals @ directions.to(residuals.device)).T,
        ]
    )
    scores = totals.mean(1) / (totals.std(1) / math.sqrt(NUM_SAMPLES)).clamp(min=1e-9)
    worst = float(scores.abs().max())
    finite = bool(torch.isfinite(model.log_prob(samples, context)).all())
    return Check(
        "samples",
        finite and worst <= NUM_STANDARD_ERRORS,
        f"{NUM_SAMPLES} samples, residuals of the conditional means within {worst:.1f} "
        "standard errors of zero" + ("" if finite else "; a sample has probability zero"),
    )
