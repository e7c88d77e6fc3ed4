"""Values of numbers that come again: one more component, what train has seen before.

    e(x) = (number of training rows with the value x) / N.

Codes of such values follow those of the atoms: the j-th of a variable is ATOM - S - j. In training
a row is not told of itself: there e(x) is (count - 1) / (N - 1).

Legend: G variables of a group, V values of all of them together, S special codes of each.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Self, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from made_exp.variables.variable import Variable


class Tables(nn.Module):
    """Tables that stay float64 whatever the module is cast to."""

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        for child in self.children():
            child._apply(fn)
        for name, table in self._buffers.items():
            assert table is not None
            self._buffers[name] = table.to(fn(table).device)
        return self


@final
class Echoes(Tables):
    """The tables of a group of numbers that have echoes; those of the variables lie end to end.

    Args:
        variables: The G variables.

    Attributes:
        starts: (G,) int64, where the values of each begin; () of a single variable.
        sizes: (G,) int64, how many each has.
        levels: (V,) the values, rising in each variable.
        log_shares: (V,) log e(x).
        log_left_out: (V,) log e(x) for a row with that value which is not told of itself.
        ends: (V,) the cumulative e(x) of a variable, for draws.
    """

    starts: Tensor
    sizes: Tensor
    levels: Tensor
    log_shares: Tensor
    log_left_out: Tensor
    ends: Tensor

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__()
        sizes = [len(variable.echoes) for variable in variables]
        counts = [torch.tensor(v.echo_counts, dtype=torch.float64) for v in variables]
        values = [torch.tensor(v.echoes, dtype=torch.float64) for v in variables]
        tables = {
            "starts": torch.tensor([0, *accumulate(sizes)][:-1]),
            "sizes": torch.tensor(sizes),
            "levels": torch.cat(values),
            "log_shares": torch.cat([(c / c.sum()).log() for c in counts]),
            "log_left_out": torch.cat([((c - 1) / (c.sum() - 1)).log() for c in counts]),
            "ends": torch.cat([c.cumsum(0) / c.sum() for c in counts]),
        }
        # Known without asking a GPU.
        self._places = list(zip(tables["starts"].tolist(), sizes, strict=True))
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        self.eval()  # a model that trains says so

    def of(self, index: int) -> Self:
        """One variable of the group."""
        start, size = self._places[index]
        own = {
            name: table[start : start + size]
            for name, table in self._buffers.items()
            if table is not None and name not in ("starts", "sizes")
        }
        one = object.__new__(type(self))
        own |= {"starts": torch.zeros_like(self.starts[0]), "sizes": self.sizes[index]}
        one.__dict__ = self.__dict__ | {"_buffers": own}
        return one

    def find(self, x: Tensor, tolerance: Tensor) -> Tensor:
        """Which value of its variable each of x (..., G) is, int64; -1 where it is none.

        Text and float32 may change a value by less than `tolerance` (..., G).
        """
        if self.starts.ndim == 0:
            return _found(self.levels, x, tolerance)
        parts = [
            _found(self.levels[start : start + size], x[..., g], tolerance[..., g])
            for g, (start, size) in enumerate(self._places)
        ]
        return torch.stack(parts, -1)

    def at(self, table: Tensor, index: Tensor) -> Tensor:
        """Entries (..., G) of a table (V,) for values `index` (..., G) of each variable."""
        return table[self.starts + index.clamp(min=0).minimum(self.sizes - 1)]

    def logs(self, index: Tensor) -> Tensor:
        """Log e (..., G) of values `index` (..., G); -inf where that is below 0."""
        table = self.log_left_out if self.training else self.log_shares
        return self.at(table, index).masked_fill(index < 0, -torch.inf)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Which value (...) of a single variable has the cumulative e at `uniforms` (...)."""
        found = torch.searchsorted(self.ends, uniforms.double().contiguous(), right=True)
        return found.clamp(max=len(self.ends) - 1)


def nearest(levels: Tensor, x: Tensor) -> Tensor:
    """Which of levels (..., V), rising, is nearest to each of x (..., N); the lower of two.

    By their distances: between neighbours in float64 there is no middle.
    """
    above = torch.searchsorted(levels, x.contiguous()).clamp(max=levels.shape[-1] - 1)
    below = (above - 1).clamp(min=0)
    low, high = ((levels[i] if levels.ndim == 1 else levels.gather(-1, i)) for i in (below, above))
    return torch.where(x - low <= high - x, below, above)


def _found(levels: Tensor, x: Tensor, tolerance: Tensor) -> Tensor:
    """The place in levels (V,) of each of x (...); -1 where it is farther than the tolerance."""
    index = nearest(levels, x)
    return torch.where((levels[index] - x).abs() <= tolerance, index, -1)
