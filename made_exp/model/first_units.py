"""What units that see features get from them under many orders, computed together.

Which variables a unit sees differs from one order to the next; what a variable would give it does
not. So the product of features with weights is taken once, variable by variable, and each order
adds up those it sees:

    node_o = sum_j [degree of o >= degree of j] sum_f W_of x_jf.

Units that see the same in all orders are added up by one product.

Legend: M orders, B examples, D variables, O units, G runs of units, F features, L variables with
levels, V levels of one, K dense features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from made_exp.variables.lookups import Lookups


@final
@dataclass(frozen=True, eq=False)
class FirstUnits:
    """The units of a level, those that see the same side by side.

    Attributes:
        units: (O,) int64, the units as they stand here.
        bias: (O,) of these.
        tables: What the levels of each variable give them, (O, V), if it has any.
        weights: Of the dense features of each variable, (O, K_d).
        lookups: Where levels and dense features are.
        sizes: (G,) how many units each run has.
        sees: (G, M, D + 1) of 0 and 1: variables that a run sees in each order, and the bias.
    """

    units: Tensor
    bias: Tensor
    tables: dict[int, Tensor]
    weights: dict[int, Tensor]
    lookups: Lookups
    sizes: tuple[int, ...]
    sees: Tensor

    @classmethod
    def of(
        cls,
        weight: Tensor,
        bias: Tensor,
        lookups: Lookups,
        degrees: Tensor,
        input_degrees: Tensor,
        keeps_order: bool,
    ) -> Self:
        """Of a weight (O, F) and bias (O,) whose units have degrees (M, O), variables (M, D).

        With `keeps_order` units stand as they are.
        """
        own = degrees.t()
        units = torch.arange(len(own))
        if not keeps_order:
            units = torch.unique(own, dim=0, return_inverse=True)[1].argsort(stable=True)
        patterns, sizes = torch.unique_consecutive(own[units], dim=0, return_counts=True)
        of_bias = torch.zeros_like(input_degrees[:, :1])
        sees = patterns[:, :, None] >= torch.cat([input_degrees, of_bias], 1)
        weight = weight[units]
        return cls(
            units,
            bias[units],
            {d: lookups.table(d, weight).t().contiguous() for d in lookups.sizes},
            {d: lookups.dense_weight(d, weight) for d in lookups.dense},
            lookups,
            tuple(sizes.tolist()),
            sees.to(weight.dtype),
        )

    def add_up(self, levels: Tensor, dense: Tensor, some: slice, out: Tensor) -> Tensor:
        """Sums (M, O, B) of what levels (L, B), dense features (K, B) and bias give, into `out`.

        Under some of the orders.
        """
        sees, start = self.sees[:, some], 0
        columns = dict(zip(self.tables, levels, strict=True))
        inputs = {d: (columns.get(d), dense[own]) for d, own in self.lookups.dense.items()}
        for size, seen in zip(self.sizes, sees, strict=True):
            own = slice(start, start + size)
            parts = self._parts(inputs, own, dense).flatten(1)
            torch.mm(seen, parts, out=out[:, own].view(len(seen), -1))
            start += size
        return out

    def _parts(
        self, inputs: Mapping[int, tuple[Tensor | None, Tensor]], own: slice, like: Tensor
    ) -> Tensor:
        """What variables and bias give to some of the units, (D + 1, O, B)."""
        parts = like.new_empty(len(inputs) + 1, own.stop - own.start, like.shape[1])
        each = parts.unbind()
        for d, (levels, dense) in inputs.items():
            if levels is None:
                torch.mm(self.weights[d][own], dense, out=each[d])
                continue
            torch.index_select(self.tables[d][own], 1, levels, out=each[d])
            if dense.shape[0]:
                each[d].addmm_(self.weights[d][own], dense)
        each[-1][:] = self.bias[own, None]
        return parts
