"""The likelihood of a model by variable."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from made_exp.masks.observed import from_first_on, observed_in
from made_exp.model.attribution import split_by_variable
from made_exp.model.component import Component
from made_exp.model.entry import as_examples, by_completeness, check_given, known_codes
from made_exp.model.evaluation import Each, batched
from made_exp.model.made import MADE
from made_exp.model.simple import SimpleComponent
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
    missing has none, one that is no value of its variable -inf; to the others that one is missing.
    `each` is that of `evaluate`.
    """
    count = len(model.indices(num_orderings)) * model.num_dims
    size = max(1, min(batch_size, _MAX_NUMBERS // count))
    return batched(model, x, context, size, partial(_by_variable, model, num_orderings), each)


def _by_variable(
    model: MADE, num_orderings: int | None, x: Tensor, context: Tensor | None
) -> Tensor:
    x = as_examples(x, model.num_dims, model.device)
    check_given(model.groups, x)
    codes, possible = known_codes(model.groups, x)
    weighted, others = (model.weighted(num_orderings, any_pattern=any_) for any_ in (False, True))
    is_whole = bool(possible.all())
    parts = model.groups.log_slopes_by_variable(x if is_whole else x.where(possible, torch.nan))
    for rows, observed in by_completeness(observed_in(codes)):
        own = weighted if observed is None else others
        densities = [model.density(index) for index in own]
        labels = None if context is None else context[rows]
        terms = _known_terms(densities, codes[rows], labels, observed, possible[rows])
        log_weights = torch.tensor([*own.values()], dtype=torch.float64, device=x.device)
        parts[rows] += split_by_variable(terms, log_weights)
    return parts.masked_fill(~possible, -torch.inf)


def _known_terms(
    densities: Sequence[Component | SimpleComponent],
    codes: Tensor,
    context: Tensor | None,
    observed: Tensor | None,
    possible: Tensor,
) -> Tensor:
    """`terms_of` codes (B, D), of which those that are not possible (B, D) are not observed.

    In a fixed order they stand before others, of which it then says nothing: 0.
    """
    any_pattern = all(density.serves_any_pattern for density in densities)
    if observed is None or any_pattern or bool(possible.all()):
        return terms_of(densities, codes, context, observed)
    found = []
    for density in densities:
        if density.serves_any_pattern:
            found.append(terms_of([density], codes, context, observed)[0])
            continue
        assert isinstance(density, Component)
        filled = codes.where(possible, 0)
        terms = terms_of([density], filled, context, observed | ~possible)[0]
        is_after = from_first_on(~possible, density.masks.ordering)
        found.append(terms.masked_fill(is_after, 0))
    return torch.stack(found)
