"""A formula as a decision diagram: read variable by variable, it asks the next by what was found.

At each level stands one variable; a node is what is left to be asked of it and of later ones. From
a node each value of the variable leads to a node of the next level or to nowhere, where the
formula is false. A formula of one subset for each variable has one node a level.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from made_exp.density.formula import Formula, given, subsets_of, variables_of
from made_exp.variables.missing import all_values
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable

MAX_NODES = 4096


@final
@dataclass(frozen=True, eq=False)
class Level:
    """One variable of a diagram.

    Attributes:
        variable: Which.
        edges: (E,) float64, between which all its values lead to the same nodes.
        targets: (N, E + 2) int64, node of the next level for each node, and each interval between
            edges, a missing cell at the end; -1 where the formula is false.
        subsets: For each node the values that do not lead to nowhere.
    """

    variable: int
    edges: Tensor
    targets: Tensor
    subsets: tuple[Subset, ...]

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.subsets)

    def steps(self, node: int) -> list[tuple[int, Subset]]:
        """Where a node leads, and with which values."""
        row = self.targets[node].tolist()
        return [
            (after, _allowed([0 if to == after else -1 for to in row], self.edges.tolist()))
            for after in sorted({to for to in row if to >= 0})
        ]

    def next_nodes(self, nodes: Tensor, x: Tensor) -> Tensor:
        """Where nodes (B,) lead with values x (B,) in data space; -1 for nowhere."""
        edges, targets = self.edges.to(x.device), self.targets.to(x.device)
        place = torch.searchsorted(edges, x.double().contiguous())
        place = place.masked_fill(torch.isnan(x), len(edges) + 1)
        return targets[nodes, place]


@final
@dataclass(frozen=True, eq=False)
class Diagram:
    """A formula that is not False, as levels.

    Attributes:
        levels: In the order in which variables are looked at; none where it is always true. A
            node from which nothing leads to the end of them is not led to.
    """

    levels: tuple[Level, ...]

    @classmethod
    def of(cls, formula: Formula, order: Sequence[int], domains: Sequence[Subset]) -> "Diagram":
        """Of a formula whose variables are looked at in this order of all.

        Raises:
            ValueError: If it has too many nodes.
        """
        assert formula is not False
        asked = variables_of(formula)
        tables = []
        nodes: list[Formula] = [formula]
        for variable in order:
            if variable in asked:
                edges, targets, nodes = _table(nodes, variable, domains)
                tables.append((variable, edges, targets))
        leads = torch.ones(len(nodes) + 1, dtype=torch.bool)
        levels: list[Level] = []
        for variable, edges, targets in reversed(tables):
            targets.masked_fill_((targets >= 0) & ~leads[targets.clamp(min=0)], -1)
            leads = torch.cat([(targets >= 0).any(1), leads[:1]])  # one more, never led to
            subsets = tuple(_allowed(row.tolist(), edges) for row in targets)
            table = torch.tensor(edges, dtype=torch.float64)
            levels.append(Level(variable, table, targets, subsets))
        return cls(tuple(reversed(levels)))

    def in_order(self, order: Sequence[int]) -> "Diagram | None":
        """The same where levels ask alike in any order: each of one node; else None."""
        if any(level.num_nodes > 1 for level in self.levels):
            return None
        own = self.by_variable
        return Diagram(tuple(own[variable] for variable in order if variable in own))

    @property
    def is_contradiction(self) -> bool:
        """Whether nothing leads to its end."""
        return bool(self.levels) and self.levels[0].subsets[0].is_empty

    @property
    def variables(self) -> tuple[int, ...]:
        """Those that are looked at, in order."""
        return tuple(level.variable for level in self.levels)

    @cached_property
    def by_variable(self) -> dict[int, Level]:
        """The level of each variable."""
        return {level.variable: level for level in self.levels}

    def boxes(self, most: int) -> list[dict[int, Subset]] | None:
        """Disjoint boxes whose union the formula is: a subset for each variable; None for many."""
        found: list[tuple[int, dict[int, Subset]]] = [(0, {})]
        for level in self.levels:
            found = [
                (node, {**box, level.variable: subset})
                for start, box in found
                for node, subset in level.steps(start)
            ]
            if len(found) > most:
                return None
        return [box for _, box in found]

    def contains(self, x: Tensor) -> Tensor:
        """Whether the formula is true of rows x (B, D) in data space."""
        return self.can_contain(x, len(self.levels))

    def can_contain(self, x: Tensor, num_levels: int) -> Tensor:
        """Whether it can be true of rows x (B, D) by their values at the first levels, (B,)."""
        nodes = torch.zeros(len(x), dtype=torch.long, device=x.device)
        true = torch.ones_like(nodes, dtype=torch.bool)
        for level in self.levels[:num_levels]:
            nodes = level.next_nodes(nodes.clamp(min=0), x[:, level.variable])
            true &= nodes >= 0
        return true


def list_values(
    variables: Sequence[Variable],
    diagram: Diagram,
    order: Sequence[int],
    starts: Tensor,
    limit: int,
) -> tuple[Tensor, Tensor] | None:
    """All values by which a formula can still be true, of variables in the order of its diagram.

    Args:
        variables: D of a model.
        diagram: The formula.
        order: Which variables take all their values; of a given one each start has its own.
        starts: (R, D) in data space, what is known.
        limit: Most rows.

    Returns:
        The rows (n, D), and from which start each is, (n,); None where they are more, or a value
        is a real number.
    """
    x, origins = starts, torch.arange(len(starts), device=starts.device)
    nodes = torch.zeros_like(origins)
    for d in order:
        rows, values = torch.arange(len(x), device=x.device), x[:, d]
        if not variables[d].is_given:
            size = variables[d].num_values
            if size is None or size > limit or len(x) * size > 64 * limit:
                return None
            own = all_values(variables[d]).to(x.device)
            rows, values = rows.repeat_interleave(len(own)), own.repeat(len(x))
        after = nodes[rows]
        if level := diagram.by_variable.get(d):
            after = level.next_nodes(after, values)
            kept = after >= 0
            rows, values, after = rows[kept], values[kept], after[kept]
        if len(rows) > limit:
            return None
        x, origins, nodes = x[rows], origins[rows], after
        x[:, d] = values
    return x, origins


def _table(
    nodes: Sequence[Formula], variable: int, domains: Sequence[Subset]
) -> tuple[list[float], Tensor, list[Formula]]:
    """Edges and targets of a variable's level below these nodes, and the nodes of the next one."""
    domain = domains[variable]
    subsets = frozenset().union(*(subsets_of(node, variable) for node in nodes))
    edges = sorted({*domain.edges, *(edge for subset in subsets for edge in subset.edges)})
    probes = _probes(edges)
    is_inside = [domain.holds(probe) for probe in probes]
    after: dict[Formula, int] = {}
    targets = torch.full((max(1, len(nodes)), len(probes)), -1)
    for place, probe in enumerate(probes):
        if not is_inside[place]:
            continue
        truths = {subset: subset.holds(probe) for subset in subsets}
        for number, node in enumerate(nodes):
            left = given(node, variable, truths, domains)
            if left is not False:
                targets[number, place] = after.setdefault(left, len(after))
    if len(after) > MAX_NODES:
        raise ValueError(f"the question has too many cases: {len(after)} at one column")
    return edges, targets, list(after)


def _probes(edges: Sequence[float]) -> list[float]:
    """A value in each interval between edges, those outside included, and NaN."""
    ends = (-math.inf, *edges, math.inf)
    return [*(_between(a, b) for a, b in itertools.pairwise(ends)), math.nan]


def _between(low: float, high: float) -> float:
    if low == high:
        return low
    if math.isinf(low):
        return 0.0 if math.isinf(high) else high - max(1.0, abs(high))
    return low + max(1.0, abs(low)) if math.isinf(high) else (low + high) / 2


def _allowed(targets: Sequence[int], edges: Sequence[float]) -> Subset:
    pairs = zip(itertools.pairwise((-math.inf, *edges, math.inf)), targets[:-1], strict=True)
    return Subset.of((ends for ends, to in pairs if to >= 0), targets[-1] >= 0)
