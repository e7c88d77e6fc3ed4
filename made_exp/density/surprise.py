"""How surprising each cell of a row is: given the earlier cells of its row, or given all others.

The first adds up to the whole, -log p(x) = sum_d s_d; how a mixture of several orders has one share
for each variable, `model.attribution` says. The second is the conditional of the mixture,

    p(x_d | others) = sum_m w_m p_m(others) p_m(x_d | others) / sum_m w_m p_m(others),

with the variable last in the ordering of each component: weights that serve any order have one for
each variable. All logarithms are natural (nats).
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from made_exp.masks.observed import from_first_on, patterns_in, with_observed_first
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.component import Component
from made_exp.model.entry import as_examples, check_given, known_codes
from made_exp.model.evaluation import batched
from made_exp.model.made import MADE
from made_exp.model.simple import SimpleComponent
from made_exp.variables.missing import left_out

_ROWS = 1000
# Nats: what a component gives to others that it holds for impossible, so that ratios exist.
_LEAST = -1e5


def serves_any_order(made: MADE) -> bool:
    """Whether any variable can be the last one, as `surprise_given_others` needs."""
    return made.members[-1].schedule.resamples_order


def can_be_scored(made: MADE, x: Tensor) -> Tensor:
    """Which rows (B,) of x (B, D) have a likelihood, bool.

    Fixed orders have that of a row with missing cells only where these come last, and there is
    none without what the model is given.
    """
    groups = made.groups
    x = as_examples(x, groups.num_dims, made.device)
    there = ~left_out(x, groups.variables)
    can = (there & groups.possible(x))[:, groups.is_given].all(1)
    if not serves_any_order(made):
        for member in made.members:
            ordering = member.schedule.mask_set(0).ordering
            can &= ~(there & from_first_on(~there, ordering)).any(1)
    return can.cpu()


def surprise(
    made: MADE,
    x: Tensor,
    *,
    context: Tensor | None = None,
    num_orderings: int | None = None,
    batch_size: int = _ROWS,
) -> Tensor:
    """-log p of each cell given the earlier ones of its row.

    Args:
        made: The density.
        x: (B, D) in data space; NaN is missing.
        context: (B,) class labels, or None.
        num_orderings: Orderings in the mixture; default the model's.
        batch_size: Rows that are scored together.

    Returns:
        (B, D) float64, nats, which add up to -log p(x); 0 where a cell is missing or given,
        infinite where it is no value of its variable. Such a cell counts as missing for the
        others; in a fixed order nothing is known of those after it, 0.
    """
    return -log_probs_by_variable(
        made, x, context=context, num_orderings=num_orderings, batch_size=batch_size
    )


@torch.no_grad()
def surprise_given_others(
    made: MADE,
    x: Tensor,
    *,
    context: Tensor | None = None,
    num_orderings: int | None = None,
    batch_size: int = _ROWS,
) -> Tensor:
    """-log p of each cell given all others of its row that are there; arguments as `surprise`.

    It takes a pass of the network for each variable and ordering. Networks of a fixed order beside
    one of any order are left out.

    Returns:
        (B, D) float64, nats; 0 and infinite as in `surprise`. Cells that are no values of their
        variables count as missing for the others.

    Raises:
        ValueError: If the model has fixed orders, in which not every variable can be the last.
    """
    if not serves_any_order(made):
        raise ValueError(
            "-log p(cell | all others) needs a model of any order of the variables: train with "
            "ordering=agnostic"
        )
    return batched(made, x, context, batch_size, partial(_given_others, made, num_orderings))


def _given_others(
    made: MADE, num_orderings: int | None, x: Tensor, context: Tensor | None
) -> Tensor:
    groups = made.groups
    x = as_examples(x, groups.num_dims, made.device)
    check_given(groups, x)
    codes, possible = known_codes(groups, x)
    weighted = made.weighted(num_orderings, any_pattern=True)
    log_weights = torch.tensor([*weighted.values()], dtype=torch.float64, device=x.device)
    densities = [made.density(index) for index in weighted]
    out = codes.new_zeros(codes.shape, dtype=torch.float64)
    for pattern, rows in patterns_in(~codes.isnan()):
        own, labels = codes[rows], None if context is None else context[rows]
        for d in torch.nonzero(pattern & ~groups.is_given).flatten().tolist():
            pairs = [_of_last(density, own, labels, pattern, d) for density in densities]
            others, last = (torch.stack(part) for part in zip(*pairs, strict=True))
            others = (others.clamp(min=_LEAST) + log_weights[:, None]).log_softmax(0)
            out[rows, d] = -(others + last).logsumexp(0)
    out -= groups.log_slopes_by_variable(x.where(possible, torch.nan))
    return out.masked_fill(~possible, torch.inf)


def _of_last(
    density: Component | SimpleComponent,
    codes: Tensor,
    context: Tensor | None,
    observed: Tensor,
    variable: int,
) -> tuple[Tensor, Tensor]:
    """Log p (B,) of the other observed ones, and of the variable given these; float64."""
    others = observed.clone()
    others[variable] = False
    known, before = observed.expand_as(codes), others.expand_as(codes)
    if isinstance(density, SimpleComponent):
        rest = density.log_prob(codes, context, before).double()
        return rest, density.log_prob(codes, context, known).double() - rest
    masks = density.masks
    for first in (observed, others):
        masks = with_observed_first(density.network.schedule, masks, first)
    terms = replace(density, masks=masks).terms(codes, context, known).double()
    last = terms[:, variable]
    return terms.sum(1) - last, last
