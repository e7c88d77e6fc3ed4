"""Scored rows into files: a table as it was given with more columns, or arrays."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import polars as pl
from torch import Tensor
from typing_extensions import override

from made_exp.datasets.table.appending import TableWriter
from made_exp.datasets.table.writing import free_name
from made_exp.experiments.new_rows import NewRows
from made_exp.files import atomic_write_arrays


@final
@dataclass(frozen=True, eq=False)
class RowScores:
    """What is known of N rows; NaN where it is not.

    Attributes:
        log_prob: (N,) float64, nats.
        rank: (N,) share of train that is less likely, or None.
        surprise: (N, D) nats of each cell given the earlier ones of its row, or None.
        surprise_given_others: (N, D) nats of each cell given all others, or None.
    """

    log_prob: Tensor
    rank: Tensor | None
    surprise: Tensor | None
    surprise_given_others: Tensor | None


class RowWriter(ABC):
    """Takes rows with their scores; the file is there, whole, once the context has ended."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *error: Any) -> None:
        """Finish the file, where the body raised nothing."""

    @abstractmethod
    def append(self, rows: NewRows, scores: RowScores) -> None:
        """Write these after the others."""


@final
class NoWriter(RowWriter):
    """Writes nothing."""

    @override
    def append(self, rows: NewRows, scores: RowScores) -> None:
        pass

    @override
    def __exit__(self, *error: Any) -> None:
        pass


@final
class FrameWriter(RowWriter):
    """Writes the rows as they were given, and after them columns of scores.

    Args:
        path: Its ending says how.
        delimiter: Of text, where the ending does not say it.
        columns: Number and name of those of the D variables that have surprises.
    """

    def __init__(self, path: Path, delimiter: str, columns: Sequence[tuple[int, str]]) -> None:
        self._table, self._columns, self._stack = TableWriter(path, delimiter), columns, ExitStack()

    @override
    def __enter__(self) -> Self:
        self._stack.enter_context(self._table)
        return self

    @override
    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @override
    def append(self, rows: NewRows, scores: RowScores) -> None:
        columns: dict[str, Tensor] = {}
        for name, values in vars(scores).items():
            if values is not None and values.ndim == 1:
                columns[name] = values
            elif values is not None:
                columns |= {f"{name}.{column}": values[:, d] for d, column in self._columns}
        taken = rows.frame.columns
        added = [
            pl.Series(free_name(name, taken), values.numpy()).fill_nan(None)
            for name, values in columns.items()
        ]
        origin = rows.raw.origin
        frame = rows.frame.with_columns(added)
        self._table.append(frame, origin.renamed, like=origin.sources[0])


@final
class ArrayWriter(RowWriter):
    """Writes arrays `x`, `columns` (their names) and the scores into a .npz file, at its end.

    Args:
        path: Of the file.
        columns: Names of the D variables.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, columns
        self._kept = list[dict[str, np.ndarray]]()

    @override
    def append(self, rows: NewRows, scores: RowScores) -> None:
        found = {"x": rows.x, **vars(scores)}
        self._kept.append({name: v.numpy() for name, v in found.items() if v is not None})

    @override
    def __exit__(self, *error: Any) -> None:
        if error[0] is not None or not self._kept:
            return
        arrays: dict[str, Any] = {"columns": np.array(self._columns)}
        for name in self._kept[0]:
            arrays[name] = np.concatenate([one[name] for one in self._kept])
        atomic_write_arrays(self._path, arrays)
