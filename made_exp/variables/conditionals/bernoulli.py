"""A binary variable."""

from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.base import (
    DiscreteConditional,
    Pullback,
    smoothed_frequencies,
)
from made_exp.variables.distributions import bernoulli_log_prob, bernoulli_log_prob_vjp
from made_exp.variables.variable import Variable


@final
@dataclass(frozen=True)
class Bernoulli(DiscreteConditional):
    """p(1) = sigmoid(logit); K = 1. Values must be 0 or 1; a draw is 1 where u < p(1)."""

    num_values: ClassVar[int] = 2  # type: ignore[misc]
    may_be_missing: ClassVar[bool] = False  # type: ignore[misc]
    num_uniforms: ClassVar[int] = 1

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        return cls()

    @property
    @override
    def num_params(self) -> int:
        return 1

    @override
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        return bernoulli_log_prob(params.squeeze(-1), x)

    @override
    def log_probs(self, params: Tensor, x: Tensor) -> Tensor:
        # Without a change of shape, which a small step would feel.
        return bernoulli_log_prob(params, x)

    @override
    def log_probs_vjp(self, params: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
        # Written out, because training spends its time here.
        return bernoulli_log_prob_vjp(params, x)

    @override
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        return (uniforms < torch.sigmoid(params / temperature)).squeeze(-1).to(params.dtype)

    @override
    def initial_params(self, x: Tensor) -> Tensor:
        return torch.logit(smoothed_frequencies(x, 2)[1:])
