"""Probability of events under the mixture that a model is: each density weighted by its own mass.

P(A | B) = sum_m w_m P_m(A and B) / sum_m w_m P_m(B)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import torch

from made_exp.density.diagram import Diagram
from made_exp.density.formula import Formula, variables_of
from made_exp.density.kept import kept_of
from made_exp.density.paths import Listed, Walk
from made_exp.density.simple_events import simple_terms
from made_exp.density.starts import starts_of
from made_exp.density.terms import Parts, Starts, Terms
from made_exp.density.uniforms import uniforms_of
from made_exp.model.component import Component
from made_exp.model.made import MADE
from made_exp.model.simple import SimpleComponent
from made_exp.variables.subset import Subset

# Paths that are listed instead of drawn: of one density, and of all together.
MAX_LISTED, MAX_LISTED_IN_ALL = 2048, 2**14
_FEWEST_PATHS = 16  # of one density


@final
@dataclass(frozen=True)
class Effort:
    """How an answer is computed.

    Attributes:
        num_samples: Paths where they are drawn, of all densities together.
        seed: Of the draws.
        context: Class label, or None.
        num_train: Rows of train, so that an answer can say what these cannot tell; None: unknown.
        keeps: Whether networks of fixed orders draw rows once and keep them for all questions.
    """

    num_samples: int = 1000
    seed: int = 0
    context: int | None = None
    num_train: int | None = None
    keeps: bool = False


@final
@dataclass(frozen=True, eq=False)
class Estimate:
    """The terms of events under each density of the mixture, log-weights included.

    Attributes:
        terms: Of the densities in turn; of several parts, which begin apart, one after the other.
        num_parts: How many these are.
    """

    terms: tuple[Terms, ...]
    num_parts: int = 1

    def beside(self, other: Self) -> Self:
        """These parts and others."""
        return type(self)(self.terms + other.terms, self.num_parts + other.num_parts)

    @property
    def by_density(self) -> list[tuple[Terms, ...]]:
        """The terms of all parts, for each density."""
        count = len(self.terms) // self.num_parts
        return [self.terms[number::count] for number in range(count)]

    @property
    def is_exact(self) -> bool:
        """Whether nothing was drawn."""
        return all(one.is_exact for one in self.terms)

    @property
    def num_terms(self) -> int:
        """Paths that were taken in all."""
        return sum(one.num_draws for one in self.terms)

    @property
    def log_scale(self) -> float:
        """The largest logarithm of a term, or 0 where all are zero."""
        logs = torch.cat([one.logs for one in self.terms])
        most = float(logs.max()) if len(logs) else -math.inf
        return most if math.isfinite(most) else 0.0

    @property
    def log_total(self) -> float:
        """Logarithm of the probability; -inf where it is zero."""
        return float(torch.cat([one.logs for one in self.terms]).logsumexp(0))


def estimate(
    made: MADE,
    formula: Formula,
    first: frozenset[int],
    effort: Effort,
    domains: Sequence[Subset],
    parts: Parts | None = None,
    starts: Starts | None = None,
    beside: Estimate | None = None,
) -> Estimate:
    """The terms of an event under all densities of the mixture.

    Args:
        made: The model.
        formula: The event; not False.
        first: Variables of the condition, which come first where the order is free.
        effort: How.
        domains: What each variable can hold.
        parts: A column that is told apart.
        starts: What rows begin with; None: what the event allows.
        beside: Another event of rows that begin alike: drawn together where it is drawn.
    """
    weighted = made.weighted()
    starts = starts or starts_of(made, formula, domains)
    asked = variables_of(formula) | (frozenset({parts.variable}) if parts else frozenset())
    if asked <= {*made.groups.given} or not len(starts.x):
        shares = None if parts is None else parts.holding(starts.x)
        every = (starts.log_shares + log_weight for log_weight in weighted.values())
        return Estimate(tuple(Terms(logs, True, shares) for logs in every))
    diagram = Diagram.of(formula, range(made.num_dims), domains)
    walks = {
        index: _walk(made, index, formula, diagram, first, asked, starts, effort, domains, parts)
        for index in weighted
        if index >= 0
    }
    limit = min(MAX_LISTED, MAX_LISTED_IN_ALL // max(1, len(weighted)))
    lists = {index: walk.list_paths(limit) for index, walk in walks.items()}
    are_listed = all(listed is not None for listed in lists.values())
    found: list[Terms] = []
    for index, log_weight in weighted.items():
        count = max(_FEWEST_PATHS, math.ceil(effort.num_samples * math.exp(log_weight)))
        if index in walks:
            walk, listed = walks[index], lists[index]
            is_beside = beside is not None and not beside.terms[len(found)].is_exact
            # Beside draws a list is worth no more than draws of the same network would be.
            if is_beside and len(starts.x) > 1:
                listed = None
            if listed is not None and (are_listed or len(listed[0]) <= count):
                terms = walk.take(Listed(walk, *listed))
            else:
                num_networks = len(walks) if effort.keeps else 0
                terms = _drawn(made, walk, count, effort.seed + index, num_networks)
        else:
            density = made.density(index)
            assert isinstance(density, SimpleComponent)
            terms = simple_terms(
                made, density, diagram, starts, parts, effort.num_samples, effort.seed - index
            )
        log_hit = None if terms.log_hit is None else terms.log_hit + log_weight
        found.append(replace(terms, logs=terms.logs + log_weight, log_hit=log_hit))
    return Estimate(tuple(found))


def _walk(
    made: MADE,
    index: int,
    formula: Formula,
    diagram: Diagram,
    first: frozenset[int],
    asked: frozenset[int],
    starts: Starts,
    effort: Effort,
    domains: Sequence[Subset],
    parts: Parts | None,
) -> Walk:
    component = in_order(made.component(index), first, asked, made.groups.given)
    order = component.masks.ordering.tolist()
    own = diagram.in_order(order) or Diagram.of(formula, order, domains)
    return Walk(made, component, own, starts, parts, effort.context)


def _drawn(made: MADE, walk: Walk, count: int, seed: int, num_networks: int) -> Terms:
    """The terms of paths that are drawn; where rows are kept, of so many networks, from these."""
    kept = kept_of(made, walk, count, seed, num_networks) if num_networks else None
    begun = None if kept is None else kept.begin(walk, count)
    if begun is None:
        # Rows of all questions begin alike where anything is given.
        num_steps = made.num_dims if made.groups.given else len(walk.order)
        uniforms = uniforms_of(count, 1 + 2 * num_steps, seed)
        return walk.drawn(count, uniforms.to(made.device))
    width = 1 + 2 * (len(walk.order) - begun.num_steps)
    uniforms = uniforms_of(len(begun.x), width, seed) if begun.params is None else begun.x
    return walk.resumed(begun, uniforms.to(made.device))


def in_order(
    component: Component, first: frozenset[int], asked: frozenset[int], given: Sequence[int]
) -> Component:
    """The component with these variables first where its order is free, else as it is.

    Where values were missing it is as samples are drawn from it, see `MaskSchedule.scored_set`.
    """
    if not component.network.schedule.begins_with_asked:
        return component
    for group in (asked | first | {*given}, first | {*given}):
        mask = torch.zeros(component.groups.num_dims, dtype=torch.bool)
        mask[list(group)] = True
        component = component.observed_first(mask)
    return component
