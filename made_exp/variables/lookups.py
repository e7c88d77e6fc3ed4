"""A linear map of features, read from tables: a row for each variable instead of a product.

    W features(x) = sum_d (W_d table_d)[level_d] + W_dense dense(x).

See `Encoding` for levels and dense features.

Legend: B examples, L variables with levels, V levels, K dense features, O units, F features.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Self, final

import torch
from torch import Tensor

from made_exp.variables.groups import VariableGroups


@final
@dataclass(frozen=True, eq=False)
class Lookups:
    """Where levels and dense features of the variables stand.

    Attributes:
        groups: The variables.
        sizes: How many levels each variable has that has any, in the order of their columns.
        dense: The columns of dense features of each of the D variables.
    """

    groups: VariableGroups
    sizes: dict[int, int]
    dense: dict[int, slice]

    @classmethod
    def of(cls, groups: VariableGroups) -> Self:
        """Of all variables."""
        placed = [(d, one.encoding, n) for one in groups.alike for n, d in enumerate(one.variables)]
        sizes = {d: encoding.num_levels(n) for d, encoding, n in placed}
        starts = list(accumulate((encoding.num_dense for _, encoding, _ in placed), initial=0))
        dense = {
            d: slice(*ends) for (d, *_), *ends in zip(placed, starts, starts[1:], strict=False)
        }
        return cls(groups, {d: size for d, size in sizes.items() if size}, dense)

    @property
    def num_dense(self) -> int:
        """K of all variables."""
        return max((own.stop for own in self.dense.values()), default=0)

    def read(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Levels (B, L) int64 and dense features (B, K) of codes (B, D)."""
        pairs = list(zip(self.groups.alike, self.groups.split(codes), strict=True))
        none = codes.new_empty(len(codes), 0)
        levels = [one.encoding.level(x) for one, x in pairs if one.variables[0] in self.sizes]
        dense = [one.encoding.dense(x).flatten(1) for one, x in pairs if one.encoding.num_dense]
        return torch.cat(levels or [none.long()], 1), torch.cat(dense or [none], 1)

    def table(self, variable: int, weight: Tensor) -> Tensor:
        """What each level of a variable gives to units with weight (O, F), (V, O)."""
        encoding, index = self.groups.encoding_of(variable)
        first, last = self._ends(variable)
        return encoding.products(index, weight[:, first + encoding.num_dense : last])

    def dense_weight(self, variable: int, weight: Tensor) -> Tensor:
        """The part (O, K_d) of a weight (O, F) that a variable's dense features have."""
        first, _ = self._ends(variable)
        own = self.dense[variable]
        return weight[:, first : first + own.stop - own.start]

    def _ends(self, variable: int) -> tuple[int, int]:
        first = self.groups.feature_starts[variable]
        return first, first + self.groups.feature_widths[variable]
