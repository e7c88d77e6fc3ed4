"""The weights of a network sorted by degree, ready for sampling.

After sorting, what a unit sees is a prefix of the level below, so no mask is left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from made_exp.masks.mask_set import MaskSet
from made_exp.model.layers import MaskedLinear
from made_exp.model.networks import MaskedNetwork
from made_exp.variables.groups import VariableGroups


@dataclass(frozen=True, eq=False)
class Product:
    """One matrix product into a level.

    Attributes:
        below: Number of the level that is read.
        weight: (rows, rows of the level below), both sorted by degree.
    """

    below: int
    weight: Tensor


@dataclass(frozen=True, eq=False)
class Level:
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
    products: list[Product]
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
        feature_ends: As `Level.ends`, of the features.
        levels: Levels 1..L+1.
        panel: Number of steps between two products over all earlier units.
    """

    network: MaskedNetwork
    groups: VariableGroups
    ordering: list[int]
    feature_ends: list[int]
    levels: list[Level]
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
        [torch.argsort(layer, stable=True) for layer in degrees],
        network.schedule.is_resampled,
        masks.num_dims,
    )
    num_hidden = len(network.hidden)
    levels = [_hidden_level(network, layer, sorting) for layer in range(num_hidden)]
    levels.append(_output_level(network, sorting))
    panel = panel or max(8, round(math.sqrt(masks.num_dims)))
    ordering = masks.ordering.tolist()
    return SamplingPlan(network, groups, ordering, sorting.ends(0), levels, panel)


@dataclass(frozen=True, eq=False)
class _Sorting:
    """Degrees of all layers (features first, params last) and the orders that sort them."""

    degrees: Sequence[Tensor]
    orders: list[Tensor]
    at_call: bool
    num_dims: int

    def ends(self, layer: int) -> list[int]:
        steps = torch.arange(self.num_dims + 1, device=self.degrees[layer].device)
        ordered = self.degrees[layer][self.orders[layer]]
        return torch.searchsorted(ordered, steps, right=True).tolist()

    def pair(self, below: int, above: int) -> tuple[Tensor, ...]:
        return (self.degrees[below], self.degrees[above]) if self.at_call else ()

    def product(self, layer: nn.Module, below: int, above: int) -> Product:
        assert isinstance(layer, MaskedLinear)
        weight = layer.masked_weight(*self.pair(below, above))
        return Product(below, weight[self.orders[above]][:, self.orders[below]].contiguous())


def _hidden_level(network: MaskedNetwork, layer: int, sorting: _Sorting) -> Level:
    order, skip = sorting.orders[layer + 1], network.skips[layer]
    bias = network.hidden[layer].bias
    assert isinstance(bias, Tensor)
    return Level(
        ends=sorting.ends(layer + 1),
        order=order,
        products=[sorting.product(network.hidden[layer], layer, layer + 1)],
        bias=_offset_bias(network, layer, bias, sorting)[order][:, None],
        skip=None if skip is None else skip + 1,
    )


def _output_level(network: MaskedNetwork, sorting: _Sorting) -> Level:
    num_hidden, order = len(network.hidden), sorting.orders[-1]
    products = []
    if network.output is not None:
        products.append(sorting.product(network.output, num_hidden, -1))
    if network.direct is not None:
        products.append(sorting.product(network.direct, 0, -1))
    bias = _offset_bias(network, num_hidden, network.output_bias, sorting)[order][:, None]
    return Level(sorting.ends(-1), order, products, bias)


def _offset_bias(network: MaskedNetwork, layer: int, bias: Tensor, sorting: _Sorting) -> Tensor:
    degrees = sorting.degrees if sorting.at_call else None
    for extra in network.offsets(layer, degrees, None):
        bias = bias + extra[0]
    return bias
