"""Whole questions and their answers: probabilities, means, quantiles, distributions."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.naming import by_number
from made_exp.datasets.table.schema import TableSchema
from made_exp.density.events import Events
from made_exp.density.measures import error_written, mean, quantile, written
from made_exp.density.mixture import Effort
from made_exp.density.predicate import Question
from made_exp.density.probability import condition_of, probability_of, rareness
from made_exp.density.spread import Spread, spread_of
from made_exp.density.tokens import QueryError, error_at
from made_exp.model.made import MADE

_MOST_BINS = 24
_MISSING, _UNSEEN = "missing", "not in train"


@final
@dataclass(frozen=True)
class Row:
    """One value, or an interval of values, of a distribution."""

    value: str
    probability: float
    stderr: float


@final
@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        question: As it was asked.
        value: The number; None of a whole distribution.
        stderr: Its standard error, 0 where exact.
        is_exact: Whether nothing was drawn.
        num_samples: Paths that were taken.
        text: A date or time in words; None of plain numbers.
        error: Its standard error in words, such as "3.2 days"; "" where exact, and of numbers.
        rows: Of a distribution, in the order of the values.
        note: What is to be said of it, or "".
        is_probability: Whether it is one.
        counted: How many rows of the data are so, and of how many; None where that was not asked.
    """

    question: str
    value: float | None
    stderr: float
    is_exact: bool
    num_samples: int
    text: str | None = None
    rows: tuple[Row, ...] = ()
    note: str = ""
    is_probability: bool = False
    error: str = ""
    counted: tuple[int, int] | None = None

    def as_dict(self, rows: int | None = None) -> dict[str, Any]:
        """Only plain values; of a probability also how many of `rows` rows it is."""
        content: dict[str, Any] = {"query": self.question.strip()}
        if self.rows:
            content["distribution"] = [vars(row) for row in self.rows]
        else:
            content |= {"value": self.value, "stderr": self.stderr}
        if self.text is not None:
            content |= {"text": self.text, "text_stderr": self.error or None}
        content |= {"is_exact": self.is_exact, "num_samples": self.num_samples}
        if rows is not None and self.is_probability and self.value is not None:
            content |= {"rows": self.value * rows, "rows_stderr": self.stderr * rows}
        if self.counted is not None:
            content["counted"] = dict(zip(("rows", "of"), self.counted, strict=True))
        return content | ({"note": self.note} if self.note else {})


def check_question(schema: TableSchema, question: Question) -> None:
    """Raise ValueError if a column or a value is unknown, which takes no model to find out."""
    events = Events(schema)
    for predicate in (question.condition, question.event):
        if predicate is not None:
            events.formula(predicate, question.text)
    if question.column is not None:
        events.variable(question.column, question.text)


def answer(made: MADE, schema: TableSchema, question: Question, effort: Effort) -> Answer:
    """The answer of a model to a question.

    Raises:
        ValueError: If a column or a value is unknown, or the condition has probability 0.
    """
    events, text = Events(schema), question.text
    condition = question.condition
    known = True if condition is None else events.formula(condition, text)
    try:
        if question.event is not None:
            found = probability_of(
                made, events, events.formula(question.event, text), known, effort
            )
            return Answer(
                text, found.value, found.stderr, found.is_exact, found.num_samples,
                note=found.note, is_probability=True,
            )  # fmt: skip
        assert question.column is not None
        variable = events.variable(question.column, text)
        note = rareness(condition_of(made, events, known, effort), effort)
        spread = spread_of(made, events, variable, known, effort)
        return _measured(spread, question, note)
    except QueryError as error:
        if "\n" in str(error):
            raise
        bar = text.find("|") + 1  # what is not of a place is of the column, or of the condition
        column = question.column if "probability 0" not in str(error) else None
        start, end = (column.start, column.end) if column else (bar, len(text))
        raise error_at(text, str(error), start, end) from None


def _measured(spread: Spread, question: Question, note: str) -> Answer:
    count = spread.found.num_terms
    if question.measure == "distribution":
        rows = tuple(_rows(spread))
        is_exact = spread.found.is_exact
        return Answer(question.text, None, 0.0, is_exact, count, rows=rows, note=note)
    if question.measure == "mean":
        value, stderr = mean(spread)
    else:
        value, stderr = quantile(spread, question.level)
    if not spread.is_listed:
        note = "; ".join(filter(None, ["numbers are told apart in narrow cells", note]))
    is_exact = spread.found.is_exact and spread.is_listed
    text = written(spread.column, value)
    error = error_written(spread.column, stderr)
    return Answer(question.text, value, stderr, is_exact, count, text, note=note, error=error)


def _rows(spread: Spread) -> list[Row]:
    """The values of a column with their probabilities; many numbers in some intervals."""
    groups = [[place] for place in range(len(spread.subsets))]
    variable = spread.column.variable
    assert variable is not None
    if variable.is_number and len(groups) > _MOST_BINS:
        groups = _bins(spread)
    elif not variable.is_number:
        groups = _by_number(spread)
    rows = []
    for group in groups:
        inside = np.zeros(len(spread.subsets))
        inside[group] = 1.0
        prob, stderr = spread.mean_of(inside)
        rows.append(Row(_name(spread, group), prob, 0.0 if spread.found.is_exact else stderr))
    return rows


def _by_number(spread: Spread) -> list[list[int]]:
    """Categories as they are, or in the order of the numbers that all of them are."""
    names = [_name(spread, [place]) for place in range(len(spread.subsets))]
    named = [place for place, name in enumerate(names) if name not in (_MISSING, _UNSEEN)]
    order = [named[place] for place in by_number([names[place] for place in named])]
    return [[place] for place in [*order, *(p for p in range(len(names)) if p not in named)]]


def _bins(spread: Spread) -> list[list[int]]:
    """Cells put together: what a value has alone stays so, the others in about equal shares."""
    variable = spread.column.variable
    assert variable is not None
    known = np.flatnonzero(~np.isnan(spread.values))
    order = known[np.argsort(spread.values[known], kind="stable")]
    groups: list[list[int]] = []
    share = 1.0 / (_MOST_BINS / 2)
    filled, is_open = 0.0, False
    for place in order:
        prob = float(spread.probs[place])
        if prob >= share / 2 and len(spread.subsets[place].edges) == 2 and _is_atom(spread, place):
            groups.append([int(place)])
            is_open = False
            continue
        if is_open and filled + prob / 2 < share:
            groups[-1].append(int(place))
            filled += prob
        else:
            groups.append([int(place)])
            filled, is_open = prob, True
    missing = np.flatnonzero(np.isnan(spread.values))
    return [*groups, *([int(place)] for place in missing)]


def _is_atom(spread: Spread, place: int) -> bool:
    variable = spread.column.variable
    assert variable is not None
    return any(spread.subsets[place].holds(atom) for atom in variable.atoms)


def _name(spread: Spread, group: list[int]) -> str:
    """A value as the column writes it, or the ends of an interval."""
    values = spread.values[group]
    if np.isnan(values).any():
        return _MISSING
    column = spread.column
    edges = [edge for place in group for edge in spread.subsets[place].edges]
    low, high = min(edges), max(edges)
    variable = column.variable
    assert variable is not None
    if isinstance(column, Categories) and variable.pooled and values[0] >= len(column.spellings):
        return _UNSEEN
    if not isinstance(column, Numbers) or (
        len(group) == 1 and high - low <= 1 and not variable.is_real
    ):
        return str(column.decode(values[:1])[0])
    if len(group) == 1 and _is_atom(spread, group[0]):
        return str(column.decode(np.array([(low + high) / 2]))[0])
    if not variable.is_real:
        low, high = low + 0.5, high - 0.5
    ends = [
        "" if math.isinf(end) else str(column.decode(np.array([end]))[0]) for end in (low, high)
    ]
    return f"{ends[0]}..{ends[1]}"
