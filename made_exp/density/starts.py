"""What rows begin with: the values of given variables that a question allows."""

import math
from collections.abc import Sequence

import torch

from made_exp.density.diagram import Diagram
from made_exp.density.formula import Formula, variables_of
from made_exp.density.terms import Starts
from made_exp.model.made import MADE
from made_exp.variables.subset import Subset


def starts_of(made: MADE, known: Formula, domains: Sequence[Subset]) -> Starts:
    """Those of train by which a condition can be true, or the only values that it allows.

    Raises:
        ValueError: If it is not known which values they have.
    """
    given = made.groups.given
    x = torch.full((1, made.num_dims), torch.nan, dtype=torch.float64)
    pinned = [_only_value(known, d, made, domains) for d in given]
    if all(value is not None for value in pinned):
        x[0, list(given)] = torch.tensor(pinned, dtype=torch.float64)
        return Starts(x.to(made.device), x.new_zeros(1).to(made.device))
    rows = made.rows_of_train()
    every = Starts(rows.x.to(made.device), rows.shares.log().to(made.device))
    return split_starts(made, every, known, domains)[0]


def split_starts(
    made: MADE, starts: Starts, formula: Formula, domains: Sequence[Subset]
) -> tuple[Starts, Starts]:
    """Those by which a formula can be true, and the others."""
    given = [d for d in made.groups.given if d in variables_of(formula)]
    can_be = torch.ones(len(starts.x), dtype=torch.bool, device=starts.x.device)
    if given:
        others = [d for d in range(made.num_dims) if d not in given]
        diagram = Diagram.of(formula, [*given, *others], domains)
        can_be = diagram.can_contain(starts.x, len(given))
    return starts.of(can_be), starts.of(~can_be)


def _only_value(formula: Formula, d: int, made: MADE, domains: Sequence[Subset]) -> float | None:
    """The value that a variable must have, if it is one."""
    if d not in variables_of(formula):
        return None
    subset = Diagram.of(formula, [d], domains).levels[0].subsets[0]
    if subset == Subset(missing=True):
        return math.nan
    if len(subset.intervals) != 1 or subset.missing:
        return None
    low, high = subset.intervals[0]
    variable = made.groups.variables[d]
    middle, width = (low + high) / 2, 1.0
    if variable.is_real and math.isfinite(middle):
        width = float(variable.log_cells(torch.tensor(middle)).exp())
    return middle if high - low <= width * (1 + 1e-9) else None
