"""Completion: the unobserved variables given the observed ones, exactly.

The components of a mixture, each with the observed variables first in its ordering, have the
conditional

    p(x_u | x_o) = sum_m w_m p_m(x_u | x_o),   w_m proportional to p_m(x_o):

they are weighted by their own probability of what was observed, not evenly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
    """

    components: Sequence[Component | SimpleComponent]
    log_weights: Tensor

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
        for components, rows in self._alike(observed, batch_size):
            if len(components) == 1:
                yield components[0], rows
                continue
            labels = None if context is None else context.to(rows.device)[rows]
            log_probs = self._log_probs(components, x[rows], labels, observed[rows])
            below = log_probs.softmax(0).cumsum(0) <= uniforms[rows]
            chosen = below.sum(0).clamp(max=len(components) - 1)
            for index in torch.unique(chosen).tolist():
                own = torch.nonzero(chosen == index).flatten()
                yield components[index].rows(own), rows[own]

    def log_prob(self, x: Tensor, observed: Tensor, context: Tensor | None) -> Tensor:
        """See `MADE.completion_log_prob`."""
        out = self.log_weights.new_empty(len(x))
        for components, rows in self._alike(observed, _ROWS):
            labels = None if context is None else context.to(rows.device)[rows]
            both = self._log_probs(components, x[rows], labels)
            part = self._log_probs(components, x[rows], labels, observed[rows])
            out[rows] = both.logsumexp(0) - part.logsumexp(0)
        return out

    def _log_probs(
        self,
        components: Sequence[Component | SimpleComponent],
        x: Tensor,
        context: Tensor | None,
        observed: Tensor | None = None,
    ) -> Tensor:
        """Log of weight times probability (M, B) of what is observed, first in all components."""
        rows = [component.log_prob(x, context, observed) for component in components]
        return torch.stack(rows) + self.log_weights[:, None]

    def _alike(
        self, observed: Tensor, batch_size: int
    ) -> Iterator[tuple[list[Component | SimpleComponent], Tensor]]:
        """Components with the observed variables first, and the examples that share them.

        Examples with the same variables observed share an ordering, for which all kernels are
        fast. Where there are more patterns than variables, as in a table whose cells are missing
        anywhere, examples are taken together and each has an ordering of its own.
        """
        patterns, inverse = torch.unique(observed, dim=0, return_inverse=True)
        mixes_orders = self.components[0].mixes_orders
        if mixes_orders and len(patterns) > observed.shape[1]:
            for rows in torch.arange(len(observed), device=observed.device).split(batch_size):
                yield [one.observed_first(observed[rows]) for one in self.components], rows
            return
        for number, pattern in enumerate(patterns):
            rows = torch.nonzero(inverse == number).flatten()
            yield [one.observed_first(pattern) for one in self.components], rows
