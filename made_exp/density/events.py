"""From what a question says of columns to sets of values of the variables of a model."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import final

import numpy as np
import polars as pl
import torch

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.cells import as_labels, number_of
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.columns import Aside, Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.raw import listed
from made_exp.datasets.table.schema import TableSchema
from made_exp.density.durations import in_seconds
from made_exp.density.formula import Formula, join, leaf
from made_exp.density.predicate import Comparison, Junction, Not, Predicate, Text
from made_exp.density.tokens import QueryError, as_name, error_at
from made_exp.errors import did_you_mean
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable

_ORDERED = ("<", "<=", ">", ">=", "between", "not between")


@final
class Events:
    """What predicates mean for the columns of a table.

    Args:
        schema: The table.
    """

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.variables = schema.variables
        self._place = {column.name: d for d, column in enumerate(schema.modelled)}

    @cached_property
    def domains(self) -> tuple[Subset, ...]:
        """All that each variable can hold."""
        return tuple(map(Subset.all_of, self.variables))

    def formula(self, predicate: Predicate, text: str, is_true: bool = True) -> Formula:
        """What a predicate asks of the variables, or what its opposite does.

        Comparisons are false of missing cells. What is not of the values of a column, such as
        numbers beyond its range, is false too.

        Args:
            predicate: From `text`.
            text: For messages.
            is_true: Whether it, or its opposite, is meant.

        Raises:
            QueryError: If a column or a value is unknown, or a test does not suit a column; with
                the place.
        """
        if isinstance(predicate, Not):
            return self.formula(predicate.part, text, not is_true)
        if isinstance(predicate, Junction):
            parts = [self.formula(part, text, is_true) for part in predicate.parts]
            return join(predicate.is_all == is_true, parts, self.domains)
        d = self.variable(predicate.column, text)
        subset = self._subset(self.schema.modelled[d], predicate, text)
        subset = subset if is_true else self.domains[d].without(subset)
        return leaf(d, subset, self.domains)

    def variable(self, column: Text, text: str) -> int:
        """The variable of a column.

        Raises:
            QueryError: If there is none.
        """
        if column.text in self._place:
            return self._place[column.text]
        folded = [name for name in self._place if name.lower() == column.text.lower()]
        if len(folded) == 1:
            return self._place[folded[0]]
        aside = {c.name: c for c in self.schema.columns if isinstance(c, Aside)}
        if column.text in aside:
            what = f"column '{column.text}' is not modelled ({aside[column.text].kind})"
        else:
            names = tuple(self._place)
            hint = did_you_mean(column.text, names) or f" (have: {listed(names)})"
            what = f"there is no column '{column.text}'{hint}"
        raise error_at(text, what, column.start, column.end)

    def _subset(self, column: Column, test: Comparison, text: str) -> Subset:
        variable = column.variable
        assert variable is not None
        if test.operator == "missing":
            if column.num_missing and not variable.may_be_missing:
                what = (
                    f"this model leaves missing cells of '{column.name}' out: train with "
                    "dataset.missing=model to ask for them"
                )
                raise error_at(text, what, test.column.start, test.column.end)
            return Subset(missing=True)
        known = Subset(Subset.all_of(variable).intervals)
        values = tuple(replace(v, text=in_seconds(column, v.text)) for v in test.values)
        test = replace(test, values=values)
        negated = test.operator.startswith("not ") or test.operator == "!="
        if isinstance(column, Categories):
            if test.operator in _ORDERED:
                codes = _codes_between(column, test, text)
            else:
                codes = [_code_of(column, value, text) for value in test.values]
            found = Subset.of_codes(codes)
        else:
            assert isinstance(column, Numbers)
            for value in () if test.operator in _ORDERED else test.values:
                _refuse_no_value(column, value, text)
            numbers = [_number_of(column, value, text) for value in test.values]
            found = _range(column, test.operator.removeprefix("not "), numbers)
        return known.without(found) if negated else found & known


def _code_of(column: Categories, value: Text, text: str) -> int:
    """The code of a category."""
    assert column.variable is not None
    names = column.variable.categories or ()
    if value.text in names:  # another may differ by spaces
        return names.index(value.text)
    label = as_labels(pl.Series([value.text.strip()]))[0]
    if label in names:
        return names.index(label)
    folded = [code for code, name in enumerate(names) if name.lower() == label.lower()]
    if len(folded) == 1:
        return folded[0]
    if label.lower() in column.truths:
        return int(column.truths[label.lower()])
    _refuse_no_value(column, value, text)
    shown = [name for name in names if name]
    hint = did_you_mean(label, shown) or f" (have: {listed(shown)})"
    what = f"'{value.text}' is no value of '{column.name}' in train{hint}"
    raise error_at(text, what, value.start, value.end)


def _refuse_no_value(column: Column, value: Text, text: str) -> None:
    """Raise QueryError where what a cell is to be stands for no value in the column."""
    written = value.text.strip()
    markers = ("", *column.missing)
    number = number_of(written)
    if written in markers or (number is not None and number in map(number_of, markers)):
        what = f"'{value.text}' stands for no value here: write {as_name(column.name)} is missing"
        raise error_at(text, what, value.start, value.end)


def _codes_between(column: Categories, test: Comparison, text: str) -> Sequence[int]:
    """The codes whose names are numbers that stand in this relation to others."""
    table = column.numbers
    if table is None:
        what = (
            f"'{column.name}' holds {column.kind} values, which have no order: use = or in {{...}}"
        )
        raise error_at(text, what, test.column.start, test.values[-1].end)
    numbers = NumberFormat().parse(pl.Series([value.text.strip() for value in test.values]))
    for value, number in zip(test.values, numbers, strict=True):
        if number is None:
            raise _no_number(column, value, text, column.spellings[0])
    first, last = numbers[0], numbers[-1]
    match test.operator:
        case "<":
            chosen = table < first
        case "<=":
            chosen = table <= first
        case ">":
            chosen = table > first
        case ">=":
            chosen = table >= first
        case _:
            chosen = (table >= first) & (table <= last)
    return [int(code) for code in np.flatnonzero(chosen)]


def _no_number(column: Column, value: Text, text: str, example: str) -> QueryError:
    is_date = isinstance(column, Numbers) and isinstance(column.format, DateFormat)
    what = "a date" if is_date else "a number"
    return error_at(
        text,
        f"'{value.text}' is not {what} as '{column.name}' holds them, such as {example}",
        value.start,
        value.end,
    )


def _number_of(column: Numbers, value: Text, text: str) -> float:
    """A number as values of the variable are, between two where the column has none.

    It may be written as the column writes it, or plain.
    """
    assert column.variable is not None
    form, written = column.format, pl.Series([value.text.strip()])
    number = form.parse(written)[0]
    if number is None and isinstance(form, DateFormat):
        moment = form.plain_moments(written, column.clock)[0]
        number = None if moment is None else form.place_of(moment)
    elif number is None:
        number = NumberFormat().parse(written)[0]
    if number is None:
        raise _no_number(column, value, text, column.decode(np.array([_usual(column)]))[0])
    if column.variable.num_values is None:
        return float(number)
    exact = number if isinstance(number, int) else float(number)
    return float(exact * 10**column.decimals - column.offset) / column.step


def _usual(column: Numbers) -> float:
    """A value where most are: of those that come again, if any do."""
    variable = column.variable
    assert variable is not None
    middle = float(variable.numeric_transform.inverse(torch.zeros(1))[0])
    seen = variable.echoes or (middle,)
    return min(seen, key=lambda value: abs(value - middle))


def _range(column: Numbers, operator: str, numbers: Sequence[float]) -> Subset:
    """The values that stand in this relation to numbers, as `_number_of` gives them."""
    assert column.variable is not None
    below, above = (partial(_edge, side, column.variable) for side in (-1, 1))
    first, last = numbers[0], numbers[-1]
    match operator:
        case "<" | ">=":
            edge = below(first)
        case "<=" | ">":
            edge = above(first)
        case "between":
            return Subset.of([(below(first), above(last))])
        case _:
            return Subset.of((below(number), above(number)) for number in numbers)
    return Subset.of([(-math.inf, edge) if operator[0] == "<" else (edge, math.inf)])


def last_digit(variable: Variable) -> float:
    """How far apart values of a number are: those of a real column are written to a digit.

    0 where that is not known, as of numbers that came from no table.
    """
    if variable.num_values is not None:
        return 1.0
    is_fitted = bool(variable.atoms or variable.echoes or variable.knots)
    return variable.unit if is_fitted else 0.0


def _edge(side: int, variable: Variable, number: float) -> float:
    """The edge between a number, with those on its other side, and values below (-1) or above (1).

    A written number stands for the cell of its last digit, or lies between two cells; a computed
    one for itself, since others lie nearer to it than the cell of an atom is wide.
    """
    unit = last_digit(variable)
    if variable.digit is not None:
        return number + side * variable.digit
    if variable.grows_from is not None or not unit:
        cell = float(variable.log_cells(torch.tensor(number)).exp()) if unit else 0.0
        return number + side * cell / 2
    place = number / unit
    if abs(place - round(place)) < 1e-6:
        return (round(place) + side * 0.5) * unit
    return (math.floor(place) + 0.5) * unit
