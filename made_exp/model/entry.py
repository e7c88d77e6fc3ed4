"""The door between data space, in which users have their examples, and codes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.tables import unmasked
from made_exp.masks.observed import check_observed, observed_in
from made_exp.model.networks import MaskedNetwork
from made_exp.variables.groups import VariableGroups
from made_exp.variables.missing import left_out

# Numbers that one layer of the network may have at once, outside of training.
_MAX_NUMBERS = 2**24

# Log-probability (B,) of codes (B, D), given context (B,) and what is observed (B, D), if any.
Score = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]


@dataclass(frozen=True, eq=False)
class Entered:
    """Examples as the model takes them.

    Attributes:
        codes: (B, D); NaN where not observed.
        observed: (B, D) bool, or None where everything is.
        log_slopes: (B,) float64, to be added to the log-density of the codes; None where it is 0.
        impossible: (B,) bool, examples that have no probability and legal codes instead of theirs;
            None where there are none.
    """

    codes: Tensor
    observed: Tensor | None
    log_slopes: Tensor | None
    impossible: Tensor | None

    def finish(self, log_probs: Tensor) -> Tensor:
        """Log-probabilities (B,) of the examples from those of their codes, in the same dtype."""
        if self.log_slopes is not None:
            log_probs = (log_probs + self.log_slopes).to(log_probs.dtype)
        if self.impossible is not None:
            log_probs = log_probs.masked_fill(self.impossible, -torch.inf)
        return log_probs


def enter(groups: VariableGroups, x: Tensor, counted: Tensor | None = None) -> Entered:
    """Examples x (B, D), in data space, as the model takes them.

    Of the slopes those of the variables count that are `counted` (B, D); None for all.
    """
    impossible: Tensor | None = ~groups.possible(x).all(1)
    assert impossible is not None
    impossible = impossible if bool(impossible.any()) else None
    if impossible is not None:
        x = x.masked_fill(impossible[:, None], 0)
    codes = groups.encode(x)
    log_slopes = None
    if groups.has_slopes:
        log_slopes = groups.log_slopes(x if counted is None else x.where(counted, torch.nan))
    return Entered(codes, observed_in(codes), log_slopes, impossible)


def known_codes(groups: VariableGroups, x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (B, D) of x (B, D) in data space, and where x is possible, (B, D) bool.

    NaN where a cell is missing, and where it is no value of its variable.
    """
    possible = groups.possible(x)
    if bool(possible.all()):
        return groups.encode(x), possible
    return codes_where(groups, x, possible), possible


def codes_where(groups: VariableGroups, x: Tensor, known: Tensor) -> Tensor:
    """Codes (B, D) of x in data space where it is known, (B, D) or (D,) bool; NaN elsewhere."""
    codes = groups.cast(groups.encode(x.where(known, 0)))
    return codes.where(known, torch.nan)


def by_completeness(observed: Tensor | None) -> list[tuple[Tensor | slice, Tensor | None]]:
    """Numbers (R,) of the rows in which all is observed, with None, and of the others with theirs.

    Only a mixture's networks that serve any pattern score rows in which something is missing, and
    what a row has must not depend on the others.
    """
    if observed is None:
        return [(slice(None), None)]
    whole, rows = observed.all(1), torch.arange(len(observed), device=observed.device)
    parts = [(rows[whole], None), (rows[~whole], observed[~whole])]
    return [part for part in parts if len(part[0])]


def as_examples(x: Any, num_dims: int, device: torch.device) -> Tensor:
    """X as a tensor (B, D) on the device, in a type that counts.

    Raises:
        ValueError: If it is no table of numbers with so many columns.
    """
    if not isinstance(x, Tensor):
        array = np.asarray(unmasked(x))
        if array.dtype.kind not in "biuf":
            raise ValueError(f"x must hold numbers, got {array.dtype}")
        is_odd = array.dtype.kind == "u" and array.itemsize > 1
        x = torch.as_tensor(array.astype(np.int64) if is_odd else array)
    if x.ndim != 2 or x.shape[1] != num_dims:
        raise ValueError(f"x must have shape (B, {num_dims}), got {tuple(x.shape)}")
    x = x.to(device)
    return x.to(torch.uint8) if x.dtype == torch.bool else x


def check_given(groups: VariableGroups, x: Tensor) -> None:
    """Raise ValueError unless x (B, D) has a value of each given variable; with row and column."""
    given = list(groups.given)
    if not given:
        return
    is_legal = (groups.possible(x) & ~left_out(x, groups.variables))[:, given]
    if not is_legal.all():
        row, place = torch.nonzero(~is_legal)[0].tolist()
        value, name = x[row, given[place]].item(), groups.variables[given[place]].name
        what = "is missing" if math.isnan(value) else f"is {value:g}, which is no value of it"
        raise ValueError(
            f"x[{row}, {given[place]}] {what}: the model is of the other columns given '{name}'"
        )


def as_given(
    groups: VariableGroups, x: Any, observed: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Examples that are observed in part: x and what is observed, (B, D) on the device.

    Raises:
        ValueError: If a shape does not fit, or an observed value is none of its variable.
    """
    x = as_examples(x, groups.num_dims, device)
    may_be_missing = [variable.may_be_missing for variable in groups.variables]
    check_given(groups, x)
    observed = check_observed(observed, x, groups.num_dims, may_be_missing)
    if groups.given and not observed[:, list(groups.given)].all():
        names = ", ".join(f"'{groups.variables[d].name}'" for d in groups.given)
        raise ValueError(f"observed must be true of {names}, which the model is given")
    bad = ~groups.possible(x) & observed
    if bad.any():
        row, column = torch.nonzero(bad)[0].tolist()
        value, name = x[row, column].item(), groups.variables[column].name
        raise ValueError(f"x[{row}, {column}] is {value:g}, which is no value of '{name}'")
    return x, observed


def completed(x: Tensor, observed: Tensor, drawn: Tensor) -> Tensor:
    """Exactly x (B, D) where observed, else what was drawn, in a type that holds both."""
    dtype = torch.promote_types(x.dtype, drawn.dtype) if x.is_floating_point() else drawn.dtype
    return torch.where(observed, x.to(dtype), drawn.to(dtype))


def scored(
    groups: VariableGroups,
    x: Any,
    context: Tensor | None,
    score: Score,
    device: torch.device,
    rows: int | None,
) -> Tensor:
    """Log-probability (B,) of examples in data space.

    Args:
        groups: The variables.
        x: (B, D), a tensor or an array.
        context: (B,) class labels, or None.
        score: Log-probability (B,) of codes.
        device: Where to.
        rows: Examples that are scored together; None for all.
    """
    x = as_examples(x, groups.num_dims, device)
    check_given(groups, x)
    rows = max(1, rows or len(x))
    if context is not None and len(x) > rows and context.shape != (len(x),):
        raise ValueError(f"context must have shape ({len(x)},), got {tuple(context.shape)}")
    parts = []
    for start in range(0, max(1, len(x)), rows):
        own = slice(start, start + rows)
        entered = enter(groups, x[own])
        labels = context if context is None or len(x) <= rows else context[own]
        parts.append(entered.finish(_by_rows(score, entered, labels)))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _by_rows(score: Score, entered: Entered, context: Tensor | None) -> Tensor:
    """The score (B,) of what was entered, see `by_completeness`."""
    parts = by_completeness(entered.observed)
    if len(parts) < 2 or (context is not None and context.shape != (len(entered.codes),)):
        return score(entered.codes, context, entered.observed)
    found = [
        score(entered.codes[rows], None if context is None else context[rows], observed)
        for rows, observed in parts
    ]
    rows = torch.cat([torch.as_tensor(rows) for rows, _ in parts])
    return torch.cat(found)[rows.argsort()]


def rows_at_once(network: MaskedNetwork) -> int:
    """How many examples a network scores together in bounded memory."""
    return max(1, _MAX_NUMBERS // max(network.level_widths))
