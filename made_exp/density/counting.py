"""How many rows of a table are as a question says: what its answer can be held against."""

from collections.abc import Iterable

import torch
from torch import Tensor

from made_exp.datasets.table.schema import TableSchema
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events
from made_exp.density.formula import Formula, variables_of
from made_exp.density.predicate import Question


def rows_so(
    schema: TableSchema, question: Question, parts: Iterable[Tensor]
) -> tuple[int, int] | None:
    """How many rows are as the event of a question says, of those that its condition is true of.

    Rows without a value in a column that is asked are left out, where missing is no value.

    Args:
        schema: Of the table.
        question: Of a probability; else there is no answer.
        parts: The rows (n, D) in data space, NaN where missing.

    Raises:
        ValueError: If a column or a value is unknown.
    """
    if question.event is None:
        return None
    events, text = Events(schema), question.text
    asked = events.formula(question.event, text)
    known = True if question.condition is None else events.formula(question.condition, text)
    both = variables_of(asked) | variables_of(known)
    needed = [d for d in sorted(both) if not events.variables[d].may_be_missing]
    so, of = 0, 0
    for x in parts:
        counts = ~torch.isnan(x[:, needed].double()).any(1) & _holds(known, events, x)
        so, of = so + int((counts & _holds(asked, events, x)).sum()), of + int(counts.sum())
    return so, of


def _holds(formula: Formula, events: Events, x: Tensor) -> Tensor:
    if isinstance(formula, bool):
        return torch.full((len(x),), formula)
    return Diagram.of(formula, range(x.shape[1]), events.domains).contains(x)
