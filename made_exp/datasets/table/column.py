"""What all columns of a table have in common."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.raw import RawColumn
from made_exp.datasets.table.stored import dtype_of, is_text
from made_exp.variables.variable import Variable

_log = logging.getLogger(__name__)
Say = Callable[[RawColumn, int, int, str], None]
"""Hears of cells unlike those of train: their column, the first row, how many, what they are."""


def saying(tell: Callable[[str], object], where: Callable[[RawColumn, int], str]) -> Say:
    """Tells what it hears in a sentence, which begins with where the first cell is."""

    def say(raw: RawColumn, row: int, count: int, what: str) -> None:
        more = f" and {count - 1} more cells are" if count > 1 else " is"
        tell(f"{where(raw, row)}: '{raw.shown(row)}'{more} {what}")

    return say


def warn_of_place(raw: RawColumn, row: int, count: int, what: str) -> None:
    """Warn of cells with the place of the first one."""
    saying(lambda text: _log.warning("%s", text), RawColumn.place)(raw, row, count, what)


@dataclass(frozen=True, kw_only=True)
class Column(ABC):
    """One column of a table.

    Attributes:
        name: As in the header.
        kind: What it holds, as the user reads and writes it.
        variable: What the model sees of it; None where it is kept aside.
        missing: Texts that stand for no value, beside the empty one, see `no_value`.
        guessed: Those of them that nobody said do so: where they are given, they stay.
        values: Its range or its values, in a few words.
        num_missing: Its missing cells in the table that it was made from.
        decided: Why it holds this, in a few words, where that is not plain.
        stored: The type that it had in a typed source, see `stored_as`; () in a text.
    """

    holds: ClassVar[str]
    name: str
    kind: str
    variable: Variable | None
    missing: tuple[str, ...] = ()
    values: str = ""
    num_missing: int = 0
    decided: str = ""
    stored: tuple[Any, ...] = ()
    guessed: tuple[str, ...] = ()

    @property
    def no_value(self) -> tuple[str, ...]:
        """Texts that stand for no value: the empty one is a value where texts were stored."""
        return self.missing if is_text(dtype_of(self.stored)) else (*self.missing, "")

    @abstractmethod
    def encode(self, cells: Cells, say: Say = warn_of_place) -> np.ndarray:
        """Values (N,) float64 of the cells, NaN where missing.

        Args:
            cells: The column in a table.
            say: Hears of values that train did not have.

        Raises:
            ValueError: For a cell that is no value of this column, with where it stands.
        """

    @abstractmethod
    def decode(self, values: np.ndarray) -> pl.Series:
        """Texts (N,) of values, null where NaN, written as the column is."""

    def check(self, raw: RawColumn, say: Say = warn_of_place) -> None:  # noqa: B027
        """Say which cells of a column that is kept aside are unlike those of train."""

    def on_grid(self, values: np.ndarray, shift: int = 0) -> np.ndarray:
        """Draws (N,) rounded to the grid of the column, if it has one; or points farther on it."""
        return values

    def to_dict(self) -> dict[str, Any]:
        """Only plain values, as JSON holds them."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, value in content.items():
            if isinstance(value, Variable | Format):
                content[name] = value.to_dict()
            elif isinstance(value, tuple):
                content[name] = list(value)
        return {"holds": self.holds, **content}
