"""A real variable, as a mixture of normal densities."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.base import (
    Conditional,
    observed_values,
    spread_locations,
)
from made_exp.variables.distributions import (
    MAX_LOCATION,
    chosen_component,
    floored_log_scale,
    mixture_log_prob,
    normal_log_prob,
    normal_quantile,
)
from made_exp.variables.variable import Variable

# In units of `scale`. Without it a component that settles on a repeated value would have an
# unbounded density; with it no value gains more than log(1000) = 6.9 nats over a broad component.
MIN_SCALE = 1e-3


@final
@dataclass(frozen=True)
class GaussianMixture(Conditional):
    """Mixture of normal densities (Bishop 1994, section 3) of the standardised variable.

    The K = 3C raw numbers are C logits, C means and C log standard deviations of (x - shift) /
    scale, with C = num_components >= 1 and scale > 0; the density is that of x itself. A draw uses
    two uniform numbers: the component, then the inverse of its cumulative function.
    """

    num_components: int
    shift: float = 0.0
    scale: float = 1.0
    num_uniforms: ClassVar[int] = 2

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        return cls(num_components, variable.transform.shift, variable.transform.scale)

    @property
    @override
    def num_params(self) -> int:
        return 3 * self.num_components

    @override
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits, means, log_scales = self._components(params)
        z = (self._standardise(x).to(params.dtype)[..., None] - means) * torch.exp(-log_scales)
        return mixture_log_prob(logits, normal_log_prob(z, log_scales)) - math.log(self.scale)

    @override
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        logits, means, log_scales = self._components(params)
        mean, log_scale = chosen_component(logits / temperature, uniforms, means, log_scales)
        deviation = log_scale.exp() * temperature
        return self.shift + self.scale * (mean + deviation * normal_quantile(uniforms[..., 1]))

    @override
    def initial_params(self, x: Tensor) -> Tensor:
        z = self._standardise(observed_values(x))
        if len(z) == 0 or bool((z == z[0]).all()):
            middle = z[0].item() if len(z) else 0.0
            z = middle + torch.linspace(-1, 1, 101, dtype=z.dtype, device=z.device)
        means = spread_locations(z, self.num_components)
        deviation = max(z.std(correction=0).item() / self.num_components, 0.1)
        log_scales = torch.full_like(means, math.log(deviation))
        return torch.cat([torch.zeros_like(means), means, log_scales])

    def _standardise(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale

    def _components(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, means and log standard deviations (..., C) of the standardised variable."""
        logits, means, raw_scales = params.unflatten(-1, (3, self.num_components)).unbind(-2)
        means = means.clamp(-MAX_LOCATION, MAX_LOCATION)
        return logits, means, floored_log_scale(raw_scales, MIN_SCALE)
