"""What units that see features get from them under many orders, computed together.

Which variables a unit sees differs from one order to the next; what a variable would give it does
not. So the product of features with weights is taken once, variable by variable, and each order
adds up those it sees:

    node_o = sum_j [degree of o >= degree of j] sum_f W_of x_jf.

Units that see the same in all orders are added up by one product.

Legend: M orders, B examples, D variables, O units, G runs of units, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self, final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class FirstUnits:
    """The units of a level, those that see the same side by side.

    Attributes:
        units: (O,) int64, the units as they stand here.
        weight: (O, F) of these.
        bias: (O,) of these.
        starts: (D + 1,) where the features of each variable begin, and the last ones end.
        sizes: (G,) how many units each run has.
        sees: (G, M, D + 1) of 0 and 1: variables that a run sees in each order, and the bias.
    """

    units: Tensor
    weight: Tensor
    bias: Tensor
    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    sees: Tensor

    @classmethod
    def of(
        cls,
        weight: Tensor,
        bias: Tensor,
        feature_widths: Sequence[int],
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
        starts = tuple(accumulate(feature_widths, initial=0))
        return cls(
            units, weight[units], bias[units], starts, tuple(sizes.tolist()), sees.to(weight.dtype)
        )

    def add_up(self, features: Tensor, some: slice, out: Tensor) -> Tensor:
        """Sums (M, O, B) of features (F, B) and bias under some of the orders, into `out`."""
        sees, start = self.sees[:, some], 0
        for size, seen in zip(self.sizes, sees, strict=True):
            own = slice(start, start + size)
            parts = self._parts(features, own).flatten(1)
            torch.mm(seen, parts, out=out[:, own].view(len(seen), -1))
            start += size
        return out

    def _parts(self, features: Tensor, own: slice) -> Tensor:
        """What variables and bias give to some of the units, (D + 1, O, B)."""
        weight, bias = self.weight[own], self.bias[own]
        parts = features.new_empty(len(self.starts), len(bias), features.shape[1])
        for part, low, high in zip(parts, self.starts, self.starts[1:], strict=False):
            torch.mm(weight[:, low:high], features[low:high], out=part)
        parts[-1] = bias[:, None]
        return parts
