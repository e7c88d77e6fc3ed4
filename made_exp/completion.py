"""Completion: which orderings draw the unobserved variables exactly, given the observed ones.

A model can condition exactly on variables that come first in its ordering. A model trained over
many orderings has such orderings for every pattern: each of its own, with the observed variables
moved to the front. The mixture of these has the conditional

    p(x_u | x_o) = sum_m w_m p_m(x_u | x_o),   w_m proportional to p_m(x_o):

its orderings are weighted by their own probability of what was observed, not evenly.
"""

import torch
from torch import Tensor

from made_exp.masks import MaskSchedule, MaskSet
from made_exp.orderings import inverse_ordering


def check_observed(observed: Tensor, num_examples: int, num_dims: int) -> Tensor:
    """Return `observed` as (B, D) bool; a pattern (D,) is repeated for every example.

    Raises:
        ValueError: If its shape or its type does not fit.
    """
    if observed.dtype != torch.bool:
        raise ValueError(f"observed must be boolean, got {observed.dtype}")
    if observed.shape == (num_dims,):
        observed = observed.expand(num_examples, num_dims)
    if observed.shape != (num_examples, num_dims):
        raise ValueError(
            f"observed must have shape ({num_examples}, {num_dims}) or ({num_dims},), "
            f"got {tuple(observed.shape)}"
        )
    return observed


def distinct_patterns(observed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The different rows of `observed` (B, D), each with the indices of its examples."""
    patterns, inverse = torch.unique(observed, dim=0, return_inverse=True)
    return [
        (pattern, torch.nonzero(inverse == number).flatten())
        for number, pattern in enumerate(patterns)
    ]


def masks_for(schedule: MaskSchedule, pattern: Tensor, num_orderings: int) -> list[MaskSet]:
    """Mask sets of the model that have the observed variables first.

    Args:
        schedule: The model's mask sets.
        pattern: (D,) bool, the observed variables.
        num_orderings: How many mask sets the mixture has.

    Raises:
        ValueError: If the model has one fixed ordering and the observed variables are not the
            first ones in it; the first variable that stands in the way is named.
    """
    sets = [schedule.mask_set(index) for index in range(num_orderings)]
    if schedule.is_resampled and schedule.resample in ("order", "both"):
        return [masks.with_first(pattern) for masks in sets]
    _check_prefix(sets[0].ordering, pattern.to(sets[0].ordering.device))
    return sets


def _check_prefix(ordering: Tensor, pattern: Tensor) -> None:
    in_order = pattern[ordering]
    num_observed = int(in_order.sum())
    if bool(in_order[:num_observed].all()):
        return
    gap = int(torch.nonzero(~in_order).flatten()[0])
    late = int(inverse_ordering(ordering)[pattern].max())
    raise ValueError(
        f"this model has one fixed ordering, in which the unobserved variable "
        f"{int(ordering[gap])} (step {gap}) comes before the observed variable "
        f"{int(ordering[late])} (step {late}): it completes exactly only where the observed "
        "variables come first. Train with ordering=agnostic to complete any pattern"
    )
