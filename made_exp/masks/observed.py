"""Values that are observed, and orderings that have them first.

A model can condition exactly on variables that come first in its ordering. Weights that serve many
orderings have such an ordering for every pattern: each of theirs, with the observed variables
moved to the front.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from made_exp.masks.mask_set import MaskSet
from made_exp.masks.orderings import inverse_ordering
from made_exp.masks.schedule import MaskSchedule


def check_observed(
    observed: Tensor, x: Tensor, num_dims: int, may_be_missing: Sequence[bool] | None = None
) -> Tensor:
    """Return `observed` as (B, D) bool on the device of x; a pattern (D,) holds for every example.

    Args:
        observed: (B, D) or (D,) bool.
        x: (B, D).
        num_dims: D.
        may_be_missing: Of each of the D variables, whether NaN is a value; default of none.

    Raises:
        ValueError: If a shape or the type does not fit, or an observed value of x (B, D) is NaN;
            its row and column are named.
    """
    if x.ndim != 2 or x.shape[1] != num_dims:
        raise ValueError(f"x must have shape (B, {num_dims}), got {tuple(x.shape)}")
    if observed.dtype != torch.bool:
        raise ValueError(f"observed must be boolean, got {observed.dtype}")
    if observed.shape not in (x.shape, x.shape[1:]):
        raise ValueError(
            f"observed must have shape {tuple(x.shape)} or ({num_dims},), "
            f"got {tuple(observed.shape)}"
        )
    observed = observed.to(x.device).expand(len(x), num_dims)
    lacking = observed & torch.isnan(x)
    if may_be_missing is not None:
        lacking &= ~torch.tensor(may_be_missing, device=x.device)
    if lacking.any():
        row, column = torch.nonzero(lacking)[0].tolist()
        raise ValueError(f"x[{row}, {column}] is NaN but observed[{row}, {column}] is true")
    return observed


def observed_in(x: Tensor) -> Tensor | None:
    """Which values of x (B, D) are there, as (B, D) bool; None where no value is NaN."""
    if not x.is_floating_point():
        return None
    missing = torch.isnan(x)
    return ~missing if bool(missing.any()) else None


def patterns_in(observed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Each pattern (D,) of what is observed (B, D), and the numbers of the rows that have it."""
    patterns, inverse, counts = torch.unique(
        observed, dim=0, return_inverse=True, return_counts=True
    )
    rows = inverse.argsort(stable=True).split(counts.tolist())
    return list(zip(patterns, rows, strict=True))


def with_observed_first(schedule: MaskSchedule, masks: MaskSet, observed: Tensor) -> MaskSet:
    """One of the mask sets of `schedule`, with the observed variables first in its orderings.

    Args:
        schedule: The mask sets that the same weights serve.
        masks: One of them.
        observed: (D,) bool; or (B, D), where every example gets an ordering of its own.

    Raises:
        ValueError: If there is one fixed ordering and the observed variables are not the first
            ones in it; the first variable that stands in the way is named.
    """
    if schedule.resamples_order:
        is_late = ~observed.to(masks.ordering.device)[..., masks.ordering]
        moved = masks.ordering[torch.argsort(is_late.int(), dim=-1, stable=True)]
        return schedule.reordered(masks, moved)
    for pattern in torch.unique(observed.reshape(-1, masks.num_dims), dim=0):
        _check_prefix(masks.ordering, pattern.to(masks.ordering.device))
    return masks


def from_first_on(marked: Tensor, ordering: Tensor) -> Tensor:
    """The variables (B, D) at or after the first that is marked (B, D) in an ordering (D,)."""
    ordering = ordering.to(marked.device)
    return marked[:, ordering].cumsum(1)[:, inverse_ordering(ordering)] > 0


def is_prefix(ordering: Tensor, pattern: Tensor) -> bool:
    """Whether the variables of a pattern (D,) bool are the first ones of an ordering (D,)."""
    in_order = pattern.to(ordering.device)[ordering]
    return bool(in_order[: int(in_order.sum())].all())


def _check_prefix(ordering: Tensor, pattern: Tensor) -> None:
    if is_prefix(ordering, pattern):
        return
    in_order = pattern[ordering]
    gap = int(torch.nonzero(~in_order).flatten()[0])
    late = int(inverse_ordering(ordering)[pattern].max())
    raise ValueError(
        f"this model has one fixed ordering, in which the unobserved variable "
        f"{int(ordering[gap])} (step {gap}) comes before the observed variable "
        f"{int(ordering[late])} (step {late}): it completes exactly only where the observed "
        "variables come first. Train with ordering=agnostic to complete any pattern"
    )
