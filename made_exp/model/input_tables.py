"""What features give to the levels of a network under one order: rows of tables, added up.

A masked product with features costs as much for the many that are 0 as for those that are not. See
`variables.lookups`.

Legend: B examples, L variables with levels, V levels of all of them, K dense features, O units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self, final

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from made_exp.model.component import Component
from made_exp.model.levels import Degrees, Edge
from made_exp.model.networks import Features
from made_exp.variables.groups import VariableGroups
from made_exp.variables.lookups import Lookups

# A row is added up in the time of a product with so many features.
_MIN_FEATURES = 4


@final
@dataclass(frozen=True, eq=False)
class InputTables:
    """The tables of all layers that see the features.

    Attributes:
        lookups: Where levels and dense features are.
        starts: (L,) int64, where the rows of each variable begin.
        layers: By level above: the table (V, O), which has the bias, and the dense weight (O, K).
    """

    lookups: Lookups
    starts: Tensor
    layers: dict[int, tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, component: Component, lookups: Lookups, num_examples: int) -> Self | None:
        """Of a network in evaluation mode; None where products are as fast for so many examples."""
        network, masks = component.network, component.masks
        is_plain = network.output_bias.is_cpu and not torch.is_autocast_enabled("cpu")
        if masks.is_per_example or network.training or not is_plain:
            return None
        sizes = [*lookups.sizes.values()]
        num_read = network.level_widths[0] - lookups.num_dense
        edges = [edge for level in network.levels for edge in level.edges if not edge.below]
        is_worth_it = num_read >= max(1, _MIN_FEATURES * len(sizes)) and sum(sizes) <= num_examples
        if not edges or not is_worth_it:
            return None
        starts = torch.tensor([*accumulate(sizes, initial=0)][:-1])
        degrees = network.call_degrees(masks)
        return cls(lookups, starts, {edge.above: _layer(edge, degrees, lookups) for edge in edges})

    def products(self, levels: Tensor, dense: Tensor) -> dict[int, Tensor]:
        """What each level above gets (B, O), from levels (B, L) and dense features (B, K)."""
        rows, found = levels + self.starts, dict[int, Tensor]()
        for above, (table, weight) in self.layers.items():
            node = embedding_bag(rows, table, mode="sum")
            found[above] = node.addmm_(dense, weight.t()) if dense.shape[1] else node
        return found


@final
class Inputs:
    """What codes are to each of several components of the same variables.

    Args:
        groups: The variables.
        components: The networks under their masks, outside of autograd.
        num_examples: How many there will be in all.
    """

    def __init__(
        self, groups: VariableGroups, components: Sequence[Component], num_examples: int
    ) -> None:
        self._groups, self._lookups = groups, Lookups.of(groups)
        self._tables = [InputTables.of(one, self._lookups, num_examples) for one in components]

    def of(self, codes: Tensor) -> list[Features]:
        """Features for each component, of codes (B, D)."""
        read = self._lookups.read(codes) if any(self._tables) else None
        features = None if all(self._tables) else self._groups.features(codes)
        found = list[Features]()
        for one in self._tables:
            if one is None:
                assert features is not None
                found.append(features)
            else:
                assert read is not None
                found.append(one.products(*read))
        return found


def _layer(edge: Edge, degrees: Degrees, lookups: Lookups) -> tuple[Tensor, Tensor]:
    layer, weight = edge.layer, edge.layer.masked_weight(*edge.degrees(degrees))
    tables = [lookups.table(d, weight) for d in lookups.sizes]
    if layer.bias is not None:  # each example has one level of the first variable
        tables[0] = tables[0] + layer.bias
    return torch.cat(tables), torch.cat([lookups.dense_weight(d, weight) for d in lookups.dense], 1)
