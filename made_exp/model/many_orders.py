"""The likelihood of examples under many orders of one network, computed together.

What the first layer sees `first_units` adds up; in the layers above each order has its blocks, see
`steps`. Units come first in all arrays, so that operations run along examples.

Legend: M orders, B examples, D variables, O units of a level, P params.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from made_exp.masks.mask_set import MaskSet
from made_exp.model.first_units import FirstUnits
from made_exp.model.levels import Edge
from made_exp.model.networks import MaskedNetwork
from made_exp.model.steps import Steps
from made_exp.variables.conditionals.base import Conditional
from made_exp.variables.groups import VariableGroups
from made_exp.variables.lookups import Lookups

# Fewer features a variable, or more variables, are multiplied as fast order by order.
MIN_WIDTH, MAX_DIMS, _MIN_ORDERS = 3, 256, 2
# Examples that go together, and numbers that a level may have for some orders and these.
ROWS, _MAX_NUMBERS = 500, 2**23
# Masked weights of one layer that are kept for the examples that follow.
_MAX_KEPT = 2**24


def suits(network: MaskedNetwork, num_orders: int) -> bool:
    """Whether a network is of the kind that gains, and of the kind that this module computes."""
    schedule, widths = network.schedule, network.level_widths
    has_extras = any(
        level.companion is not None or level.context is not None or level.skip is not None
        for level in network.levels
    )
    return (
        num_orders >= _MIN_ORDERS
        and schedule.is_resampled
        and len(network.levels) > 1
        and not has_extras
        and not network.training
        and network.output_bias.is_cpu
        and schedule.num_dims <= MAX_DIMS
        and widths[0] >= MIN_WIDTH * schedule.num_dims
    )


def pieces(count: int, size: int) -> list[slice]:
    """So many examples, cut into `size` at a time."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@final
class ManyOrders:
    """A network under several mask sets, without gradients.

    Args:
        groups: Conditionals and encodings of the variables.
        network: One that `suits`.
        mask_sets: M of its schedule, the same for all examples.
    """

    def __init__(
        self, groups: VariableGroups, network: MaskedNetwork, mask_sets: Sequence[MaskSet]
    ) -> None:
        self.groups, self.network, self.mask_sets = groups, network, mask_sets
        self._conditionals = [groups.conditional(d) for d in range(groups.num_dims)]
        self._degrees = [network.layer_degrees(masks) for masks in mask_sets]
        top, self._lookups = len(network.levels), Lookups.of(groups)
        self._first = {
            edge.above: FirstUnits.of(
                edge.layer.weight,
                network.bias(edge.above),
                self._lookups,
                torch.stack([one[edge.above] for one in self._degrees]),
                torch.stack([masks.input_degrees for masks in mask_sets]),
                keeps_order=edge.above == top,
            )
            for level in network.levels
            for edge in level.edges
            if edge.below == 0
        }
        self._turned = {
            edge.above: edge.layer.weight.t().contiguous()
            for level in network.levels
            for edge in level.edges
            if edge.below
        }
        self._levels = {*self._first, top}
        self._kept: dict[tuple[int, int], Steps] = {}

    @torch.no_grad()
    def terms(self, codes: Tensor) -> Tensor:
        """Log-probability (M, B, D) of each of the codes (B, D) given those before it, nats."""
        found = codes.new_empty(
            (len(self.mask_sets), *codes.shape), dtype=self.network.output_bias.dtype
        )
        widths, count = self.network.level_widths, min(ROWS, len(codes))
        step = min(len(self.mask_sets), max(1, _MAX_NUMBERS // (max(widths[1:]) * count)))
        # Fresh memory would take longer to get than to fill.
        room = {n: found.new_empty(step * widths[n] * count) for n in self._levels}
        for own in pieces(len(codes), ROWS):
            levels, dense = (one.t().contiguous() for one in self._lookups.read(codes[own]))
            for start in range(0, len(self.mask_sets), step):
                some = slice(start, min(start + step, len(self.mask_sets)))
                size = some.stop - start, levels.shape[1]
                nodes = {
                    n: one[: size[0] * widths[n] * size[1]].view(size[0], -1, size[1])
                    for n, one in room.items()
                }
                params = self._params(levels, dense, some, nodes).transpose(0, 1)
                found[some, own] = log_probs_turned(
                    self.groups, self._conditionals, params, codes[own]
                )
        return found

    def _params(
        self, levels: Tensor, dense: Tensor, some: slice, nodes: dict[int, Tensor]
    ) -> Tensor:
        """Params (M, P, B) of examples under some of the orders; see `FirstUnits.add_up`.

        What levels of the network see of the features is written into nodes (M, O, B), and the
        params too.
        """
        top = len(self.network.levels)
        if top not in self._first:
            nodes[top].copy_(self.network.output_bias[:, None])
        for n, first in self._first.items():
            first.add_up(levels, dense, some, nodes[n])
        params = nodes[top]
        for m, order in enumerate(range(some.start, some.stop)):
            places = self._places(self._first[1], self._degrees[order][1])
            h = self._activated(nodes[1][m].index_select(0, places))
            for n, level in enumerate(self.network.levels[1:], 2):
                node = params[m]
                if n < top:
                    node = self.network.bias(n)[self._units(n, order), None].repeat(1, h.shape[1])
                for edge in level.edges:
                    if edge.below:
                        self._steps(edge, order).add_to(node, h)
                h = node if n == top else self._activated(node)
        return params

    def _activated(self, node: Tensor) -> Tensor:
        is_relu = self.network.activation_name == "relu"
        return node.relu_() if is_relu else self.network.activation(node)

    def _units(self, level: int, order: int) -> Tensor:
        """The units of a level by degree under one of the orders, (O,) int64."""
        own, first = self._degrees[order][level], self._first.get(level)
        return own.argsort(stable=True) if first is None else first.units[self._places(first, own)]

    @staticmethod
    def _places(first: FirstUnits, degrees: Tensor) -> Tensor:
        """Where units of `first` stand, by degree (O,)."""
        return degrees[first.units].argsort(stable=True)

    def _steps(self, edge: Edge, order: int) -> Steps:
        """The weight (O, I) of a layer under one of the orders, kept where there is room."""
        found = self._kept.get((edge.above, order))
        if found is None:
            ins, outs = (self._degrees[order][n] for n in (edge.below, edge.above))
            columns = self._units(edge.below, order)
            turned = self._turned[edge.above].index_select(0, columns)
            if edge.above < len(self.network.levels):
                rows = self._units(edge.above, order)
                turned, outs = turned.index_select(1, rows), outs[rows]
            found = Steps.of(turned, ins[columns], outs)
            if edge.layer.weight.numel() * len(self.mask_sets) <= _MAX_KEPT:
                self._kept[edge.above, order] = found
        return found


def log_probs_turned(
    groups: VariableGroups, conditionals: Sequence[Conditional], params: Tensor, codes: Tensor
) -> Tensor:
    """Log-probabilities (M, B, D) of codes (B, D) from params (P, M, B), nats.

    Args:
        groups: The variables.
        conditionals: Of each of them.
        params: Of M densities.
        codes: Of B examples, none of them NaN.
    """
    found = params.new_empty(codes.shape[1], params.shape[1], len(codes))
    turned = codes.t().contiguous()
    for d, conditional in enumerate(conditionals):
        start = groups.param_starts[d]
        own = params[start : start + groups.param_widths[d]]
        found[d] = conditional.log_prob_turned(own, turned[d])
    return found.movedim(0, -1)
