"""The distributions that the outputs of the network stand for."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from made_exp.variables.conditionals.base import Pullback
from made_exp.variables.groups import VariableGroups


@final
@dataclass(frozen=True, eq=False)
class Conditionals:
    """The distributions of all variables of B examples, each given the earlier variables.

    Attributes:
        groups: The conditionals of the variables.
        params: (B, P), what the network made of the examples.
        observed: (B, D) bool, the variables that count; None for all.
    """

    groups: VariableGroups
    params: Tensor
    observed: Tensor | None = None

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability (density of z for real variables) of each of the codes x (B, D).

        Returns:
            (B, D), nats; 0 for a variable that does not count, whose value is not read.
        """
        x = self.groups.filled(x, self.observed)
        log_probs = self._log_prob(self.params, x)
        return log_probs if self.observed is None else torch.where(self.observed, log_probs, 0)

    def log_prob_of(self, variable: int, values: Tensor) -> Tensor:
        """Log-probability (density of z) of each code of `values` (V,) of one variable: (B, V)."""
        groups = self.groups
        start, width = groups.param_starts[variable], groups.param_widths[variable]
        params = self.params[:, None, start : start + width]
        return groups.conditional(variable).log_prob(params, values.expand(len(params), -1))

    def log_prob_vjp(self, x: Tensor) -> tuple[Tensor, Pullback]:
        """`log_prob` outside autograd, and the pullback of its gradient (B, D) to the params."""
        if self.groups.only is not None:
            return self.groups.only.log_probs_vjp(self.params, x)
        groups, found = self.groups, list[tuple[Tensor, Pullback]]()
        pairs = zip(groups.split_params(self.params), groups.split(x), strict=True)
        for (conditional, own), codes in pairs:
            found.append(conditional.log_probs_vjp(own.flatten(1), codes))

        def pullback(grad: Tensor) -> Tensor:
            grads = zip(found, groups.split(grad), strict=True)
            return groups.joined_params([back(part) for (_, back), part in grads])

        return groups.joined([log_probs for log_probs, _ in found]), pullback

    def sample(
        self, variable: int, rows: Tensor, uniforms: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """Draw one variable of the examples at `rows`.

        Args:
            variable: Which variable d.
            rows: (R,) int64.
            uniforms: (R, U_d) in [0, 1).
            temperature: Divides the logits of discrete conditionals; > 0.

        Returns:
            (R,) codes.
        """
        groups = self.groups
        start, width = groups.param_starts[variable], groups.param_widths[variable]
        params = self.params[rows, start : start + width]
        return groups.conditional(variable).sample(params, uniforms, temperature)

    def _log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        if self.groups.only is not None:
            return self.groups.only.log_probs(params, x)
        pairs = zip(self.groups.split_params(params), self.groups.split(x), strict=True)
        return self.groups.joined([one.log_prob(own, values) for (one, own), values in pairs])
