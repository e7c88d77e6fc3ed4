"""The weights of a network sorted by degree, ready for sampling.

After sorting, what a unit sees is a prefix of the level below, so no mask is left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from made_exp.masks.mask_set import MaskSet
from made_exp.model.levels import Degrees, Edge
from made_exp.model.networks import MaskedNetwork
from made_exp.variables.groups import VariableGroups


@dataclass(frozen=True, eq=False)
class SortedProduct:
    """One matrix product into a level.

    Attributes:
        below: Number of the level that is read.
        weight: (rows, rows of the level below), both sorted by degree.
    """

    below: int
    weight: Tensor


@dataclass(frozen=True, eq=False)
class SortedLevel:
    """One layer of the network, its rows sorted by degree.

    Attributes:
        ends: (D + 1) integers, `ends[t]` rows have degree <= t.
        order: (rows,) int64, the network's unit in each row.
        products: What is added up to the nodes.
        bias: (rows, 1), with conditioning weights included.
        skip: Number of the level whose nodes are added, or None.
    """

    ends: list[int]
    order: Tensor
    products: list[SortedProduct]
    bias: Tensor
    skip: int | None = None


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """A network under one mask set, sorted once and used for many batches.

    Level 0 holds the features, levels 1..L the hidden layers, level L + 1 the params.

    Attributes:
        network: Where the weights come from; it gives the activation and context projections.
        groups: Conditionals and encodings of the variables.
        ordering: D integers, the variable drawn at each step.
        feature_ends: As `SortedLevel.ends`, of the features.
        levels: Levels 1..L+1.
        panel: Number of steps between two products over all earlier units.
    """

    network: MaskedNetwork
    groups: VariableGroups
    ordering: list[int]
    feature_ends: list[int]
    levels: list[SortedLevel]
    panel: int

    def ends(self, level: int) -> list[int]:
        """`ends[t]` rows of `level` have degree <= t."""
        return self.levels[level - 1].ends if level else self.feature_ends


@torch.no_grad()
def build_plan(
    network: MaskedNetwork, groups: VariableGroups, masks: MaskSet, panel: int | None = None
) -> SamplingPlan:
    """Sort the weights of `network` by the degrees of `masks`.

    Args:
        network: The network; its weights are copied.
        groups: Conditionals and encodings of the variables.
        masks: The ordering and the degrees to sample with.
        panel: Steps between two products over all earlier units; default about sqrt(D).
    """
    degrees = network.layer_degrees(masks)
    sorting = _Sorting(
        degrees,
        [torch.argsort(level, stable=True) for level in degrees],
        degrees if network.schedule.is_resampled else None,
        masks.num_dims,
    )
    levels = [_sorted_level(network, number, sorting) for number in range(1, len(degrees))]
    panel = panel or max(8, round(math.sqrt(masks.num_dims)))
    ordering = masks.ordering.tolist()
    return SamplingPlan(network, groups, ordering, sorting.ends(0), levels, panel)


@dataclass(frozen=True, eq=False)
class _Sorting:
    """Degrees of all levels and the orders that sort them; degrees that calls are given, if any."""

    degrees: Sequence[Tensor]
    orders: list[Tensor]
    at_call: Degrees
    num_dims: int

    def ends(self, level: int) -> list[int]:
        steps = torch.arange(self.num_dims + 1, device=self.degrees[level].device)
        ordered = self.degrees[level][self.orders[level]]
        return torch.searchsorted(ordered, steps, right=True).tolist()

    def product(self, edge: Edge) -> SortedProduct:
        weight = edge.layer.masked_weight(*edge.degrees(self.at_call))
        rows, columns = self.orders[edge.above], self.orders[edge.below]
        return SortedProduct(edge.below, weight[rows][:, columns].contiguous())


def _sorted_level(network: MaskedNetwork, number: int, sorting: _Sorting) -> SortedLevel:
    level, order = network.levels[number - 1], sorting.orders[number]
    bias = network.bias(number)
    for extra in level.offsets(sorting.at_call, None):
        bias = bias + extra[0]
    return SortedLevel(
        sorting.ends(number),
        order,
        [sorting.product(edge) for edge in level.edges],
        bias[order][:, None],
        level.skip,
    )
