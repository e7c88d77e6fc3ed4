"""The log-probability of each variable under each density of a mixture, however it is fastest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from made_exp.masks.observed import patterns_in, with_observed_first
from made_exp.model.component import Component
from made_exp.model.many_orders import (
    MAX_DIMS,
    MIN_WIDTH,
    ManyOrders,
    log_probs_turned,
    pieces,
    suits,
)
from made_exp.model.simple import SimpleComponent
from made_exp.variables.groups import VariableGroups

# Rows with cells missing in so many ways are computed way by way.
_MAX_PATTERNS = 16
# Examples that one order computes together.
_ROWS = 2000


@torch.no_grad()
def terms_of(
    densities: Sequence[Component | SimpleComponent],
    codes: Tensor,
    context: Tensor | None,
    observed: Tensor | None,
) -> Tensor:
    """Log-probabilities (M, B, D) float64 of codes (B, D), observed variables first; nats.

    Args:
        densities: M of a model.
        codes: (B, D), NaN where not observed.
        context: (B,) class labels, or None.
        observed: (B, D) bool, or None where everything is.
    """
    found = codes.new_empty((len(densities), *codes.shape), dtype=torch.float64)
    patterns = _patterns(codes, observed)
    others = list(range(len(densities)))
    for own in _together(densities) if len(patterns) <= _MAX_PATTERNS else ():
        orders = [one for number in own if isinstance(one := densities[number], Component)]
        others = [number for number in others if number not in own]
        for pattern, rows in patterns:
            terms = _of_orders(orders, codes[rows], pattern)
            for number, one in zip(own, terms, strict=True):
                found[number, rows if pattern is not None else slice(None)] = one.double()
    if others:
        rest = [densities[number] for number in others]
        found[others] = _one_by_one(rest, codes, context, observed)
    return found


def _patterns(codes: Tensor, observed: Tensor | None) -> list[tuple[Tensor | None, Tensor]]:
    """What is observed (D,), None for all, and the numbers of the rows of which that is."""
    if observed is None:
        return [(None, torch.arange(len(codes), device=codes.device))]
    return [*patterns_in(observed)]


def _together(densities: Sequence[Component | SimpleComponent]) -> list[list[int]]:
    """Numbers of the densities that are orders of one network and computed together."""
    by_member: dict[int, list[int]] = {}
    for number, one in enumerate(densities):
        if isinstance(one, Component) and not one.masks.is_per_example:
            by_member.setdefault(one.member, []).append(number)
    networks = {one.member: one.network for one in densities if isinstance(one, Component)}
    return [own for member, own in by_member.items() if suits(networks[member], len(own))]


def has_wide_params(groups: VariableGroups, device: torch.device) -> bool:
    """Whether variables have so many params that `log_probs_turned` is faster."""
    wide = sum(groups.param_widths) >= MIN_WIDTH * groups.num_dims
    return wide and groups.num_dims <= MAX_DIMS and device.type == "cpu"


def _of_orders(orders: Sequence[Component], codes: Tensor, pattern: Tensor | None) -> Tensor:
    """Terms (M, B, D) of examples that have the same variables observed (D,)."""
    first = orders[0]
    masks = [one.masks for one in orders]
    if pattern is not None:
        masks = [with_observed_first(first.network.schedule, one, pattern) for one in masks]
        codes = first.groups.filled(codes, pattern)
    terms = ManyOrders(first.groups, first.network, masks).terms(first.groups.cast(codes))
    return terms if pattern is None else terms.where(pattern, 0)


def _one_by_one(
    densities: Sequence[Component | SimpleComponent],
    codes: Tensor,
    context: Tensor | None,
    observed: Tensor | None,
) -> Tensor:
    found = codes.new_empty((len(densities), *codes.shape), dtype=torch.float64)
    turned, kept = list[Component](), list[Tensor]()
    for own, density in zip(found, densities, strict=True):
        first = density.observed_first(observed)
        if isinstance(first, SimpleComponent) or not has_wide_params(first.groups, codes.device):
            own[:] = first.terms(codes, context, observed)
        else:
            turned.append(first)
            kept.append(own)
    if turned:
        _turned(turned, codes, context, observed, kept)
    return found


def _turned(
    components: Sequence[Component],
    codes: Tensor,
    context: Tensor | None,
    observed: Tensor | None,
    found: Sequence[Tensor],
) -> None:
    """Write terms (B, D) of each component into `found`, for as many examples as caches hold."""
    groups = components[0].groups
    conditionals = [groups.conditional(d) for d in range(groups.num_dims)]
    filled = groups.filled(codes, observed)
    for part in pieces(len(codes), _ROWS):
        features = groups.features(filled[part])
        labels = None if context is None else context[part]
        for component, own in zip(components, found, strict=True):
            one = component.rows(part)
            params = one.params(features, one.one_hot(labels, len(features)))
            params = params.t().contiguous()[:, None]
            own[part] = log_probs_turned(groups, conditionals, params, filled[part])[0]
    if observed is not None:
        for own in found:
            own.masked_fill_(~observed, 0)
