"""The likelihood of a model by variable."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self, final

import torch
from torch import Tensor

from made_exp.masks.observed import from_first_on, observed_in
from made_exp.model.attribution import split_by_variable
from made_exp.model.component import Component
from made_exp.model.entry import as_examples, by_completeness, check_given, known_codes
from made_exp.model.evaluation import Each, batched
from made_exp.model.made import MADE
from made_exp.model.terms import Terms, terms_of

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
    whole, others = (
        _Mixture.of(model, model.weighted(num_orderings, any_pattern=any_pattern), len(x))
        for any_pattern in (False, True)
    )
    return batched(model, x, context, size, partial(_by_variable, model, whole, others), each)


@final
@dataclass(frozen=True, eq=False)
class _Mixture:
    """Densities, and their log-weights (M,) float64."""

    terms: Terms
    log_weights: Tensor

    @classmethod
    def of(cls, model: MADE, weighted: Mapping[int, float], num_examples: int) -> Self:
        densities = [model.density(index) for index in weighted]
        weights = torch.tensor([*weighted.values()], dtype=torch.float64, device=model.device)
        return cls(Terms(densities, num_examples), weights)


def _by_variable(
    model: MADE, whole: _Mixture, others: _Mixture, x: Tensor, context: Tensor | None
) -> Tensor:
    x = as_examples(x, model.num_dims, model.device)
    check_given(model.groups, x)
    codes, possible = known_codes(model.groups, x)
    is_whole = bool(possible.all())
    parts = model.groups.log_slopes_by_variable(x if is_whole else x.where(possible, torch.nan))
    for rows, observed in by_completeness(observed_in(codes)):
        own = whole if observed is None else others
        labels = None if context is None else context[rows]
        terms = _known_terms(own.terms, codes[rows], labels, observed, possible[rows])
        parts[rows] += split_by_variable(terms, own.log_weights)
    return parts.masked_fill(~possible, -torch.inf)


def _known_terms(
    terms: Terms,
    codes: Tensor,
    context: Tensor | None,
    observed: Tensor | None,
    possible: Tensor,
) -> Tensor:
    """Terms of codes (B, D), of which those that are not possible (B, D) are not observed.

    In a fixed order they stand before others, of which it then says nothing: 0.
    """
    any_pattern = all(density.serves_any_pattern for density in terms.densities)
    if observed is None or any_pattern or bool(possible.all()):
        return terms.of(codes, context, observed)
    found = []
    for density in terms.densities:
        if density.serves_any_pattern:
            found.append(terms_of([density], codes, context, observed)[0])
            continue
        assert isinstance(density, Component)
        filled = codes.where(possible, 0)
        known = terms_of([density], filled, context, observed | ~possible)[0]
        is_after = from_first_on(~possible, density.masks.ordering)
        found.append(known.masked_fill(is_after, 0))
    return torch.stack(found)
