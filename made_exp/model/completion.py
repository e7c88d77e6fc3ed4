"""Completion: the unobserved variables given the observed ones, exactly.

The components of a mixture, each with the observed variables first in its ordering, have the
conditional

    p(x_u | x_o) = sum_m w_m p_m(x_u | x_o),   w_m proportional to p_m(x_o):

they are weighted by their own probability of what was observed, not evenly. A network of a fixed
order serves only where the observed variables are its first ones; else the others serve without it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from made_exp.masks.observed import patterns_in
from made_exp.model.component import Component
from made_exp.model.simple import SimpleComponent

# Examples scored together where each has an ordering of its own.
_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Completion:
    """The conditional of a mixture for examples that are observed in part.

    Attributes:
        components: Of the mixture.
        log_weights: (M,) of the components in the mixture, in the dtype of the answers.
        others: (M,) in the mixture that serves any pattern; -inf for those of fixed orders.
    """

    components: Sequence[Component | SimpleComponent]
    log_weights: Tensor
    others: Tensor

    @classmethod
    def of(
        cls,
        densities: Mapping[int, Component | SimpleComponent],
        weighted: Mapping[int, float],
        others: Mapping[int, float],
        like: Tensor,
    ) -> Self:
        """From densities by index and log-weights of some of them; in dtype and device `like`."""

        def log_weights(of: Mapping[int, float]) -> Tensor:
            own = [of.get(index, -math.inf) for index in densities]
            return torch.tensor(own, dtype=torch.float64).to(like)

        return cls([*densities.values()], log_weights(weighted), log_weights(others))

    def choose(
        self,
        x: Tensor,
        observed: Tensor,
        uniforms: Tensor,
        context: Tensor | None,
        batch_size: int,
    ) -> Iterator[tuple[Component | SimpleComponent, Tensor]]:
        """Draw for each example the component that completes it, by its weight w_m.

        Args:
            x: (B, D); values that are not observed are not read.
            observed: (B, D) bool.
            uniforms: (B,) in [0, 1).
            context: (B,) class labels, or None.
            batch_size: Most examples of a component in which each has its own ordering.

        Yields:
            Components with the observed variables first, each with the indices (B_m,) of its own.
        """
        for components, log_weights, rows in self._alike(observed, batch_size):
            if len(components) == 1:
                yield components[0], rows
                continue
            labels = None if context is None else context.to(rows.device)[rows]
            log_probs = _log_probs(components, log_weights, x[rows], labels, observed[rows])
            below = log_probs.softmax(0).cumsum(0) <= uniforms[rows]
            chosen = below.sum(0).clamp(max=len(components) - 1)
            for index in torch.unique(chosen).tolist():
                own = torch.nonzero(chosen == index).flatten()
                yield components[index].rows(own), rows[own]

    def log_prob(self, x: Tensor, observed: Tensor, context: Tensor | None) -> Tensor:
        """See `MADE.completion_log_prob`."""
        out = self.log_weights.new_empty(len(x))
        for components, log_weights, rows in self._alike(observed, _ROWS):
            labels = None if context is None else context.to(rows.device)[rows]
            both = _log_probs(components, log_weights, x[rows], labels)
            part = _log_probs(components, log_weights, x[rows], labels, observed[rows])
            out[rows] = both.logsumexp(0) - part.logsumexp(0)
        return out

    def _alike(
        self, observed: Tensor, batch_size: int
    ) -> Iterator[tuple[list[Component | SimpleComponent], Tensor, Tensor]]:
        """Components with the observed variables first, their log-weights, and their examples.

        Examples with the same variables observed share an ordering, for which all kernels are
        fast. Where there are more patterns than variables, as in a table whose cells are missing
        anywhere, examples are taken together and each has an ordering of its own.
        """
        patterns = patterns_in(observed)
        free = [k for k in range(len(self.components)) if self.others[k] > -torch.inf]
        mixes_orders = all(self.components[k].mixes_orders for k in free)
        if mixes_orders and len(patterns) > observed.shape[1]:
            for rows in torch.arange(len(observed), device=observed.device).split(batch_size):
                components = [self.components[k].observed_first(observed[rows]) for k in free]
                yield components, self.others[free], rows
            return
        for pattern, rows in patterns:
            log_weights = self._log_weights(pattern)
            able = [k for k in range(len(self.components)) if log_weights[k] > -torch.inf]
            components = [self.components[k].observed_first(pattern) for k in able]
            yield components, log_weights[able], rows

    def _log_weights(self, pattern: Tensor) -> Tensor:
        """Those (M,) that hold for a pattern (D,): of all that serve, if fixed orders do."""
        serves = torch.tensor([one.serves(pattern) for one in self.components])
        serves = serves.to(self.others.device)
        is_fixed = self.others.isneginf() & ~self.log_weights.isneginf()
        if not bool((serves & is_fixed).any()):
            return self.others
        return self.log_weights.masked_fill(~serves, -torch.inf)


def _log_probs(
    components: Sequence[Component | SimpleComponent],
    log_weights: Tensor,
    x: Tensor,
    context: Tensor | None,
    observed: Tensor | None = None,
) -> Tensor:
    """Log of weight times probability (M, B) of what is observed, first in all components."""
    rows = [component.log_prob(x, context, observed) for component in components]
    return torch.stack(rows) + log_weights[:, None]
