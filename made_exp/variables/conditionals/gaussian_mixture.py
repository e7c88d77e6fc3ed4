"""A real variable, as a mixture of normal densities and atoms."""

from dataclasses import dataclass, field
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.number_mixture import NumberMixture
from made_exp.variables.distributions import normal_log_prob, normal_quantile
from made_exp.variables.numbers import MAX_Z, Numbers
from made_exp.variables.variable import Variable


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
    def _log_smooth(self, codes: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
        z = (self.numbers.z(codes) - means) * torch.exp(-log_scales)
        return normal_log_prob(z, log_scales)

    @override
    def _log_smooth_vjp(
        self, codes: Tensor, means: Tensor, log_scales: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        inverse_scale = torch.exp(-log_scales)
        z = (self.numbers.z(codes) - means).mul_(inverse_scale)
        return normal_log_prob(z, log_scales), inverse_scale.mul_(z), (z * z).sub_(1)

    @override
    def _smooth_quantile(self, uniforms: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        return (mean + scale * normal_quantile(uniforms.to(mean.dtype))).clamp(-MAX_Z, MAX_Z)

    @override
    def _first_scale(self, deviation: float) -> float:
        return max(deviation / self.num_components, 0.1)
