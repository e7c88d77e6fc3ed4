"""Where a subset of the values of one variable lies: in which states, and which stretches of F.

Legend: S states of a variable, I intervals of a subset.
"""

import math
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from made_exp.datasets.baselines.coordinates import has_coordinate
from made_exp.datasets.baselines.marginals import Marginals
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable


@final
@dataclass(frozen=True, eq=False)
class Inside:
    """What is inside a subset of the values of one variable.

    Attributes:
        states: (S,) float64, 1 for states that are inside, 0 for that of a number.
        stretches: (I, 2) float64, F of the number at the ends of the intervals.
    """

    states: Tensor
    stretches: Tensor

    @classmethod
    def of(cls, marginals: Marginals, d: int, subset: Subset) -> Self:
        """Of the d-th variable."""
        coordinates = marginals.coordinates
        variable = coordinates.variables[d]
        stretches = torch.zeros(0, 2, dtype=torch.float64)
        if has_coordinate(variable) and subset.intervals:
            r = coordinates.numeric.tolist().index(d)
            ends = torch.tensor(subset.intervals, dtype=torch.float64).flatten()
            stretches = _cumulative(marginals, r, variable, ends).view(-1, 2)
        return cls(states_inside(variable, subset), stretches)

    def mass(self, probs: Tensor) -> float:
        """Its probability, given those (S,) of the states."""
        smooth = float(self.stretches.diff(dim=1).sum()) * float(probs[0])
        return float(self.states @ probs) + smooth


def states_inside(variable: Variable, subset: Subset) -> Tensor:
    """Which states (S,) float64 are inside: 1, else 0, and 0 for that of a number."""
    values = values_of_states(variable)
    states = [float(value is not None and subset.holds(value)) for value in values]
    return torch.tensor(states, dtype=torch.float64)


def values_of_states(variable: Variable) -> list[float | None]:
    """The value of each state; None for that of a number, NaN for a missing one."""
    missing: list[float | None] = [math.nan] * variable.may_be_missing
    if has_coordinate(variable):
        return [None, *variable.atoms, *missing]
    return [*map(float, range(variable.num_values or 0)), *missing]


def _cumulative(marginals: Marginals, r: int, variable: Variable, ends: Tensor) -> Tensor:
    """F (n,) of the r-th number at ends (n,) of intervals in data space."""
    finite = ends.isfinite()
    at = variable.transform.forward(torch.where(finite, ends, 0.0))
    found = torch.where(finite, marginals.up_to(r, at).clamp(0, 1), (ends > 0).double())
    if variable.num_values is None:
        return found
    found = found.masked_fill(ends >= variable.num_values - 0.5, 1.0)
    return found.masked_fill(ends <= -0.5, 0.0)
