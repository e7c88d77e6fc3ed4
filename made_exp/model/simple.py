"""Simple densities as components of the mixture that a model is, beside its networks."""

from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from made_exp.datasets.baselines.copula import Copula
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.datasets.baselines.gaussian_classes import GaussianClasses
from made_exp.datasets.baselines.tree import ChowLiu
from made_exp.model.request import Request

KINDS: dict[str, type[SimpleDensity]] = {
    "independent": Independent,
    "chow_liu": ChowLiu,
    "copula": Copula,
    "gaussian_mixture": GaussianClasses,
}
"""The simple densities that a model may hold, by the names of its setting `baselines`."""


@final
@dataclass(frozen=True, eq=False)
class SimpleComponent:
    """A simple density with the methods of a `Component`: it has no ordering and no context.

    Attributes:
        density: What it is.
        dtype: Of the answers.
    """

    density: SimpleDensity
    dtype: torch.dtype
    mixes_orders: ClassVar[bool] = True
    serves_any_pattern: ClassVar[bool] = True

    def log_prob(
        self, x: Tensor, context: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """Log-probability (B,) of what is known of the codes x (B, D), in nats."""
        return self.density.log_prob(self._known(x, observed)).to(self.dtype)

    def terms(
        self, x: Tensor, context: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """As `log_prob`, of each variable given those in columns before it, (B, D) float64."""
        return self.density.terms(self._known(x, observed))

    def _known(self, x: Tensor, observed: Tensor | None) -> Tensor:
        return x if observed is None else x.double().where(observed, torch.nan)

    def serves(self, pattern: Tensor) -> bool:
        """Whether the variables of a pattern (D,) bool can be known, and the others not."""
        return True

    def observed_first(self, observed: Tensor | None) -> Self:
        """Itself: any variables may be the known ones."""
        return self

    def rows(self, rows: Tensor) -> Self:
        """Itself, which is the same for all examples."""
        return self

    def draw(self, request: Request) -> Tensor:
        """Draw the examples (B, D) that are asked for; the temperature of a simple density is 1."""
        num_dims, given = len(self.density.coordinates.variables), request.given
        if given is None:
            shape = (len(request.uniforms), num_dims)
            given = request.uniforms.new_full(shape, torch.nan, dtype=torch.float64)
        return self.density.sample(given, request.uniforms[:, -num_uniforms(num_dims) :])


def num_uniforms(num_dims: int) -> int:
    """Uniform numbers that a draw from a simple density of so many variables takes."""
    return 1 + 2 * num_dims
