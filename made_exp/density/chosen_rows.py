"""Rows drawn given any predicate: what is asked first, inside what is allowed, then the rest.

Where few values are asked they are listed, and rows are drawn by their exact probabilities. Else
paths are drawn and accepted by their weights, relative to the largest weight that was seen.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from made_exp.density.diagram import Diagram
from made_exp.density.events import Events
from made_exp.density.formula import Formula, variables_of
from made_exp.density.mixture import Effort, estimate, in_order
from made_exp.density.paths import Listed, Walk
from made_exp.density.probability import is_contradiction
from made_exp.density.simple_events import drawn_rows
from made_exp.density.starts import starts_of
from made_exp.density.terms import Starts, Terms
from made_exp.density.tokens import QueryError
from made_exp.density.uniforms import uniforms_of
from made_exp.model.component import Component
from made_exp.model.entry import codes_where
from made_exp.model.made import MADE
from made_exp.model.request import Request
from made_exp.model.samplers import Samplers, draw_uniforms
from made_exp.model.simple import SimpleComponent, num_uniforms
from made_exp.variables.distributions import categorical_quantile

_MAX_LISTED, _POOL, _MAX_DRAWN = 2048, 2048, 2**20
_SPLIT_PATHS = 4000  # by which rows are shared among the densities


@final
@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Rows that are as a predicate says.

    Attributes:
        x: (n, D) in data space.
        acceptance: Share of the paths that were drawn which became rows; 1 where none was lost.
    """

    x: Tensor
    acceptance: float


class _TooFew(Exception):
    """Hardly any of the rows that a density drew are so."""

    def __init__(self, found: int, drawn: int) -> None:
        super().__init__(found, drawn)
        self.found, self.drawn = found, drawn


def rows_where(
    made: MADE, events: Events, formula: Formula, count: int, effort: Effort
) -> ChosenRows:
    """Draw rows given that a formula holds.

    Args:
        made: The model.
        events: Of its table.
        formula: What rows must be.
        count: How many rows n.
        effort: Seed, and the class label if any.

    Raises:
        QueryError: If no row can be so, or hardly any path becomes one.
    """
    if is_contradiction(formula, events):
        raise QueryError("no row can be so: a contradiction")
    split = replace(effort, num_samples=max(effort.num_samples, _SPLIT_PATHS))
    first = variables_of(formula)
    terms = estimate(made, formula, first, split, events.domains).terms
    logs = torch.stack([own.logs.logsumexp(0) for own in terms])
    prob = math.exp(float(logs.logsumexp(0)))
    if not prob:
        raise QueryError("no row is so: this has probability 0 under the model")
    even = uniforms_of(count, 1, effort.seed + 17)[:, 0].sort().values
    chosen = categorical_quantile(logs.softmax(0), even.to(logs.device))
    starts = starts_of(made, formula, events.domains)
    rows, drawn = [], 0
    for place, index in enumerate(made.weighted()):
        own = int((chosen == place).sum())
        if own:
            try:
                found, paths = _rows_of(made, index, formula, events, starts, own, effort)
            except _TooFew as few:
                raise QueryError(
                    f"only {few.found} of {own} rows were found in {few.drawn} draws of one of the "
                    f"densities, and so none are given: rows like this have a probability of about "
                    f"{prob:.2g} under the model; ask for something likelier, or for fewer rows"
                ) from None
            rows.append(found)
            drawn += paths
    x = torch.cat(rows)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(effort.seed))
    return ChosenRows(x[order.to(x.device)], min(1.0, count / max(drawn, 1)))


def _rows_of(
    made: MADE,
    index: int,
    formula: Formula,
    events: Events,
    starts: Starts,
    count: int,
    effort: Effort,
) -> tuple[Tensor, int]:
    """Rows (count, D) of one density, and how many paths were drawn for them."""
    density, seed = made.density(index), effort.seed + 1000 * (index + 100)
    if isinstance(density, SimpleComponent):
        diagram = Diagram.of(formula, range(made.num_dims), events.domains)
        return _accepted_draws(made, density, diagram, starts, count, seed)
    asked = variables_of(formula)
    component = in_order(density, asked, asked, made.groups.given)
    diagram = Diagram.of(formula, component.masks.ordering.tolist(), events.domains)
    walk = Walk(made, component, diagram, starts, None, effort.context, keeps_x=True)
    listed = walk.list_paths(_MAX_LISTED)
    pools = _drawn_pools(walk, seed)
    if listed is not None and walk.order:
        x, drawn = _from_list(walk, listed, count, seed), count
    elif walk.order:
        x, drawn = _accepted(pools, count, seed)
    else:
        x, drawn = starts.x[_by_shares(starts.log_shares, count, seed)], count
    return _completed(made, component, x, walk.order, effort, seed), drawn


def _from_list(walk: Walk, listed: tuple[Tensor, Tensor], count: int, seed: int) -> Tensor:
    """Values (count, D) up to the last that is asked, by their exact probabilities."""
    alone = replace(walk, keeps_x=False)
    every = alone.take(Listed(alone, *listed))
    places = _by_shares(every.logs, count, seed)
    x, log_shares = listed
    paths = _Chosen(walk, x[places], log_shares[places], seed)
    found = walk.take(paths).x
    assert found is not None
    return found


class _Chosen(Listed):
    """Listed paths whose last value is drawn inside what is allowed."""

    def __init__(self, walk: Walk, x: Tensor, log_shares: Tensor, seed: int) -> None:
        super().__init__(walk, x, log_shares)
        self.uniforms = uniforms_of(len(x), 2, seed + 1).to(x.device)

    def take(self, variable: int, params: Tensor, level: object) -> Tensor:
        own = self.walk.level(variable)
        if variable != self.walk.order[-1] or own is None:
            return super().take(variable, params, own)
        index = self.nodes if own.num_nodes > 1 else None
        return self.walk.restricted(variable).draw(params, self.uniforms, index)[1]

    def terms(self) -> Terms:
        return Terms(self.logs, True, None, self.x)


def _by_shares(logs: Tensor, count: int, seed: int) -> Tensor:
    """Places (count,) drawn by the exponentials of logs (n,)."""
    generator = torch.Generator().manual_seed(seed)
    uniforms = torch.rand(count, generator=generator, dtype=torch.float64).to(logs.device)
    return categorical_quantile(logs.softmax(0), uniforms)


def _drawn_pools(walk: Walk, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Values (p, D) of drawn paths and their log-weights (p,), pool after pool."""
    for number in range(_MAX_DRAWN // _POOL):
        generator = torch.Generator().manual_seed(seed + number)
        size = (_POOL, 1 + 2 * len(walk.order))
        uniforms = torch.rand(size, generator=generator, dtype=torch.float64)
        terms = walk.drawn(_POOL, uniforms.to(walk.starts.x.device))
        assert terms.x is not None
        yield terms.x, terms.logs


def _accepted(pools: Iterator[tuple[Tensor, Tensor]], count: int, seed: int) -> tuple[Tensor, int]:
    """Values (count, D) accepted by their weights, and of how many that were drawn.

    Relative to the largest weight so far: a larger one thins out what was accepted before.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = torch.zeros(0), torch.zeros(0), torch.zeros(0)
    most, drawn = -math.inf, 0
    for x, logs in pools:
        draws = torch.rand(len(x), generator=generator, dtype=torch.float64).to(x.device).log()
        parts = (x, logs, draws) if not len(kept[0]) else (
            torch.cat([kept[0], x]), torch.cat([kept[1], logs]), torch.cat([kept[2], draws])
        )  # fmt: skip
        most, drawn = max(most, float(logs.max())), drawn + len(x)
        inside = parts[2] < parts[1] - most
        kept = parts[0][inside], parts[1][inside], parts[2][inside]
        if len(kept[0]) >= count:
            return kept[0][:count], math.ceil(drawn * count / len(kept[0]))
    raise _TooFew(len(kept[0]), drawn)


def _accepted_draws(
    made: MADE,
    component: SimpleComponent,
    diagram: Diagram,
    starts: Starts,
    count: int,
    seed: int,
) -> tuple[Tensor, int]:
    """Rows (count, D) of a simple density that are so, and how many were drawn."""
    kept, found, drawn = list[Tensor](), 0, 0
    while found < count:
        if drawn >= _MAX_DRAWN // 4:
            raise _TooFew(found, drawn)
        x = drawn_rows(made, component, starts, 2 * _POOL, seed + drawn)
        own = x[diagram.contains(x)]
        kept.append(own)
        found, drawn = found + len(own), drawn + len(x)
    return torch.cat(kept)[:count], math.ceil(drawn * count / found)


def _completed(
    made: MADE, component: Component, x: Tensor, known: Sequence[int], effort: Effort, seed: int
) -> Tensor:
    """Rows (n, D) with the variables after the known ones drawn given them."""
    groups, count = made.groups, len(x)
    is_known = torch.zeros(made.num_dims, dtype=torch.bool, device=x.device)
    is_known[[*known, *groups.given]] = True
    codes = codes_where(groups, x, is_known)
    generator = torch.Generator().manual_seed(seed + 2)
    width = sum(groups.uniform_widths) + (num_uniforms(made.num_dims) if made.extras else 0)
    uniforms = draw_uniforms((count, width), made.dtype, generator).to(made.device)
    labels = None if effort.context is None else torch.full((count,), effort.context)
    request = Request(uniforms, component.one_hot(labels, count), 1.0, codes)
    out = groups.empty_codes(count)
    rows = torch.arange(count, device=x.device)
    Samplers().draw([(component, rows)], request, out, _POOL)
    return groups.decode(out).double().where(~is_known, x)
