"""The weights of a network sorted by degree, ready for sampling.

After sorting, what a unit sees is a prefix of the level below, so no mask is left.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from made_exp.model.component import Component
from made_exp.model.levels import Edge, Level
from made_exp.model.networks import MaskedNetwork
from made_exp.variables.groups import VariableGroups


@dataclass(frozen=True, eq=False)
class SortedProduct:
    """One matrix product into a level: `weight` (rows, rows of level `below`), sorted by degree."""

    below: int
    weight: Tensor


@dataclass(frozen=True, eq=False)
class SortedLevel:
    """One level of the network, its rows sorted by degree.

    Attributes:
        order: (rows,) int64, the network's unit in each row.
        products: What is added up to the nodes.
        bias: (rows, 1), with conditioning weights included.
        skip: Number of the level whose nodes are added, or None.
    """

    order: Tensor
    products: list[SortedProduct]
    bias: Tensor
    skip: int | None


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """A network under one mask set, sorted once and used for many batches.

    Level 0 holds the features, levels 1..L the hidden layers, level L + 1 the params.

    Attributes:
        network: Where the weights come from; it gives the activation and context projections.
        groups: Conditionals and encodings of the variables.
        ordering: The variable drawn at each of T <= D steps.
        ends: For each level 0..L+1 T + 1 integers: `ends[level][t]` rows have degree <= t.
        levels: Levels 1..L+1.
        panel: Number of steps between two products over all earlier units.
    """

    network: MaskedNetwork
    groups: VariableGroups
    ordering: list[int]
    ends: list[list[int]]
    levels: list[SortedLevel]
    panel: int


@torch.no_grad()
def build_plan(
    component: Component, panel: int | None = None, num_steps: int | None = None
) -> SamplingPlan:
    """Sort the weights of a component's network by the degrees of its masks.

    Args:
        component: What is to be drawn from, with one ordering; the weights are copied.
        panel: Steps between two products over all earlier units; default about sqrt(D).
        num_steps: How many of the D steps are planned; default all.
    """
    network, masks = component.network, component.masks
    degrees = network.layer_degrees(masks)
    at_call = degrees if network.schedule.is_resampled else None
    num_steps = num_steps or masks.num_dims
    steps = torch.arange(num_steps + 1, device=degrees[0].device)
    orders = [torch.argsort(level, stable=True) for level in degrees]
    ends = [
        torch.searchsorted(level[order], steps, right=True).tolist()
        for level, order in zip(degrees, orders, strict=True)
    ]
    # Of the params those of degree num_steps are none that a step needs.
    ends[-1][-1] = ends[-1][-2] if num_steps < masks.num_dims else ends[-1][-1]
    orders = [order[: own[-1]] for order, own in zip(orders, ends, strict=True)]

    def sorted_product(edge: Edge) -> SortedProduct:
        rows, columns = orders[edge.above], orders[edge.below]
        weight = edge.layer.dense_layout(edge.layer.weight)
        return SortedProduct(edge.below, weight[rows][:, columns].contiguous())

    def sorted_level(number: int, level: Level) -> SortedLevel:
        order, bias = orders[number], network.bias(number)
        for extra in level.offsets(at_call, None):
            bias = bias + extra[0]
        products = [sorted_product(edge) for edge in level.edges]
        return SortedLevel(order, products, bias[order][:, None], level.skip)

    return SamplingPlan(
        network,
        component.groups,
        masks.ordering[:num_steps].tolist(),
        ends,
        [sorted_level(number, level) for number, level in enumerate(network.levels, start=1)],
        panel or max(8, round(math.sqrt(num_steps))),
    )
