"""A discrete variable with ordered values, as a mixture of discretized logistic densities."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.base import (
    DiscreteConditional,
    observed_values,
    spread_locations,
)
from made_exp.variables.distributions import (
    MAX_LOCATION,
    chosen_component,
    discretized_logistic_log_prob,
    discretized_logistic_quantile,
    floored_log_scale,
    mixture_log_prob,
    outside,
)
from made_exp.variables.variable import Variable

# In bins. A narrower component already puts all but 5e-5 of its mass into one bin, so nothing is
# lost, and the penalty of a value far from every component stays bounded.
MIN_SCALE = 0.05


@final
@dataclass(frozen=True)
class DiscretizedLogisticMixture(DiscreteConditional):
    """Mixture of logistic densities integrated over bins of width one (Salimans et al. 2017, 2.1).

    The K = 3C raw numbers (C = num_components >= 1) are C logits, C means in half ranges from the
    middle of the values (-1..1 spans them) and C log scales in half ranges; zeros are one wide
    bump in the middle. The first and the last of the num_values >= 2 bins take the tails. A draw
    uses two uniform numbers: the component, then the inverse of its cumulative function.
    """

    num_values: int
    num_components: int
    num_uniforms: ClassVar[int] = 2

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        assert variable.num_values is not None
        return cls(variable.num_values, num_components)

    @property
    @override
    def num_params(self) -> int:
        return 3 * self.num_components

    @override
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits, means, log_scales = self._components(params)
        x = x.to(params.dtype)
        components = discretized_logistic_log_prob(x[..., None], means, log_scales, self.num_values)
        log_probs = mixture_log_prob(logits, components)
        return log_probs.masked_fill(outside(x, self.num_values), -torch.inf)

    @override
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        logits, means, log_scales = self._components(params)
        mean, log_scale = chosen_component(logits / temperature, uniforms, means, log_scales)
        scale = log_scale.exp() * temperature
        return discretized_logistic_quantile(uniforms[..., 1], mean, scale, self.num_values)

    @override
    def initial_params(self, x: Tensor) -> Tensor:
        x = observed_values(x)
        if len(x) == 0 or bool((x == x[0]).all()):
            x = torch.arange(self.num_values, dtype=x.dtype, device=x.device)
        means = spread_locations(x, self.num_components)
        # The standard deviation of a logistic density is pi / sqrt(3) scales.
        scale = max(x.std(correction=0).item() / self.num_components, 0.5) * math.sqrt(3) / math.pi
        log_scales = torch.full_like(means, math.log(scale) - self._log_unit)
        locations = (means - self._middle) / self._half_range
        return torch.cat([torch.zeros_like(means), locations, log_scales])

    @property
    def _middle(self) -> float:
        return (self.num_values - 1) / 2

    @property
    def _half_range(self) -> float:
        return self.num_values / 2

    @property
    def _log_unit(self) -> float:
        """Log scale, in bins, that a raw number of zero stands for."""
        return math.log(self._half_range / 4)

    def _components(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, means and log scales (..., C), the latter two in units of the values."""
        logits, locations, raw_scales = params.unflatten(-1, (3, self.num_components)).unbind(-2)
        locations = locations.clamp(-MAX_LOCATION, MAX_LOCATION)
        means = self._middle + self._half_range * locations
        return logits, means, floored_log_scale(raw_scales + self._log_unit, MIN_SCALE)
