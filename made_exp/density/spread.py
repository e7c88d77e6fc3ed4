"""The distribution of one column given a predicate.

Values are told apart, numbers of many values in fine cells: first as wide as the column reaches,
then where the condition has put them.
"""

import itertools
import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.table.column import Column
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events, last_digit
from made_exp.density.formula import Formula, variables_of
from made_exp.density.mixture import Effort, Estimate, estimate
from made_exp.density.terms import Parts, variance_of_sum
from made_exp.density.tokens import QueryError
from made_exp.model.made import MADE
from made_exp.variables.numbers import Numbers as Places
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable

_MOST_VALUES, _CELLS, _REACH, _ROUNDS = 256, 100, 12.0, 4
_FARTHEST = 1e100


@final
@dataclass(frozen=True, eq=False)
class Spread:
    """How a column is distributed given a condition.

    Attributes:
        column: The column.
        subsets: J disjoint sets of its values.
        values: (J,) float64, the value in the middle of each, NaN of a missing one.
        probs: (J,) float64, sum to one.
        found: The terms that say so.
    """

    column: Column
    subsets: tuple[Subset, ...]
    values: np.ndarray
    probs: np.ndarray
    found: Estimate

    @property
    def is_listed(self) -> bool:
        """Whether each value is told apart."""
        variable = self.column.variable
        is_real = variable is not None and variable.is_real
        return not is_real and all(map(_is_single, self.subsets))

    def mean_of(
        self, function: np.ndarray, chosen: np.ndarray | None = None
    ) -> tuple[float, float]:
        """Mean and standard error of a function (J,) of the values, of those that are chosen.

        Where a density drew all alike, another draw might have had any of the values. The error
        is at most how far these are apart.

        Raises:
            QueryError: If what is chosen has no probability.
        """
        chosen = np.ones(len(self.values), bool) if chosen is None else chosen
        total = float(self.probs[chosen].sum())
        if not total > 0:
            name = self.column.name
            raise QueryError(f"all cells of '{name}' are missing here: there is nothing to average")
        width = float(np.ptp(function[chosen]))
        mean = float(self.probs[chosen] @ function[chosen]) / total
        centred = torch.from_numpy(np.where(chosen, function - mean, 0.0))
        scale, variance, whole = self.found.log_scale, 0.0, 0.0
        for terms in self.found.terms:
            assert terms.shares is not None
            weights = (terms.logs - scale).exp()
            whole += float(weights @ terms.shares.sum(1))
            if not terms.is_exact:
                drawn = weights * (terms.shares @ centred.to(terms.shares.device))
                least = terms.least_variance(scale) * width**2
                variance += max(variance_of_sum(terms.each(drawn)), least)
        return mean, min(math.sqrt(variance) / (whole * total), width)


def spread_of(made: MADE, events: Events, variable: int, known: Formula, effort: Effort) -> Spread:
    """The distribution of a column given a condition.

    Raises:
        QueryError: If the condition has probability 0.
    """
    own = made.groups.variables[variable]
    if own.is_given:
        raise QueryError(f"'{own.name}' is given: the model has no distribution of it")
    allowed = _allowed(events, variable, known)
    is_listed = own.num_values is not None and (not own.is_number or own.num_values <= _MOST_VALUES)
    if is_listed:
        cells = [Subset.of_codes([code]) for code in range(own.num_values or 0)]
        return _spread(made, events, variable, known, effort, cells, allowed)
    edges = _first_edges(own, made)
    for _ in range(_ROUNDS):
        cells = _cells(own, edges)
        found = _spread(made, events, variable, known, effort, cells, allowed)
        edges = _fine_edges(found, own, made)
        if _is_fine(found):
            break
    return found


def _is_fine(spread: Spread) -> bool:
    """Whether no cell of several values has a large share."""
    variable = spread.column.variable
    assert variable is not None
    unit = 1.5 * last_digit(variable)
    return all(
        prob < 3 / _CELLS or part.missing or part.edges[-1] - part.edges[0] < unit
        for part, prob in zip(spread.subsets, spread.probs, strict=True)
    )


def _allowed(events: Events, variable: int, known: Formula) -> Subset:
    """The values that a column can have where a condition holds."""
    if isinstance(known, bool) or variable not in variables_of(known):
        return events.domains[variable]
    order = [variable, *(d for d in range(len(events.domains)) if d != variable)]
    return Diagram.of(known, order, events.domains).levels[0].subsets[0]


def _spread(
    made: MADE,
    events: Events,
    variable: int,
    known: Formula,
    effort: Effort,
    cells: list[Subset],
    allowed: Subset,
) -> Spread:
    parts = [own for cell in cells if not (own := cell & allowed).is_empty]
    parts += [Subset(missing=True)] * allowed.missing
    found = estimate(
        made,
        known,
        variables_of(known),
        effort,
        events.domains,
        Parts(variable, tuple(parts)),
    )
    scale, total = found.log_scale, torch.zeros(len(parts), dtype=torch.float64)
    for terms in found.terms:
        assert terms.shares is not None
        total += ((terms.logs - scale).exp() @ terms.shares).cpu()
    if not float(total.sum()) > 0:
        raise QueryError("the condition has probability 0 under this model")
    values = np.array([_middle(part, made, variable) for part in parts])
    probs = (total / total.sum()).numpy()
    return Spread(events.schema.modelled[variable], tuple(parts), values, probs, found)


def _first_edges(variable: Variable, made: MADE) -> Tensor:
    """Edges (E,) of cells over all that a number reaches, rising."""
    z = torch.linspace(-_REACH, _REACH, _CELLS, dtype=torch.float64)
    far = _REACH * 2.0 ** torch.arange(1, 17, dtype=torch.float64)
    z = torch.cat([-far.flip(0), z, far]).to(made.device)
    edges = _places(made, variable).inverse(z).cpu()
    return edges[edges.abs() < _FARTHEST]


def _fine_edges(spread: Spread, variable: Variable, made: MADE) -> Tensor:
    """Edges (E,) between which values are about as likely, as far as a coarse spread says."""
    known = ~np.isnan(spread.values)
    numbers, pairs = _places(made, variable), []
    for subset, prob in zip(
        np.array(spread.subsets, dtype=object)[known], spread.probs[known], strict=True
    ):
        count = max(1, math.ceil(2 * _CELLS * prob))
        low, high = subset.edges[0], subset.edges[-1]
        if prob < 1e-6 or not (math.isfinite(low) and math.isfinite(high)):
            pairs.append(torch.tensor([e for e in (low, high) if math.isfinite(e)]).double())
            continue
        ends = numbers.forward(torch.tensor([low, high], dtype=torch.float64, device=made.device))
        steps = torch.linspace(0, 1, count + 1, dtype=torch.float64, device=made.device)
        pairs.append(numbers.inverse(ends[0] + steps * (ends[1] - ends[0])).cpu())
    return torch.cat(pairs).unique()


def _cells(variable: Variable, edges: Tensor) -> list[Subset]:
    """Cells between edges, and one for each atom; of whole numbers at halves."""
    unit = last_digit(variable)
    ends = edges.tolist()
    if variable.num_values is not None:
        last = variable.num_values - 0.5
        ends = [min(max(math.floor(end) + 0.5, -0.5), last) for end in ends]
        ends = [-0.5, *ends, last]
    atoms = [Subset.of([(a - unit / 2, a + unit / 2)]) for a in variable.atoms] if unit else []
    among = Subset.of([pair for atom in atoms for pair in atom.intervals])
    ends = sorted({*ends, -math.inf, math.inf}) if variable.is_real else sorted({*ends})
    between = [Subset.of([pair]).without(among) for pair in itertools.pairwise(ends)]
    # `without` gives a missing cell back only where it was in.
    return [cell for cell in (*between, *atoms) if cell.intervals]


def _places(made: MADE, variable: Variable) -> Places:
    """Where the values of a number lie."""
    numbers = made.groups.single(made.groups.variables.index(variable)).numbers
    assert numbers is not None
    return numbers


def _middle(part: Subset, made: MADE, variable: int) -> float:
    """The value in the middle of a cell; of one that is infinite the end."""
    if part.missing:
        return math.nan
    low, high = part.edges[0], part.edges[-1]
    own = made.groups.variables[variable]
    if own.num_values is not None:
        return (low + high) / 2
    if math.isinf(low) or math.isinf(high):
        return high if math.isinf(low) else low
    return (low + high) / 2


def _is_single(part: Subset) -> bool:
    return part.missing or part.edges[-1] - part.edges[0] <= 1 + 1e-9
