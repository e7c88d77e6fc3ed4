"""A run that proves its own numbers.

`check_masks` multiplies the weights that are in use, `check_normalisation` sums the probabilities
of all inputs where they can be counted, `check_samples` scores samples against log_prob.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor

from made_exp.masks.connectivity import Connectivity, connectivity, reachable_by_block
from made_exp.model.component import Component
from made_exp.model.evaluation import Each
from made_exp.model.made import MADE
from made_exp.variables.echoes import nearest
from made_exp.variables.missing import all_values
from made_exp.variables.variable import Variable

MAX_INPUTS = 2**16
NUM_SAMPLES = 1000
MAX_EVIDENCE = 1e6
_ROWS = 250
_AT_ONCE = 4096
_STEPS = (0.03, 0.1, 0.3)


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
    for index in _mask_sets(model):
        masks = model.component(index).masks.to("cpu")
        positions = masks.input_degrees
        for outputs, kinds, sources in reachable_by_block(masks):
            last, source = torch.where(sources, positions.int(), -1).max(1)
            leaks = (last[kinds] >= positions[outputs]).nonzero()
            if len(leaks):
                first = int(leaks[0])
                detail = f"variable {outputs[first]} depends on variable {source[kinds[first]]}"
                return Check("masks", False, f"mask set {index}: {detail}")
    stray = sum(_stray_weights(model.component(own[0])) for own in _by_member(model))
    if stray:
        return Check("masks", False, f"{stray} masked weights are not zero")
    count = len(_mask_sets(model))
    return Check("masks", True, f"{count} mask sets, no path to a later variable")


def _by_member(model: MADE) -> list[list[int]]:
    """Components of the mixture, those of each member that has any."""
    found = (model.indices_of(k, model.num_orderings) for k in range(len(model.members)))
    return [indices for indices in found if indices]


def _mask_sets(model: MADE) -> list[int]:
    """Components of the mixture, of those that differ in their latent class the first."""
    return [index for own in _by_member(model) for index in (own[:1] if model.num_latent else own)]


def measure_connectivity(model: MADE) -> Connectivity:
    """What is connected in the mask set of the mixture that loses most."""
    measured = map(_connectivity, map(model.component, _mask_sets(model)))
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
def check_normalisation(model: MADE, each: Each = map) -> Check:
    """Probabilities of all inputs sum to one; skipped, and said so, above 2^16 inputs.

    Where variables are given, for the first rows of their values in train. `each` is as in
    `evaluate`.
    """
    variables, rows = model.groups.variables, model.given_rows
    modelled = [d for d, variable in enumerate(variables) if not variable.is_given]
    counts = [(variables[d].num_values or math.inf) + variables[d].may_be_missing for d in modelled]
    if math.prod(counts) > MAX_INPUTS or (model.groups.given and rows is None):
        return Check("normalisation", True, "not summed: more than 65536 inputs")
    values = torch.cartesian_prod(*(all_values(variables[d]) for d in modelled))
    x = torch.zeros(1, len(values), model.num_dims, dtype=torch.float64)
    x[..., modelled] = values.reshape(len(values), -1)
    if rows is not None:
        given = rows.x[: max(1, _AT_ONCE // len(values)), None]
        x = torch.where(model.groups.is_given.cpu(), given, x)
    classes: list[int | None] = [*range(model.num_classes)] or [None]
    x = x.to(model.device)
    worst = max(float((_totals(model, x, label, each) - 1).abs().max()) for label in classes)
    tolerance = 1e-9 if model.dtype == torch.float64 else 1e-4
    passed = worst <= tolerance
    return Check("normalisation", passed, f"sum over {len(values)} inputs: 1 {worst:+.2e}")


def _totals(model: MADE, x: Tensor, label: int | None, each: Each) -> Tensor:
    """Sums (G,) of the probabilities of x (G, N, D), of one class where there are classes."""

    def of_part(part: Tensor) -> Tensor:
        context = None if label is None else part.new_full((len(part),), label)
        return model.log_prob(part, context).double().exp()

    probs = list(each(of_part, x.flatten(0, 1).split(_AT_ONCE)))
    return torch.cat(probs).unflatten(0, x.shape[:2]).sum(1)


@torch.no_grad()
def check_samples(model: MADE, generator: torch.Generator, context: Tensor | None = None) -> Check:
    """Samples agree with the conditionals that score them; see `evidence_against`.

    A sampler that mistakes the ordering, redraws earlier variables or reads other conditionals
    than the likelihood fails. A sound one exceeds MAX_EVIDENCE in at most one run of a million.

    Args:
        model: The model; the check draws from its first component.
        generator: Source of the samples.
        context: (1000,) class labels for a class-conditional model, or None.
    """
    component = model.component(0)
    samples = model.sample(NUM_SAMPLES, generator=generator, context=context, component=0)
    if not torch.isfinite(model.log_prob(samples, context)).all():
        return Check("samples", False, "a sample has probability zero, or none at all")
    codes = component.groups.encode(_as_written(samples, component.groups.variables))
    log_evidence = evidence_against(component, codes, generator, context)
    explained = (
        f"other conditionals explain {NUM_SAMPLES} samples e^{log_evidence:.1f} times as well"
    )
    return Check("samples", log_evidence <= math.log(MAX_EVIDENCE), explained)


def _as_written(x: Tensor, variables: Sequence[Variable]) -> Tensor:
    """Samples x (N, D), in which real numbers in the cell of a value of its own are that value.

    Of such a value p counts the mass of its whole cell, whichever component draws it.
    """
    written = x.clone()
    for d, variable in enumerate(variables):
        if not variable.is_real or not (variable.atoms or variable.echoes):
            continue
        levels = torch.tensor(sorted({*variable.atoms, *variable.echoes}), dtype=torch.float64)
        levels = levels.to(x.device)
        own = levels[nearest(levels, x[:, d])]
        is_inside = (x[:, d] - own).abs() <= variable.log_cells(own).exp() / 2
        written[:, d] = torch.where(is_inside, own, x[:, d])
    return written


@torch.no_grad()
def evidence_against(
    component: Component,
    samples: Tensor,
    generator: torch.Generator,
    context: Tensor | None = None,
) -> float:
    """Log of how much better than those of `component` other conditionals explain samples of it.

    The ratio prod_n q(x_n) / p(x_n) has the mean one for samples x_n of p and any conditionals q,
    and so has the average over several q. Therefore (Markov) it exceeds r with probability 1 / r
    at most, for any number of samples, of variables and of rare events. The rivals q have the
    params of p shifted a little, drawn to or from their average, or drawn to or from zero, of all
    variables together and of each alone.

    Args:
        component: What is said to have drawn the samples.
        samples: (N, D) codes.
        generator: Source of the directions of the shifts.
        context: (N,) class labels, or None.
    """
    width = sum(component.groups.param_widths)
    signs = torch.randint(2, (2, width), generator=generator).to(samples) * 2 - 1
    shifts = [size * sign * one for size in _STEPS for sign in (-1, 1) for one in signs]
    stretches = [-1.0, *(sign * size for size in _STEPS for sign in (-1, 1))]
    count = len(shifts) + 2 * len(stretches)
    ratios = samples.new_zeros(count, samples.shape[1], dtype=torch.float64)
    centre = None
    for rows in torch.arange(len(samples), device=samples.device).split(_ROWS):
        x, labels = samples[rows], None if context is None else context.to(rows.device)[rows]
        own = component.conditionals(x, labels)
        log_prob, params = own.log_prob(x), own.params
        centre = params.mean(0) if centre is None else centre
        rivals = chain(
            (params + shift for shift in shifts),
            (params + stretch * (params - centre) for stretch in stretches),
            (params + stretch * params for stretch in stretches),
        )
        for ratio, rival in zip(ratios, rivals, strict=True):
            ratio += (replace(own, params=rival).log_prob(x) - log_prob).double().sum(0)
    joint, alone = ratios.sum(1), ratios.logsumexp(1) - math.log(ratios.shape[1])
    return float(torch.cat([joint, alone]).logsumexp(0)) - math.log(2 * count)
