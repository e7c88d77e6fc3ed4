"""Empty cells of a frame drawn, around those that are given."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import polars as pl
import torch
from torch import Tensor

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.guesses import guessed_rows, say_guessed
from made_exp.datasets.table.libraries import Library, adopted
from made_exp.datasets.table.matching import say_absent, say_unknown
from made_exp.datasets.table.raw import RawColumn, RawTable
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.writing import typed_column
from made_exp.density.likeness import Likeness
from made_exp.density.surprise import serves_any_order
from made_exp.masks.observed import from_first_on
from made_exp.model.entry import check_given
from made_exp.model.made import MADE

# Draws of a cell until one is a value and not missing, where missing is a value of the model.
_MOST_DRAWS = 200


def complete_frame(
    made: MADE,
    schema: TableSchema,
    data: Any,
    likeness: Likeness,
    num_samples: int,
    context: Tensor | None = None,
    **options: Any,
) -> Any:
    """The rows of a frame, each `num_samples` times in turn, with their empty cells drawn.

    Arguments and errors are those of `Density.complete`; columns that the frame lacks have the
    types of `likeness`.
    """
    library, frame = adopted(data)
    raw = raw_table(frame)
    needed = schema.names if isinstance(frame, np.ndarray) else schema.given
    x = given_values(schema, raw, needed)
    check_given(made.groups, x.to(made.device))
    known = known_in(made, x)
    numbers = np.arange(len(x)).repeat(num_samples)
    if num_samples != 1:
        frame, raw, x, known = (
            library.take(frame, numbers),
            raw.take(numbers),
            x[numbers],
            known[numbers],
        )
        context = None if context is None else context[numbers]
    drawn = drawn_values(made, x, known, context, **options)
    gaps = Gaps(schema, drawn.numpy(), is_there(x, known).numpy(), likeness)
    return gaps.filled(library, frame, raw)


def given_values(schema: TableSchema, raw: RawTable, needed: Collection[str]) -> Tensor:
    """Values (N, D) of rows to complete, NaN where missing; it is said which columns are others.

    Raises:
        ValueError: If one that is needed lacks, or a cell is no value of its column.
    """
    match = schema.match(raw, needed)
    say_absent(raw, match)
    say_unknown(raw, match, "kept as they are")
    say_guessed(schema.columns, raw)
    return torch.from_numpy(schema.encode(schema.known(raw), needed=needed))


def known_in(made: MADE, x: Tensor) -> Tensor:
    """Which values (N, D) others are drawn given: all but NaN and what no column can hold."""
    groups = made.groups
    possible = groups.possible(x.to(made.device)).cpu()
    return (~torch.isnan(x) & possible) | groups.is_given.cpu()


def is_there(x: Tensor, known: Tensor) -> Tensor:
    """Which cells (N, D) are not to be drawn; what a column cannot hold stays as it is."""
    return known | ~torch.isnan(x)


@final
@dataclass(frozen=True, eq=False)
class Gaps:
    """What is put into the empty cells of frames.

    Attributes:
        schema: Of the table.
        drawn: (N, D) values without gaps.
        there: (N, D) which cells stay as they were given.
        likeness: The types of columns that a frame lacks.
    """

    schema: TableSchema
    drawn: np.ndarray
    there: np.ndarray
    likeness: Likeness

    def filled(self, library: Library, frame: Any, raw: RawTable) -> Any:
        """N rows with their empty cells filled, and after them the columns that they lack.

        Columns that the table does not have stay as they are, and so do identifiers; an array
        gets no more columns.

        Args:
            library: Whose the frame is.
            frame: The rows.
            raw: The same as they were given; with the types that columns keep.
        """
        columns = {column.name: column for column in self.schema.columns}
        for place, given in enumerate(raw.columns):
            if given.name not in columns:
                continue
            column, stay = columns[given.name], self._stay(given)
            if stay.all() or column.kind == "identifier":
                continue
            texts = column.decode(self._values(given.name)[~stay])
            # A column of None alone is not one of texts.
            is_known = given.stored != pl.String or given.values.count()
            stored = given.stored if is_known else self.likeness.stored.get(given.name)
            frame = library.put(frame, place, stay, typed_column(column, texts, stored))
        for place, column in enumerate(self.schema.columns):
            if column.name not in raw.names and not isinstance(frame, np.ndarray):
                texts = column.decode(self._values(column.name))
                frame = self.likeness.append(library, frame, self.schema.columns, place, texts)
        return frame

    @cached_property
    def _places(self) -> dict[str, int]:
        return {column.name: d for d, column in enumerate(self.schema.modelled)}

    def _values(self, name: str) -> np.ndarray:
        """(N,) draws of a column, on its grid; NaN of one that is kept aside."""
        d = self._places.get(name)
        if d is None:
            return np.full(len(self.drawn), np.nan)
        return self.schema.modelled[d].on_grid(self.drawn[:, d])

    def _stay(self, given: RawColumn) -> np.ndarray:
        """(N,) which cells of a column stay."""
        d = self._places.get(given.name)
        if d is None:
            return given.values.is_not_null().to_numpy()
        return self.there[:, d] | guessed_rows(self.schema.modelled[d], given)


def drawn_values(
    made: MADE, x: Tensor, known: Tensor, context: Tensor | None, **options: Any
) -> Tensor:
    """Values x (N, D) with what is not known drawn; one that comes out as missing is drawn again.

    The others of its row then count as known, so that each is drawn given what was drawn before;
    in a fixed order those before it.
    """
    drawn, gaps = x.double(), ~known
    drawn = drawn.clone() if drawn is x else drawn
    for _ in range(_MOST_DRAWS):
        rows = gaps.any(1)
        if not bool(rows.any()):
            break
        labels = None if context is None else context[rows]
        own = made.complete(drawn[rows], ~gaps[rows], context=labels, **options).cpu()
        drawn[rows] = own.double()
        gaps = _drawn_again(made, gaps & torch.isnan(drawn))
    return drawn


def _drawn_again(made: MADE, empty: Tensor) -> Tensor:
    """Gaps (N, D) to draw anew: the empty ones, and what comes after one in any fixed order."""
    if serves_any_order(made):
        return empty
    again, before = empty, torch.zeros_like(empty)
    while not torch.equal(again, before):
        before = again
        for member in made.members:
            again = from_first_on(again, member.schedule.mask_set(0).ordering)
    return again
