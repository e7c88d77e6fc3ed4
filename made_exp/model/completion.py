"""Completion: the unobserved variables given the observed ones, exactly.

The components of a mixture, each with the observed variables first in its ordering, have the
conditional

    p(x_u | x_o) = sum_m w_m p_m(x_u | x_o),   w_m proportional to p_m(x_o):

they are weighted by their own probability of what was observed, not evenly.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from made_exp.model.members import Component

# Examples scored together where each has an ordering of its own.
_ROWS = 1000


def choose_components(
    components: Sequence[Component],
    log_weights: Tensor,
    x: Tensor,
    observed: Tensor,
    uniforms: Tensor,
    context: Tensor | None,
    batch_size: int,
) -> Iterator[tuple[Component, Tensor]]:
    """Draw for each example the component that completes it, by its weight w_m.

    Args:
        components: Of the mixture.
        log_weights: (M,) of the components in the mixture.
        x: (B, D); values that are not observed are not read.
        observed: (B, D) bool.
        uniforms: (B,) in [0, 1).
        context: (B,) class labels, or None.
        batch_size: Most examples of a component in which each has its own ordering.

    Yields:
        Components with the observed variables first, each with the indices of its examples;
        together they are all examples.
    """
    for fitting, rows in _alike(components, observed, batch_size):
        labels = None if context is None else context[rows]
        log_probs = _observed_log_probs(fitting, log_weights, x[rows], observed[rows], labels)
        below = log_probs.softmax(0).cumsum(0) <= uniforms[rows]
        chosen = below.sum(0).clamp(max=len(fitting) - 1)
        for index in torch.unique(chosen).tolist():
            own = torch.nonzero(chosen == index).flatten()
            yield fitting[index].rows(own), rows[own]


def completion_log_prob(
    components: Sequence[Component],
    log_weights: Tensor,
    x: Tensor,
    observed: Tensor,
    context: Tensor | None,
) -> Tensor:
    """Log-probability (B,) of the unobserved part of x given its observed part, in nats.

    Args:
        components: Of the mixture.
        log_weights: (M,) of the components in the mixture, in the dtype of the answer.
        x: (B, D).
        observed: (B, D) bool.
        context: (B,) class labels, or None.
    """
    out = log_weights.new_empty(len(x))
    for fitting, rows in _alike(components, observed, _ROWS):
        labels = None if context is None else context[rows]
        both = torch.stack([component.log_prob(x[rows], labels) for component in fitting])
        part = _observed_log_probs(fitting, log_weights, x[rows], observed[rows], labels)
        out[rows] = (both + log_weights[:, None]).logsumexp(0) - part.logsumexp(0)
    return out


def _observed_log_probs(
    components: Sequence[Component],
    log_weights: Tensor,
    x: Tensor,
    observed: Tensor,
    context: Tensor | None,
) -> Tensor:
    """Log of weight times probability (M, B) of what is observed, first in every component."""
    rows = [component.log_prob(x, context, observed) for component in components]
    return torch.stack(rows) + log_weights[:, None]


def _alike(
    components: Sequence[Component], observed: Tensor, batch_size: int
) -> Iterator[tuple[list[Component], Tensor]]:
    """Components with the observed variables first, and the indices of examples that share them.

    Examples with the same variables observed share an ordering, for which all kernels are fast.
    Where there are more patterns than variables, as in a table whose cells are missing anywhere,
    examples are taken together and each has an ordering of its own.
    """
    patterns, inverse = torch.unique(observed, dim=0, return_inverse=True)
    serves_any_order = components[0].member.schedule.resamples_order
    if serves_any_order and len(patterns) > observed.shape[1]:
        for rows in torch.arange(len(observed), device=observed.device).split(batch_size):
            yield [component.observed_first(observed[rows]) for component in components], rows
        return
    for number, pattern in enumerate(patterns):
        rows = torch.nonzero(inverse == number).flatten()
        yield [component.observed_first(pattern) for component in components], rows
