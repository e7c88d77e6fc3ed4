"""A real variable, as a mixture of normal densities and atoms."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.number_mixture import NumberMixture
from made_exp.variables.distributions import normal_log_prob, normal_quantile
from made_exp.variables.numbers import MAX_Z, Numbers
from made_exp.variables.variable import Variable

_LOG_ROOT_TAU = 0.5 * math.log(2 * math.pi)


@final
@dataclass(frozen=True)
class GaussianMixture(NumberMixture):
    """Mixture of normal densities (Bishop 1994, section 3) of z; see `NumberMixture`."""

    numbers: Numbers = field(default_factory=Numbers.standard, compare=False, repr=False)
    _unit: ClassVar[float] = 1.0

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        return cls(num_components, Numbers([variable]).of(0))

    @override
    def _log_smooth(self, codes: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        return normal_log_prob((self.numbers.z(codes) - means) / scales, scales.log())

    @override
    def _smooth(self, codes: Tensor, means: Tensor, inverse_scales: Tensor) -> Tensor:
        z = (self.numbers.z(codes) - means).mul_(inverse_scales)
        density = z.square_().mul_(-0.5).exp_().mul_(inverse_scales)
        return density.mul_(math.exp(-_LOG_ROOT_TAU))

    @override
    def _log_smooth_vjp(
        self, codes: Tensor, means: Tensor, inverse_scales: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        z = (self.numbers.z(codes) - means).mul_(inverse_scales)
        squares = z * z
        log_probs = inverse_scales.log().sub_(_LOG_ROOT_TAU).sub_(squares, alpha=0.5)
        return log_probs, z.mul_(inverse_scales), squares.sub_(1)

    @staticmethod
    @override
    def standard_cdf(x: Tensor) -> Tensor:
        return 0.5 * torch.erfc(x * -(0.5**0.5))  # torch's ndtr has no tails

    @staticmethod
    @override
    def standard_quantile(u: Tensor) -> Tensor:
        return torch.special.ndtri(u)

    @override
    def _smooth_quantile(self, uniforms: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        return (mean + scale * normal_quantile(uniforms.to(mean.dtype))).clamp(-MAX_Z, MAX_Z)

    @override
    def _first_scale(self, deviation: float) -> float:
        return max(deviation / self.num_components, 0.1)
