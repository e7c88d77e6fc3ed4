"""A conditional of one variable restricted to subsets of its values: their mass, and draws inside.

Legend: B examples, S subsets, V values, C components of a mixture, I intervals of a subset.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.subset import Subset


class Restricted(ABC):
    """A conditional and S subsets of the values of its variable, of which each example has one."""

    @abstractmethod
    def mass(self, params: Tensor, index: Tensor | None = None) -> Tensor:
        """Probability (B,) float64 of the subset of each example.

        Args:
            params: (B, K), as the conditional takes them.
            index: (B,) int64, which subset each example has; None: the only one.
        """

    @abstractmethod
    def masses(self, params: Tensor) -> Tensor:
        """Probabilities (B, S) float64 of all subsets, for params (B, K)."""

    @abstractmethod
    def draw(
        self, params: Tensor, uniforms: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The masses, as `mass`, and codes (B,) drawn inside the subsets.

        Uniforms are (B, 2) in [0, 1). Where a subset has no mass the code is any.
        """


@final
@dataclass(frozen=True, eq=False)
class RestrictedValues(Restricted):
    """Of a discrete variable.

    Attributes:
        probs: Probabilities (B, V) of all values for params (B, K).
        is_inside: (S, V) float64, 1 for the values of each subset.
    """

    probs: Callable[[Tensor], Tensor]
    is_inside: Tensor

    @override
    def mass(self, params: Tensor, index: Tensor | None = None) -> Tensor:
        return self._inside(params, index).sum(-1)

    @override
    def masses(self, params: Tensor) -> Tensor:
        return self.probs(params).double() @ self.is_inside.mT

    @override
    def draw(
        self, params: Tensor, uniforms: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        inside = self._inside(params, index)
        drawn = categorical_quantile(inside, uniforms[:, 0].double())
        return inside.sum(-1), drawn.to(params.dtype)

    def _inside(self, params: Tensor, index: Tensor | None) -> Tensor:
        own = self.is_inside if index is None else self.is_inside[index]
        return self.probs(params).double() * own


def values_inside(
    subsets: Sequence[Subset], num_values: int, may_be_missing: bool, device: torch.device
) -> Tensor:
    """Which codes (S, V) float64 are in each subset; a missing value has the last code."""
    codes = torch.arange(num_values, dtype=torch.float64)
    if may_be_missing:
        codes[-1] = torch.nan
    return torch.stack([subset.contains(codes) for subset in subsets]).double().to(device)
