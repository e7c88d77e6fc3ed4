"""Cells that are missing: left out, or one more value of their variable."""

from collections.abc import Sequence

import torch
from torch import Tensor

from made_exp.variables.variable import Variable

_ROWS = 2**16


def left_out(x: Tensor, variables: Sequence[Variable]) -> Tensor:
    """Which cells of x (..., D) are missing without being a value of their variable, bool."""
    are_values = [variable.may_be_missing for variable in variables]
    return x.isnan() & ~torch.tensor(are_values, device=x.device)


def num_left_out(x: Tensor, variables: Sequence[Variable]) -> Tensor:
    """How many cells of each column (D,) of x (N, D) those are, looked at in pieces."""
    return torch.stack([left_out(part, variables).sum(0) for part in x.split(_ROWS)]).sum(0)


def any_left_out(x: Tensor, variables: Sequence[Variable]) -> bool:
    """Whether any cell of x (N, D) is one."""
    return x.is_floating_point() and bool(num_left_out(x, variables).any())


def all_values(variable: Variable) -> Tensor:
    """All values (V,) float64 of a discrete variable, NaN at the end where that is one."""
    assert variable.num_values is not None
    values = torch.arange(variable.num_values, dtype=torch.float64)
    return torch.cat([values, values.new_full((int(variable.may_be_missing),), torch.nan)])
