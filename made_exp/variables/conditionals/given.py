"""A variable that is given: it is an input of the model and has no probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.base import Conditional, Pullback
from made_exp.variables.restricted import Restricted
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable


@final
@dataclass(frozen=True)
class Given(Conditional):
    """Log p = 0 of every value; K = 0.

    Attributes:
        otherwise: What the variable would have if it were not given, which says how it is coded.
    """

    otherwise: Conditional

    num_uniforms: ClassVar[int] = 0

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        raise AssertionError("a given variable is found by its flag, not by its kind")

    @property
    @override
    def codes_are_numbers(self) -> bool:
        return self.otherwise.codes_are_numbers

    @property
    @override
    def num_params(self) -> int:
        return 0

    @override
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        return params.new_zeros(params.shape[:-1])

    @override
    def log_probs_vjp(self, params: Tensor, x: Tensor) -> tuple[Tensor, Pullback]:
        return params.new_zeros(x.shape), lambda grad: params

    @override
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        return params.new_zeros(params.shape[:-1])  # samplers put what is given in its place

    @override
    def restricted(self, subsets: Sequence[Subset], device: torch.device) -> Restricted:
        raise AssertionError("a given variable has no distribution")

    @override
    def initial_params(self, x: Tensor) -> Tensor:
        return x.new_zeros(0)
