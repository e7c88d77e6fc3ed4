"""Rows that made-sample draws given a predicate, or equally many of each class of a column."""

import logging

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.columns import Numbers
from made_exp.density.chosen_rows import rows_where
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events, last_digit
from made_exp.density.formula import Formula, join, leaf, variables_of
from made_exp.density.mixture import Effort
from made_exp.density.predicate import Text, parse_predicate
from made_exp.density.probability import is_contradiction
from made_exp.density.starts import starts_of
from made_exp.density.tokens import QueryError
from made_exp.errors import as_config_errors
from made_exp.experiments.finished import FinishedRun
from made_exp.model.made import MADE
from made_exp.settings.commands import SampleSettings
from made_exp.variables.subset import Subset

_log = logging.getLogger(__name__)
_MOST_CLASSES = 1000


def chosen_samples(
    run: FinishedRun, settings: SampleSettings, count: int, label: int | None
) -> Tensor:
    """Rows (count, D) that are as `where` says, as many of each class of `balance` as can be.

    Says how many of the paths that were drawn became rows, where some were lost.

    Raises:
        ConfigError: If a column or a value is unknown, or no row can be so.
    """
    with as_config_errors():
        events = Events(run.schema)
        known: Formula = True
        if settings.where is not None:
            known = _as_drawn(
                events.formula(parse_predicate(settings.where), settings.where), events
            )
        groups = [(known, count)]
        if settings.balance is not None:
            groups = _balanced(run.model, events, settings.balance, known, count)
        rows, lost = [], 0.0
        for number, (formula, own) in enumerate(groups):
            effort = Effort(seed=settings.seed * 1000 + number, context=label)
            found = rows_where(run.model, events, formula, own, effort)
            rows.append(_on_grids(found.x, events, formula))
            lost += own / found.acceptance
    if lost > count:
        _log.info("one path in %.3g that were drawn became a row", lost / count)
    x = torch.cat(rows)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(settings.seed))
    return x[order.to(x.device)].cpu()


def _as_drawn(formula: Formula, events: Events) -> Formula:
    """A formula that also says of the numbers it asks for that draws can be so far out.

    Raises:
        QueryError: If no draw can be so.
    """
    limited = formula
    for d in sorted(variables_of(formula)):
        column = events.schema.modelled[d]
        if not isinstance(column, Numbers) or column.low is None or column.high is None:
            continue
        half = last_digit(events.variables[d]) / 2
        inside = Subset(((column.low - half, column.high + half),), events.domains[d].missing)
        limited = join(True, [limited, leaf(d, inside, events.domains)], events.domains)
        if is_contradiction(limited, events) and not is_contradiction(formula, events):
            low, high = column.decode(np.array([column.low, column.high]))
            raise QueryError(
                f"no row that is drawn is so: numbers of '{column.name}' are drawn between {low} "
                f"and {high}; made-query knows how likely others are"
            )
    return limited


def _on_grids(x: Tensor, events: Events, formula: Formula) -> Tensor:
    """Rows x (n, D) with numbers on the grids of their columns, as a formula still says.

    What is asked goes to a point beside the nearest one where that is not so, and else stays.
    """
    given = x.cpu().double().numpy()
    nearest = events.schema.on_grids(given)
    if np.array_equal(nearest, given, equal_nan=True):
        return x
    asked, columns = variables_of(formula), events.schema.modelled
    diagram = Diagram.of(formula, range(len(columns)), events.domains)
    found = torch.from_numpy(nearest.copy()).to(x)
    for d in asked:
        found[:, d] = x[:, d]
    for shift in (1, -1, 0):
        tried = torch.from_numpy(nearest.copy()).to(x)
        for d in asked:
            tried[:, d] = torch.from_numpy(columns[d].on_grid(given[:, d], shift)).to(x)
        is_so = diagram.contains(tried)
        found[is_so] = tried[is_so]
    return found


def _balanced(
    made: MADE, events: Events, name: str, known: Formula, count: int
) -> list[tuple[Formula, int]]:
    """For each class of a column that can be what its rows are, and how many there are to be."""
    d = events.variable(Text(name, 0, len(name)), name)
    column, variable = events.schema.modelled[d], events.variables[d]
    if not isinstance(column, Categories):
        what = f"holds {column.kind} values"
        raise QueryError(f"balance: '{name}' {what}; it must be a column of classes")
    num_values = (variable.num_values or 0) - bool(variable.pooled)  # never seen ones are none
    if num_values > _MOST_CLASSES:
        raise QueryError(f"balance: '{name}' has {num_values} classes, at most {_MOST_CLASSES}")
    formulas = [
        join(True, [known, leaf(d, Subset.of_codes([code]), events.domains)], events.domains)
        for code in range(num_values)
    ]
    formulas = [formula for formula in formulas if formula is not False]
    formulas = [own for own in formulas if len(starts_of(made, own, events.domains).x)]
    if not formulas:
        raise QueryError("no row can be so: a contradiction")
    shares = [count * (k + 1) // len(formulas) - count * k // len(formulas)
              for k in range(len(formulas))]  # fmt: skip
    return [pair for pair in zip(formulas, shares, strict=True) if pair[1]]
