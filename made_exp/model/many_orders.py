"""The likelihood of examples under many orders of one network, computed together.

Which variables a unit sees differs from one order to the next; what a variable would give it does
not. So the product of features with weights is taken once, variable by variable, and each order
adds up those it sees:

    node_o = sum_j [degree of o >= degree of j] sum_f W_of x_jf.

One-hot and other wide features make this a fraction of a product for each order. Units come first
in all arrays, so that operations run along examples.

Legend: M orders, B examples, D variables, O units of a level, P params.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import final

import torch
from torch import Tensor

from made_exp.masks.mask_set import MaskSet
from made_exp.model.levels import Edge
from made_exp.model.networks import MaskedNetwork
from made_exp.variables.conditionals.base import Conditional
from made_exp.variables.groups import VariableGroups

# Fewer features a variable, or more variables, are multiplied as fast order by order.
MIN_WIDTH, MAX_DIMS, _MIN_ORDERS = 3, 256, 2
# Examples that go together, and numbers that a level may have for some orders and these.
ROWS, _MAX_NUMBERS = 1000, 2**22
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
        self._kept: dict[tuple[int, int], Tensor] = {}
        self._starts = tuple(accumulate(groups.feature_widths, initial=0))

    @torch.no_grad()
    def terms(self, codes: Tensor) -> Tensor:
        """Log-probability (M, B, D) of each of the codes (B, D) given those before it, nats."""
        found = codes.new_empty(
            (len(self.mask_sets), *codes.shape), dtype=self.network.output_bias.dtype
        )
        widest = max(self.network.level_widths[1:])
        for rows in torch.arange(len(codes)).split(ROWS):
            own = slice(int(rows[0]), int(rows[-1]) + 1)
            shared = self._shared(codes[own])
            step = max(1, _MAX_NUMBERS // (widest * len(rows)))
            for start in range(0, len(self.mask_sets), step):
                some = slice(start, start + step)
                params = self._params(shared, some)
                found[some, own] = log_probs_turned(
                    self.groups, self._conditionals, params, codes[own]
                )
        return found

    def _shared(self, codes: Tensor) -> dict[int, Tensor]:
        """By the level above, what variables and bias give to who sees them, (O, D + 1, B)."""
        features = self.groups.features(codes).t().contiguous()
        parts: dict[int, Tensor] = {}
        for edge in (edge for level in self.network.levels for edge in level.edges):
            if edge.below == 0:
                weight = edge.layer.weight
                # The bias is one more variable, which all units see.
                part = weight.new_empty(len(weight), len(self._conditionals) + 1, len(codes))
                part[:, -1] = self.network.bias(edge.above)[:, None]
                for d, (start, end) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
                    torch.mm(weight[:, start:end], features[start:end], out=part[:, d])
                parts[edge.above] = part
        return parts

    def _params(self, shared: dict[int, Tensor], some: slice) -> Tensor:
        """Params (P, M, B) under some of the orders."""
        degrees = [self.network.layer_degrees(masks) for masks in self.mask_sets[some]]
        inputs = torch.stack([masks.input_degrees for masks in self.mask_sets[some]])
        inputs = torch.cat([inputs, torch.zeros_like(inputs[:, :1])], 1)
        h = torch.empty(0)
        for n, level in enumerate(self.network.levels, 1):
            if n in shared:
                own = torch.stack([one[n] for one in degrees], 1)  # (O, M)
                sees = (own[:, :, None] >= inputs[None]).to(shared[n].dtype)
                node = torch.bmm(sees, shared[n])
            else:
                node = self.network.bias(n)[:, None, None].expand(-1, *h.shape[1:]).contiguous()
            for edge in level.edges:
                for m in range(len(degrees)) if edge.below else ():
                    node[:, m].addmm_(self._masked(edge, some.start + m), h[:, m])
            h = node
            if n < len(self.network.levels):
                is_relu = self.network.activation_name == "relu"
                h = node.relu_() if is_relu else self.network.activation(node)
        return h

    def _masked(self, edge: Edge, order: int) -> Tensor:
        """The weight (O, I) of a layer under one of the orders, kept where there is room."""
        found = self._kept.get((edge.above, order))
        if found is None:
            degrees = self.network.layer_degrees(self.mask_sets[order])
            sees = degrees[edge.above][:, None] >= degrees[edge.below][None]
            found = edge.layer.weight * sees
            if found.numel() * len(self.mask_sets) <= _MAX_KEPT:
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
    found, turned = params.new_empty(params.shape[1], *codes.shape), codes.t().contiguous()
    for d, conditional in enumerate(conditionals):
        start = groups.param_starts[d]
        own = params[start : start + groups.param_widths[d]]
        found[:, :, d] = conditional.log_prob_turned(own, turned[d])
    return found
