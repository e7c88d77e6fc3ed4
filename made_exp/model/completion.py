"""Completion: which orderings draw the unobserved variables exactly, given the observed ones.

A model can condition exactly on variables that come first in its ordering. A model trained over
many orderings has such orderings for every pattern: each of its own, with the observed variables
moved to the front. The mixture of these has the conditional

    p(x_u | x_o) = sum_m w_m p_m(x_u | x_o),   w_m proportional to p_m(x_o):

its orderings are weighted by their own probability of what was observed, not evenly.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from made_exp.masks.mask_set import MaskSet
from made_exp.masks.orderings import inverse_ordering
from made_exp.masks.schedule import MaskSchedule

if TYPE_CHECKING:
    from made_exp.model.made import MADE

# Examples scored together where each has an ordering of its own.
_ROWS = 1000


def check_observed(observed: Tensor, x: Tensor, num_dims: int) -> Tensor:
    """Return `observed` as (B, D) bool on the device of x; a pattern (D,) holds for every example.

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


def observed_first(
    schedule: MaskSchedule, masks: MaskSet, x: Tensor
) -> tuple[MaskSet, Tensor | None]:
    """Make a mask set of the schedule fit for examples x (B, D) with missing values (NaN).

    Returns:
        The mask set whose orderings have the observed variables first, and which those are,
        (B, D) bool; the mask set as it is and None where no value is missing.

    Raises:
        ValueError: If the model has one fixed ordering and missing variables are not last in it.
    """
    observed = observed_in(x)
    if observed is None:
        return masks, None
    if schedule.serves_any_order:
        return masks.with_first(observed), observed
    for pattern in torch.unique(observed, dim=0):
        _check_prefix(masks.ordering, pattern)
    return masks, observed


def masks_for(schedule: MaskSchedule, observed: Tensor, num_orderings: int) -> list[MaskSet]:
    """Mask sets of the model that have the observed variables first.

    Args:
        schedule: The model's mask sets.
        observed: (D,) bool; or (B, D), where every example has its own and orders differ.
        num_orderings: How many mask sets the mixture has.

    Raises:
        ValueError: If the model has one fixed ordering and the observed variables are not the
            first ones in it; the first variable that stands in the way is named.
    """
    sets = [schedule.mask_set(index) for index in range(num_orderings)]
    if schedule.serves_any_order:
        return [masks.with_first(observed) for masks in sets]
    for masks in sets:
        _check_prefix(masks.ordering, observed.to(masks.ordering.device))
    return sets


def fill(model: "MADE", x: Tensor, observed: Tensor) -> Tensor:
    """Give x (B, D) in the model's dtype, with a legal value wherever nothing was observed."""
    shifts = [variable.shift for variable in model.groups.variables]
    filler = torch.tensor(shifts, dtype=model.dtype, device=x.device)
    return torch.where(observed, x.to(model.dtype), filler)


def choose_masks(
    model: "MADE",
    x: Tensor,
    observed: Tensor,
    uniforms: Tensor,
    context: Tensor | None,
    batch_size: int,
) -> Iterator[tuple[MaskSet, Tensor]]:
    """Draw for each example the ordering that completes it, by its weight w_m.

    Args:
        model: The model.
        x: (B, D), as from `fill`.
        observed: (B, D) bool.
        uniforms: (B,) in [0, 1).
        context: (B,) class labels, or None.
        batch_size: Most examples of a mask set in which each example has its own ordering.

    Yields:
        Mask sets, each with the indices of its examples; together they are all examples.
    """
    for sets, rows in _alike(model, observed, batch_size):
        labels = None if context is None else context[rows]
        log_probs = observed_log_probs(model, x[rows], observed[rows], sets, labels)
        below = log_probs.softmax(0).cumsum(0) <= uniforms[rows]
        chosen = below.sum(0).clamp(max=len(sets) - 1)
        for index in torch.unique(chosen).tolist():
            own = torch.nonzero(chosen == index).flatten()
            yield sets[index].rows(own.to(sets[index].ordering.device)), rows[own]


def observed_log_probs(
    model: "MADE", x: Tensor, observed: Tensor, sets: list[MaskSet], context: Tensor | None
) -> Tensor:
    """Log of weight times probability (M, B) of what is observed, first in every mask set."""
    rows = [model.joint_log_prob(x, masks.to(x.device), context, observed) for masks in sets]
    return torch.stack(rows) + _log_weights(model, x)


def log_prob(model: "MADE", x: Tensor, observed: Tensor, context: Tensor | None) -> Tensor:
    """Log-probability (B,) of the unobserved part of x (B, D) given its observed part, in nats."""
    x = x.to(model.device)
    observed = check_observed(observed, x, model.num_dims)
    x = x.to(model.dtype)
    out = x.new_empty(len(x))
    for sets, rows in _alike(model, observed, _ROWS):
        labels = None if context is None else context[rows]
        both = [model.joint_log_prob(x[rows], masks.to(x.device), labels) for masks in sets]
        part = observed_log_probs(model, x[rows], observed[rows], sets, labels)
        whole = torch.stack(both) + _log_weights(model, x)
        out[rows] = whole.logsumexp(0) - part.logsumexp(0)
    return out


def _log_weights(model: "MADE", x: Tensor) -> Tensor:
    return model.mixture.log_weights().to(x.device, model.dtype)[:, None]


def _alike(
    model: "MADE", observed: Tensor, batch_size: int
) -> Iterator[tuple[list[MaskSet], Tensor]]:
    """Mask sets of the mixture, and the indices of the examples that share them.

    Examples with the same variables observed share an ordering, for which all kernels are fast.
    Where there are more patterns than variables, as in a table whose cells are missing anywhere,
    examples are taken together and each has an ordering of its own.
    """
    schedule, count = model.schedule, model.num_orderings
    patterns, inverse = torch.unique(observed, dim=0, return_inverse=True)
    if schedule.serves_any_order and len(patterns) > model.num_dims:
        for rows in torch.arange(len(observed), device=observed.device).split(batch_size):
            yield masks_for(schedule, observed[rows], count), rows
        return
    for number, pattern in enumerate(patterns):
        rows = torch.nonzero(inverse == number).flatten()
        yield masks_for(schedule, pattern, count), rows


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
