"""A discrete variable with a free table of probabilities."""

from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.base import (
    DiscreteConditional,
    smoothed_frequencies,
)
from made_exp.variables.distributions import categorical_log_prob, categorical_quantile
from made_exp.variables.encodings import cosine_basis, num_basis_functions
from made_exp.variables.variable import Kind, Variable


@final
@dataclass(frozen=True)
class Categorical(DiscreteConditional):
    """p = softmax(logits), with K = num_values logits as they are, or smooth ones.

    Attributes:
        num_values: Number of values, at least 2.
        smooth: For ordered values: the logits are a smooth function of the value, a sum of
            cosines weighted by the raw numbers, so that neighbouring values share strength.
    """

    num_values: int
    smooth: bool = False
    num_uniforms: ClassVar[int] = 1

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        assert variable.num_values is not None
        is_ordered = variable.kind in (Kind.ORDINAL, Kind.INTEGER)
        return cls(variable.num_values, smooth=smooth_logits and is_ordered)

    @property
    @override
    def num_params(self) -> int:
        """One logit for each value, or one weight for each basis function."""
        return num_basis_functions(self.num_values) if self.smooth else self.num_values

    def logits(self, params: Tensor) -> Tensor:
        """Logits (..., num_values) for params (..., K)."""
        if not self.smooth:
            return params
        return params @ self._basis(params)

    @override
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        return categorical_log_prob(self.logits(params), x)

    @override
    def probs(self, params: Tensor) -> Tensor:
        return torch.softmax(self.logits(params), -1)

    @override
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        probs = torch.softmax(self.logits(params) / temperature, -1)
        return categorical_quantile(probs, uniforms.squeeze(-1)).to(params.dtype)

    @override
    def initial_params(self, x: Tensor) -> Tensor:
        """Centred log frequencies (K,) of x (N,), or their least squares fit by the basis."""
        frequencies = smoothed_frequencies(x, self.num_values)
        logits = frequencies.log() - frequencies.log().mean()
        if not self.smooth:
            return logits
        # Weighted by frequency: the rare values have the noisiest logarithms.
        basis = self._basis(logits)
        basis = basis - (basis @ frequencies)[:, None]
        target = logits - logits @ frequencies
        gram = (basis * frequencies) @ basis.T
        ridge = 1e-4 * torch.eye(self.num_params, dtype=logits.dtype, device=logits.device)
        return torch.linalg.solve(gram + ridge, basis @ (frequencies * target))

    def _basis(self, like: Tensor) -> Tensor:
        return cosine_basis(self.num_values, self.num_params, like.dtype, like.device)
