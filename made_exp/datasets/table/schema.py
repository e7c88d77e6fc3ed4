"""A table as it is modelled: its columns, and how rows become numbers and back."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, final

import numpy as np
import polars as pl

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.column import Column, Say, saying
from made_exp.datasets.table.columns import column_from_dict
from made_exp.datasets.table.context import as_given, check_context
from made_exp.datasets.table.dependent import dependent_columns
from made_exp.datasets.table.describe import describe_column
from made_exp.datasets.table.later import with_later
from made_exp.datasets.table.looking import FirstLook
from made_exp.datasets.table.making import make_column
from made_exp.datasets.table.matching import Match, match_columns, say_unknown
from made_exp.datasets.table.raw import GivenTable, RawTable
from made_exp.datasets.table.suspicions import (
    one_column,
    suspicious_column,
    suspicious_table,
)
from made_exp.variables.variable import Variable


@final
@dataclass(frozen=True)
class TableSchema:
    """All columns of a table, in the order of its header.

    Attributes:
        columns: Of the table; those that are kept aside have no variable.
        delimiter: What separates the fields of a line of its text.
        ignored: Columns that were left out; new rows may have them.
    """

    columns: tuple[Column, ...]
    delimiter: str = ","
    ignored: tuple[str, ...] = ()

    @classmethod
    def fit(cls, raw: GivenTable, train_rows: np.ndarray, **options: Any) -> Self:
        """The schema of a table; arguments and errors of `fit_table`."""
        return fit_table(raw, {"train": train_rows}, **options).schema

    @cached_property
    def modelled(self) -> tuple[Column, ...]:
        """The columns of x, in its order."""
        return tuple(column for column in self.columns if column.variable is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """The header."""
        return tuple(column.name for column in self.columns)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What the model is built for, D in all."""
        return tuple(c.variable for c in self.modelled if c.variable is not None)

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The columns that are given; the others are modelled given them."""
        return tuple(c.name for c in self.modelled if c.variable and c.variable.is_given)

    def match(self, raw: GivenTable, needed: Collection[str]) -> Match:
        """How the columns of new rows go with those of the table; see `match_columns`."""
        others = {*self.names, *self.ignored}
        filled = {v.name for v in self.variables if v.is_given and not v.may_be_missing}
        modelled = [column.name for column in self.modelled]
        return match_columns(raw, modelled, others, needed, filled)

    def known(self, raw: RawTable) -> RawTable:
        """The columns of new rows that are the table's, in their order."""
        return raw.select([name for name in raw.names if name in self.names])

    def encode(
        self, raw: RawTable, say: Say | None = None, needed: Collection[str] | None = None
    ) -> np.ndarray:
        """The table (N, D) float64 of rows with its columns in any order, NaN where missing.

        Columns that are kept aside need not be there, nor others than those that are `needed`,
        by default all; it is warned of those that are unknown.
        `say` hears of values that train did not have; without it they are warned of by their
        place.

        Raises:
            ValueError: If columns are missing, or a cell is no value of its column.
        """
        needed = self.names if needed is None else needed
        say_unknown(raw, self.match(raw, needed))
        x = np.full((len(raw), len(self.modelled)), np.nan)
        present = [(d, c) for d, c in enumerate(self.modelled) if c.name in raw.names]
        hears = [say] if say else []
        for d, column in present:
            x[:, d] = column.encode(Cells.of(raw.column(column.name)), *hears)
        for column in self.columns:
            if column.variable is None and column.name in raw.names:
                column.check(raw.column(column.name), *hears)
        return x

    def decode(self, x: np.ndarray) -> pl.DataFrame:
        """Rows of texts of x (N, D), written as the table is; null where missing.

        Raises:
            ValueError: If x is not so wide.
        """
        if x.ndim != 2 or x.shape[1] != len(self.modelled):
            raise ValueError(f"x must have shape (N, {len(self.modelled)}), got {x.shape}")
        place = {column.name: d for d, column in enumerate(self.modelled)}
        empty = np.full(len(x), np.nan)
        texts = [
            column.decode(x[:, place[column.name]] if column.name in place else empty)
            for column in self.columns
        ]
        return pl.DataFrame([t.alias(c.name) for t, c in zip(texts, self.columns, strict=True)])

    def on_grids(self, x: np.ndarray) -> np.ndarray:
        """Draws x (N, D) rounded to what the values of their columns lie on."""
        found = x.copy()
        for d, column in enumerate(self.modelled):
            found[:, d] = column.on_grid(x[:, d])
        return found

    def describe(self) -> list[dict[str, Any]]:
        """What was understood, a row for each column: for the terminal and results.json."""
        return [describe_column(column) for column in self.columns]

    def to_dict(self) -> dict[str, Any]:
        """Only plain values, as JSON holds them."""
        columns = [column.to_dict() for column in self.columns]
        return {"columns": columns, "delimiter": self.delimiter, "ignored": list(self.ignored)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If `content` does not describe a table.
        """
        try:
            columns = tuple(column_from_dict(c) for c in content["columns"])
            return cls(columns, str(content["delimiter"]), tuple(content["ignored"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the description of a table: {error}") from error


@final
@dataclass(frozen=True, eq=False)
class FittedTable:
    """A table that was understood.

    Attributes:
        schema: What its columns hold.
        values: (N,) float64 of each of the D that are modelled in all rows, NaN where missing.
        suspicions: What the user should look at, in a line each.
    """

    schema: TableSchema
    values: tuple[np.ndarray, ...]
    suspicions: tuple[str, ...]

    @property
    def x(self) -> np.ndarray:
        """The table (N, D)."""
        return np.stack(self.values, axis=1)


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def fit_table(
    raw: GivenTable,
    splits: Mapping[str, np.ndarray],
    *,
    num_first: int | None = None,
    keep: Callable[[np.ndarray], np.ndarray] = _as_it_is,
    kinds: Mapping[str, str] | None = None,
    missing_values: Sequence[str] | None = None,
    missing: Literal["ignore", "model"] = "ignore",
    drop: Sequence[str] = (),
    columns: Sequence[str] = (),
    ignored: Sequence[str] = (),
    context: Sequence[str] = (),
) -> FittedTable:
    """Understand a table: how it is written from its first rows, what its values are from train.

    Args:
        raw: All its rows.
        splits: Numbers of the rows of "train", and of other splits.
        num_first: How many rows say how it is written, all by default; those after them, none of
            train, are read as new rows are.
        keep: Gives the values (N,) of a column back, from where they are to stay. One column at
            a time is in memory where the table is not.
        kinds: What a column holds, by its name, where the user says so.
        missing_values: Texts that stand for no value, in place of NA and the like.
        missing: Whether missing cells are left out, or are values.
        drop: Columns to leave out.
        columns: Columns to keep, in this order; all where empty.
        ignored: Columns that new rows may have and `raw` has no more.
        context: Columns that are given; the others are modelled given these.

    Raises:
        ValueError: If a column is unknown, or a cell does not fit; with its place.
    """
    kinds = kinds or {}
    wanted = _wanted(raw, kinds, drop, columns)
    check_context(context, raw, wanted)
    first = len(raw) if num_first is None else num_first
    look = FirstLook(raw, wanted, first, kinds, missing_values)
    said, doubts = look.unseen(), list[str]()
    made, values = list[Column](), list[np.ndarray]()
    for name in wanted:
        cells, reading = look.take(name)
        column, own = make_column(
            cells,
            reading,
            splits["train"],
            models_missing=missing == "model",
            limits=look.limits,
            say=saying(said.append, lambda raw, row: f"column '{raw.name}'"),
        )
        if first < len(raw):
            column, own = with_later(column, own, raw.column(name).part(first, len(raw)), said)
        column = as_given(column, own) if name in context else column
        found_odd = reading.suspicions or suspicious_column(cells, column)
        doubts += [f"column '{name}': {doubt}" for doubt in found_odd]
        made.append(column)
        values += [] if own is None else [keep(own)]
    if len(values) <= len(context):
        raise _nothing_left(raw, made, context)
    others = (name for name in raw.names if name not in set(wanted))
    ignored = (*ignored, *raw.left_out, *others)
    schema = TableSchema(tuple(made), raw.delimiter or ",", ignored)
    doubts += suspicious_table(raw, schema.columns, splits)
    doubts += dependent_columns(schema.modelled, values, splits["train"])
    return FittedTable(schema, tuple(values), (*doubts, *said))


def _wanted(
    raw: GivenTable, kinds: Mapping[str, str], drop: Sequence[str], columns: Sequence[str]
) -> list[str]:
    for names, what in ((drop, "drop"), (columns, "columns"), (tuple(kinds), "kinds")):
        raw.check_names(names, f"dataset.{what}")
    wanted = [name for name in (columns or raw.names) if name not in set(drop)]
    if not wanted:
        raise ValueError(f"{raw.origin.source}: no column is left")
    return wanted


def _nothing_left(raw: GivenTable, made: Sequence[Column], context: Sequence[str]) -> ValueError:
    why = ", ".join(
        f"'{column.name}' ({'given' if column.name in context else column.kind})" for column in made
    )
    hints = "; ".join(["keep one by 'dataset.kinds={NAME: categorical}'", *one_column(raw, made)])
    return ValueError(f"{raw.origin.source}: no column is left to be modelled: {why}; {hints}")
