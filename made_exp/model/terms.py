"""The log-probability of each variable under each density of a mixture, however it is fastest."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from made_exp.masks.observed import patterns_in, with_observed_first
from made_exp.model.component import Component
from made_exp.model.input_tables import Inputs
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
    """`Terms` (M, B, D) of all examples at once."""
    return Terms(densities, len(codes)).of(codes, context, observed)


@final
class Terms:
    """The log-probability of each variable under each of several densities, without gradients.

    What is made of their weights is kept: these must stay as they are.

    Args:
        densities: M of a model.
        num_examples: How many there will be in all.
    """

    def __init__(self, densities: Sequence[Component | SimpleComponent], num_examples: int) -> None:
        self.densities, self._num_examples = densities, num_examples
        self._together = _together(densities)
        self._orders: dict[int, ManyOrders] = {}
        self._inputs: dict[tuple[tuple[int, bool], ...], Inputs] = {}

    @torch.no_grad()
    def of(self, codes: Tensor, context: Tensor | None, observed: Tensor | None) -> Tensor:
        """Log-probabilities (M, B, D) float64, observed variables first; nats.

        Args:
            codes: (B, D), NaN where not observed.
            context: (B,) class labels, or None.
            observed: (B, D) bool, or None where everything is.
        """
        found = codes.new_empty((len(self.densities), *codes.shape), dtype=torch.float64)
        patterns, others = _patterns(codes, observed), list(range(len(found)))
        for own in self._together if len(patterns) <= _MAX_PATTERNS else ():
            others = [number for number in others if number not in own]
            for pattern, rows in patterns:
                terms = self._of_orders(own, codes[rows], pattern)
                for number, one in zip(own, terms, strict=True):
                    found[number, rows if pattern is not None else slice(None)] = one.double()
        turned = dict[int, Component]()
        for number in others:
            first = self.densities[number].observed_first(observed)
            if isinstance(first, SimpleComponent) or not has_wide_params(
                first.groups, codes.device
            ):
                found[number] = first.terms(codes, context, observed)
            else:
                turned[number] = first
        if turned:
            self._turned(turned, codes, context, observed, found)
        return found

    def _of_orders(self, own: Sequence[int], codes: Tensor, pattern: Tensor | None) -> Tensor:
        """Terms (m, B, D) of examples that have the same variables observed (D,)."""
        orders = [one for n in own if isinstance(one := self.densities[n], Component)]
        first, kept = orders[0], self._orders.get(own[0]) if pattern is None else None
        if kept is None:
            masks = [one.masks for one in orders]
            if pattern is not None:
                schedule = first.network.schedule
                masks = [with_observed_first(schedule, one, pattern) for one in masks]
            kept = ManyOrders(first.groups, first.network, masks)
        if pattern is None:
            self._orders[own[0]] = kept
            return kept.terms(first.groups.cast(codes))
        return kept.terms(first.groups.filled(codes, pattern)).where(pattern, 0)

    def _turned(
        self,
        components: Mapping[int, Component],
        codes: Tensor,
        context: Tensor | None,
        observed: Tensor | None,
        found: Tensor,
    ) -> None:
        """Write terms of the components into `found`, for as many examples as caches hold."""
        groups = next(iter(components.values())).groups
        # Orders that are not each example's own are those of the densities.
        key = tuple((number, one.masks.is_per_example) for number, one in components.items())
        inputs = self._inputs.get(key)
        if inputs is None:
            inputs = Inputs(groups, [*components.values()], self._num_examples)
            self._inputs[key] = inputs
        conditionals = [groups.conditional(d) for d in range(groups.num_dims)]
        filled = groups.filled(codes, observed)
        for part in pieces(len(codes), _ROWS):
            own, labels = filled[part], None if context is None else context[part]
            pairs = zip(components.items(), inputs.of(own), strict=True)
            for (number, component), features in pairs:
                one = component.rows(part)
                params = one.params(features, one.one_hot(labels, len(own)))
                params = params.t().contiguous()[:, None]
                found[number, part] = log_probs_turned(groups, conditionals, params, own)[0]
        if observed is not None:
            for number in components:
                found[number].masked_fill_(~observed, 0)


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
