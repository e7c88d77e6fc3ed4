"""Rows that a run has not seen, as they were given and as its model takes them, in pieces."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
import polars as pl
import torch
from torch import Tensor

from made_exp.datasets.table.empty_parts import find_parts
from made_exp.datasets.table.pieces import ROWS, read_pieces
from made_exp.datasets.table.raw import Origin, RawColumn, RawTable, listed
from made_exp.experiments.finished import FinishedRun

MAX_NOTICES = 12


@final
@dataclass(frozen=True, eq=False)
class NewRows:
    """Some of the rows.

    Attributes:
        x: (N, D) float64 in data space; NaN where missing.
        frame: The N rows as they were given, to be written again.
        raw: The same, with their places.
        context: (N,) class labels, or None.
    """

    x: Tensor
    frame: pl.DataFrame
    raw: RawTable
    context: Tensor | None = None


@final
@dataclass(eq=False)
class Notices:
    """What was unlike train in all pieces, a line for each column and each way to be so."""

    _found: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    _lines: list[str] = field(default_factory=list)

    def hear(self, raw: RawColumn, row: int, count: int, what: str) -> None:
        """See `datasets.table.column.Say`."""
        key = raw.name, what
        first, before = self._found.get(key, ("", 0))
        self._found[key] = (first or f"{raw.place(row)}: '{raw.shown(row)}'", before + count)

    def add(self, line: str) -> None:
        """A line that is said once."""
        if line not in self._lines:
            self._lines.append(line)

    def lines(self) -> list[str]:
        """All of them."""
        cells = [
            f"{first}{f' and {count - 1} more cells' if count > 1 else ''}: {what}"
            for (_, what), (first, count) in self._found.items()
        ]
        lines = [*self._lines, *cells]
        more = len(lines) - MAX_NOTICES
        return lines[:MAX_NOTICES] + ([f"... and {more} more"] if more > 0 else [])


def new_rows(run: FinishedRun, data: str, notices: Notices) -> Iterator[NewRows]:
    """The rows of a table, or of the array `x` of a .npz file, piece by piece.

    Columns may stand in any order; those that the model does not know are kept as they are.

    Raises:
        ValueError: If it cannot be read, lacks a column, or a cell is no value of its column.
    """
    if Path(data).suffix.lower() == ".npz":
        yield from _rows_of_arrays(run, Path(data))
        return
    if run.model.num_classes:
        raise ValueError(f"data: this model has classes; give .npz with x and labels, not {data}")
    style = run.text_style
    for piece in read_pieces(find_parts(data, Path.cwd(), "data", header=style.header), style):
        _say_unknown(run, piece.raw, notices)
        x = run.schema.encode(run.schema.known(piece.raw), notices.hear)
        yield NewRows(torch.from_numpy(x), piece.frame, piece.raw)


def _say_unknown(run: FinishedRun, raw: RawTable, notices: Notices) -> None:
    match = run.schema.match(raw, run.schema.names)
    if match.unknown:
        unknown = match.unknown_ones(raw.names)
        notices.add(f"columns that the model does not know are kept as they are: {unknown}")


def _rows_of_arrays(run: FinishedRun, path: Path) -> Iterator[NewRows]:
    model = run.model
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if "x" not in arrays:
            raise KeyError(f"it has {listed(list(arrays))}; rows to score are called x")
        x = np.asarray(arrays["x"], np.float64)
    except Exception as error:  # whatever a damaged archive raises
        what = error.args[0] if isinstance(error, KeyError) else error
        raise ValueError(f"data: cannot read array 'x' of {path}: {what}") from error
    if x.ndim != 2 or x.shape[1] != model.num_dims or not len(x):
        raise ValueError(f"data: x of {path} has shape {x.shape}, not (N, {model.num_dims})")
    labels = arrays.get("labels")
    if (labels is None) != (not model.num_classes):
        needs = "this model has classes" if model.num_classes else "this model has no classes"
        raise ValueError(
            f"data: {path} has {'no' if labels is None else 'an'} array 'labels'; {needs}"
        )
    names = [variable.name for variable in model.groups.variables]
    for start in range(0, len(x), ROWS):
        own = x[start : start + ROWS]
        frame = pl.DataFrame({name: own[:, d] for d, name in enumerate(names)})
        context = None if labels is None else torch.from_numpy(labels[start : start + ROWS]).long()
        origin = Origin((str(path),), (-start,))
        yield NewRows(torch.from_numpy(own), frame, RawTable.of_frame(frame, origin), context)
