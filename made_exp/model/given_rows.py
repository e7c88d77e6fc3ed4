"""Which values the given variables of a model have in train, from which a draw takes its own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.variable import Variable


@final
@dataclass(frozen=True, eq=False)
class GivenRows:
    """The different rows of values of the given variables, on the CPU.

    Attributes:
        x: (R, D) float64 in data space; NaN where a variable is not given, or missing.
        shares: (R,) float64, of the training rows that have them; they sum to one.
    """

    x: Tensor
    shares: Tensor

    @classmethod
    def of(cls, variables: Sequence[Variable], content: Mapping[str, Any] | None) -> Self | None:
        """Those that `describe_data` told of; None where nothing is given, or is known of it."""
        given = [d for d, variable in enumerate(variables) if variable.is_given]
        if not given or content is None:
            return None
        counts = torch.tensor(content["counts"], dtype=torch.float64)
        x = torch.full((len(counts), len(variables)), torch.nan, dtype=torch.float64)
        rows = [[math.nan if v is None else v for v in row] for row in content["rows"]]
        x[:, given] = torch.tensor(rows, dtype=torch.float64)
        return cls(x, counts / counts.sum())

    def draw(self, uniforms: Tensor) -> Tensor:
        """Rows (B, D), drawn by their shares, for each uniform number (B,) in [0, 1)."""
        chosen = categorical_quantile(self.shares, uniforms.cpu())
        return self.x[chosen].to(uniforms.device)
