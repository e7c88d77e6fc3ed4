"""A set of values of one variable: what a question allows a cell to hold."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from made_exp.variables.variable import Variable

Interval = tuple[float, float]


@final
@dataclass(frozen=True)
class Subset:
    """Intervals of values, and whether a missing cell is in.

    Ends lie between values, those of whole numbers and codes at halves, so that it does not matter
    whether they belong to an interval.

    Attributes:
        intervals: (low, high), rising and apart from each other; may be infinite.
        missing: Whether a missing cell is in.
    """

    intervals: tuple[Interval, ...] = ()
    missing: bool = False

    @classmethod
    def of(cls, intervals: Iterable[Interval], missing: bool = False) -> Self:
        """The union of any intervals."""
        merged: list[Interval] = []
        for low, high in sorted(interval for interval in intervals if interval[0] < interval[1]):
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return cls(tuple(merged), missing)

    @classmethod
    def of_codes(cls, codes: Iterable[int]) -> Self:
        """These whole numbers."""
        return cls.of((code - 0.5, code + 0.5) for code in codes)

    @classmethod
    def all_of(cls, variable: Variable) -> Self:
        """All that a variable can hold."""
        count = variable.num_values
        whole = (-math.inf, math.inf) if count is None else (-0.5, count - 0.5)
        return cls((whole,), variable.may_be_missing)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in."""
        return not self.intervals and not self.missing

    @property
    def edges(self) -> tuple[float, ...]:
        """The ends of all intervals, rising."""
        return tuple(end for interval in self.intervals for end in interval)

    def __and__(self, other: "Subset") -> "Subset":
        pairs = [(max(a, c), min(b, d)) for a, b in self.intervals for c, d in other.intervals]
        return Subset.of(pairs, self.missing and other.missing)

    def __or__(self, other: "Subset") -> "Subset":
        return Subset.of((*self.intervals, *other.intervals), self.missing or other.missing)

    def without(self, other: "Subset") -> "Subset":
        """What is in this one and not in the other."""
        ends = (-math.inf, *other.edges, math.inf)
        gaps = Subset.of(zip(ends[::2], ends[1::2], strict=True), not other.missing)
        return self & gaps

    def holds(self, value: float) -> bool:
        """Whether one value is in; NaN is a missing cell."""
        if math.isnan(value):
            return self.missing
        return any(low < value < high for low, high in self.intervals)

    def contains(self, x: Tensor) -> Tensor:
        """Whether values x (...) are in, bool; NaN is a missing cell."""
        edges = torch.tensor(self.edges, dtype=torch.float64, device=x.device)
        inside = torch.searchsorted(edges, x.double().contiguous()) % 2 == 1
        return torch.where(torch.isnan(x), self.missing, inside)
