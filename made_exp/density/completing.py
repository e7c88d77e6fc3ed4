"""Empty cells of a frame drawn, around those that are given."""

from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.libraries import adopted
from made_exp.datasets.table.matching import say_absent
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.writing import typed_column
from made_exp.density.likeness import Likeness
from made_exp.density.surprise import serves_any_order
from made_exp.masks.observed import from_first_on
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
    match = schema.match(raw, needed)
    say_absent(raw, match)
    x = torch.from_numpy(schema.encode(raw, needed=needed))
    groups = made.groups
    known = (~torch.isnan(x) & groups.possible(x.to(made.device)).cpu()) | groups.is_given.cpu()
    numbers = np.arange(len(x)).repeat(num_samples)
    if num_samples != 1:
        frame, raw, x, known = (
            library.take(frame, numbers),
            raw.take(numbers),
            x[numbers],
            known[numbers],
        )
        context = None if context is None else context[numbers]
    drawn = _drawn_values(made, x, known, context, options)
    places = {column.name: d for d, column in enumerate(schema.modelled)}
    columns = {column.name: column for column in schema.columns}
    for place, given in enumerate(raw.columns):
        if given.name not in columns:
            continue
        column, d = columns[given.name], places.get(given.name)
        is_there = given.values.is_not_null().to_numpy() if d is None else _is_there(x, known, d)
        if is_there.all():
            continue
        own = np.full(len(x), np.nan) if d is None else drawn[:, d].numpy()
        texts = column.decode(own[~is_there])
        # A column of None alone is not one of texts.
        stored = given.stored if given.stored != pl.String or given.values.count() else None
        frame = library.put(frame, place, is_there, typed_column(column, texts, stored))
    for name in match.absent:
        texts = columns[name].decode(drawn[:, places[name]].numpy())
        place = schema.names.index(name)
        frame = likeness.append(library, frame, schema.columns, place, texts)
    return frame


def _is_there(x: Tensor, known: Tensor, d: int) -> np.ndarray:
    """Which cells are not to be drawn; what a column cannot hold stays as it is."""
    is_there: np.ndarray = (known[:, d] | ~torch.isnan(x[:, d])).numpy()
    return is_there


def _drawn_values(
    made: MADE, x: Tensor, known: Tensor, context: Tensor | None, options: dict[str, Any]
) -> Tensor:
    """Codes x (N, D) with what is not known drawn; a cell that comes out as missing is drawn again.

    The others of its row then count as known, so that each is drawn given what was drawn before;
    in a fixed order those before it.
    """
    drawn, gaps = x.clone(), ~known
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
