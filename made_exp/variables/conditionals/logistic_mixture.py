"""A discrete variable with ordered values, as a mixture of discretized logistic densities."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.number_mixture import NumberMixture
from made_exp.variables.distributions import logistic_cell_log_prob
from made_exp.variables.numbers import Numbers
from made_exp.variables.variable import Variable


@final
@dataclass(frozen=True)
class DiscretizedLogisticMixture(NumberMixture):
    """Mixture of logistic densities integrated over cells (Salimans et al. 2017, 2.1) and atoms.

    The cell of a whole number v reaches from the z of v - 1/2 to that of v + 1/2; the first and
    the last cell take the tails. A raw scale of zero is a quarter of a unit of z; see
    `NumberMixture`.
    """

    _unit: ClassVar[float] = 0.25

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        return cls(num_components, Numbers([variable]).of(0))

    def probs(self, params: Tensor) -> Tensor:
        """Probabilities (..., num_values) of all values of one variable, for params (..., K)."""
        values = torch.arange(int(self.numbers.num_values), device=params.device)
        codes = self.numbers.encode(values[:, None])[:, 0]
        return self.log_prob(params[..., None, :], codes).exp()

    @override
    def _log_smooth(self, codes: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        return logistic_cell_log_prob(*self._cells(codes, means, scales.reciprocal()))

    @override
    def _smooth(self, codes: Tensor, means: Tensor, inverse_scales: Tensor) -> Tensor:
        low, high, width, is_first, is_last = self._edges(codes, means.dtype)
        # Of an end cell each factor that it lacks is 1.
        low, high = low.masked_fill(is_first, -torch.inf), high.masked_fill(is_last, torch.inf)
        width = width.masked_fill(is_first | is_last, torch.inf)
        above = (high - means).mul_(inverse_scales).sigmoid_()
        below = (means - low).mul_(inverse_scales).sigmoid_()
        return above.mul_(below).mul_((inverse_scales * -width).expm1_().neg_())

    @override
    def _log_smooth_vjp(
        self, codes: Tensor, means: Tensor, inverse_scales: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        cells = self._cells(codes, means, inverse_scales)
        below, above, width, is_first, is_last = cells
        log_probs = logistic_cell_log_prob(*cells)
        # Derivatives of the three terms by b, by -a, and by the width times the width.
        by_above = torch.sigmoid(-above).masked_fill_(is_last, 0.0)
        by_below = torch.sigmoid(below).masked_fill_(is_first, 0.0)
        by_width = (width / torch.expm1(width)).masked_fill_(is_first | is_last, 0.0)
        by_mean = (by_below - by_above).mul_(inverse_scales)
        by_scale = by_below.mul_(below).sub_(by_above.mul_(above)).sub_(by_width)
        return log_probs, by_mean, by_scale

    @staticmethod
    @override
    def standard_cdf(x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    @staticmethod
    @override
    def standard_quantile(u: Tensor) -> Tensor:
        return torch.logit(u)

    @override
    def _smooth_quantile(self, uniforms: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        z = mean + scale * torch.logit(uniforms.to(mean.dtype))
        value = torch.floor(self.numbers.inverse(z) + 0.5)
        return torch.minimum(value.clamp(min=0), self.numbers.num_values - 1)

    @override
    def _first_scale(self, deviation: float) -> float:
        # The standard deviation of a logistic density is pi / sqrt(3) scales.
        half = float(self.numbers.cells) / 2
        return max(deviation / self.num_components, half) * math.sqrt(3) / math.pi

    def _cells(
        self, codes: Tensor, means: Tensor, inverse_scales: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Standardised edges and widths (C, ..., G), and which cells (..., G) are at the ends."""
        low, high, width, is_first, is_last = self._edges(codes, means.dtype)
        return (
            (low - means) * inverse_scales,
            (high - means) * inverse_scales,
            width * inverse_scales,
            is_first,
            is_last,
        )

    def _edges(
        self, codes: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Edges and widths (..., G) of cells in z, and which of them are at the ends."""
        numbers = self.numbers
        values = numbers.levels(codes).double()
        low, high = numbers.forward(values - 0.5), numbers.forward(values + 0.5)
        # Where cells are clamped together there is no mass to speak of, but a logarithm.
        width = (high - low).clamp(min=1e-300 if self.is_wide else 1e-30)
        is_first, is_last = values <= 0, values >= numbers.num_values - 1
        return low.to(dtype), high.to(dtype), width.to(dtype), is_first, is_last
