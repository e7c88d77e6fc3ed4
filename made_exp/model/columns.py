"""The likelihood of a model by variable."""

from functools import partial

import torch
from torch import Tensor

from made_exp.model.attribution import split_by_variable
from made_exp.model.entry import as_examples, by_completeness, check_given, enter
from made_exp.model.evaluation import Each, batched
from made_exp.model.made import MADE
from made_exp.model.terms import terms_of

_MAX_NUMBERS = 2**24  # in memory at once


@torch.no_grad()
def log_probs_by_variable(
    model: MADE,
    x: Tensor,
    *,
    context: Tensor | None = None,
    num_orderings: int | None = None,
    batch_size: int = 1000,
    each: Each = map,
) -> Tensor:
    """What each variable has in log p(x) of the mixture, (N, D) float64 in nats.

    They add up to `MADE.log_prob`; how they are told apart `attribution` says. A value that is
    missing has none, one that is no value of its variable -inf. `each` is that of `evaluate`.
    """
    count = len(model.indices(num_orderings)) * model.num_dims
    size = max(1, min(batch_size, _MAX_NUMBERS // count))
    return batched(model, x, context, size, partial(_by_variable, model, num_orderings), each)


def _by_variable(
    model: MADE, num_orderings: int | None, x: Tensor, context: Tensor | None
) -> Tensor:
    x = as_examples(x, model.num_dims, model.device)
    check_given(model.groups, x)
    entered, weighted = enter(model.groups, x), model.weighted(num_orderings)
    others = model.weighted(num_orderings, any_pattern=True)
    parts = model.groups.log_slopes_by_variable(x)
    for rows, observed in by_completeness(entered.observed):
        own = weighted if observed is None else others
        codes, labels = entered.codes[rows], None if context is None else context[rows]
        terms = terms_of([model.density(index) for index in own], codes, labels, observed)
        log_weights = torch.tensor([*own.values()], dtype=torch.float64, device=x.device)
        parts[rows] += split_by_variable(terms, log_weights)
    if entered.impossible is not None:
        parts = parts.masked_fill(~model.groups.possible(x), -torch.inf)
    return parts
