"""The columns of a user's table: what each holds, and how its texts become numbers and back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from made_exp.variables.variable import Variable

MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})
WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)(\.0*)?")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Cells:
    """The texts of one column and where they stand, for messages.

    Attributes:
        name: The column's name.
        texts: (N,) texts without surrounding space.
        lines: (N,) line numbers in the file, from 1.
        source: How messages call the file.
    """

    name: str
    texts: Sequence[str]
    lines: Sequence[int]
    source: str

    def error(self, row: int, message: str) -> ValueError:
        """What is wrong with the cell in this row."""
        return ValueError(
            f"{self.source}, line {self.lines[row]}, column '{self.name}': "
            f"'{self.texts[row]}' {message}"
        )

    def distinct(self) -> list[str]:
        """The different texts that are not missing, in order of appearance."""
        return list(dict.fromkeys(plain(t) for t in self.texts if not is_missing(t)))


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        variable: What the model sees; its categories are the texts of the values 0..K-1 of a
            binary or categorical column.
        offset: The whole number that value 0 of an integer column stands for.
        decimals: Digits after the point with which a real column is written.
    """

    variable: Variable
    offset: int = 0
    decimals: int = 0

    def encode(self, cells: Cells) -> np.ndarray:
        """Values (N,) float64 of texts, NaN where missing.

        Raises:
            ValueError: For a text that is no value of this column, with line and column.
        """
        if self.variable.categories is not None:
            return self._encode_categories(cells, self.variable.categories)
        if self.variable.num_values is None:
            return read_numbers(cells, NUMBER, "is not a number")
        values = read_numbers(cells, WHOLE, "is not a whole number") - self.offset
        high = self.variable.num_values - 1
        outside = np.flatnonzero((values < 0) | (values > high))
        if len(outside):
            limits = f"{self.offset}..{self.offset + high}"
            raise cells.error(int(outside[0]), f"is outside {limits}, the range of the table")
        return values

    def _encode_categories(self, cells: Cells, categories: tuple[str, ...]) -> np.ndarray:
        index = {text: number for number, text in enumerate(categories)}
        values = np.full(len(cells.texts), np.nan)
        for row, text in enumerate(cells.texts):
            if not is_missing(text):
                number = index.get(plain(text))
                if number is None:
                    known = ", ".join(categories[:8]) + (", ..." if len(categories) > 8 else "")
                    raise cells.error(row, f"is not a known category (have: {known})")
                values[row] = number
        return values

    def decode(self, values: np.ndarray) -> list[str]:
        """Texts of values (N,); empty where NaN."""
        return ["" if np.isnan(v) else self._text(float(v)) for v in values]

    def _text(self, value: float) -> str:
        if self.variable.num_values is None:
            if self.decimals > 0:
                return f"{value:.{self.decimals}f}"
            return f"{value:.9g}" if self.decimals < 0 else str(round(value))
        number = min(max(round(value), 0), self.variable.num_values - 1)
        if self.variable.categories is not None:
            return self.variable.categories[number]
        return str(self.offset + number)


@dataclass(frozen=True)
class TableSchema:
    """All columns of a table, in their order in x.

    Attributes:
        columns: One per variable.
        delimiter: What separates the fields of a line.
    """

    columns: tuple[Column, ...]
    delimiter: str = ","

    @property
    def names(self) -> tuple[str, ...]:
        """The header."""
        return tuple(column.variable.name for column in self.columns)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What the model is built for."""
        return tuple(column.variable for column in self.columns)

    def encode(self, cells: Sequence[Cells]) -> np.ndarray:
        """The table (N, D) float64 of the texts of every column, NaN where missing."""
        encoded = [column.encode(c) for column, c in zip(self.columns, cells, strict=True)]
        return np.stack(encoded, axis=1)

    def decode(self, x: np.ndarray) -> list[list[str]]:
        """Rows of texts of x (N, D), empty where NaN."""
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise ValueError(f"x must have shape (N, {len(self.columns)}), got {x.shape}")
        columns = [column.decode(x[:, d]) for d, column in enumerate(self.columns)]
        return [list(row) for row in zip(*columns, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Only plain values, as JSON holds them."""
        columns = [
            {**column.variable.to_dict(), "offset": column.offset, "decimals": column.decimals}
            for column in self.columns
        ]
        return {"columns": columns, "delimiter": self.delimiter}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "TableSchema":
        """The inverse of `to_dict`.

        Raises:
            ValueError: If `content` does not describe a table.
        """
        try:
            columns = tuple(_column_from_dict(c) for c in content["columns"])
            return cls(columns, str(content["delimiter"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the description of a table: {error}") from error


def _column_from_dict(content: Mapping[str, Any]) -> Column:
    variable = dict(content)
    offset, decimals = variable.pop("offset"), variable.pop("decimals")
    return Column(Variable.from_dict(variable), offset, decimals)


def is_missing(text: str) -> bool:
    """Whether the text stands for no value."""
    return text.lower() in MISSING


def plain(text: str) -> str:
    """The text, with 3.0 and 3 alike: many programs write whole numbers with a point."""
    whole = WHOLE.fullmatch(text)
    return text[: whole.start(2)] if whole and whole.group(2) else text


def read_numbers(cells: Cells, pattern: re.Pattern[str], message: str) -> np.ndarray:
    """Values (N,) float64 of texts, NaN where missing.

    Raises:
        ValueError: For a text that does not match the pattern or is not a finite float32.
    """
    values = np.full(len(cells.texts), np.nan)
    for row, text in enumerate(cells.texts):
        if not is_missing(text):
            if not pattern.fullmatch(text):
                raise cells.error(row, message)
            values[row] = float(text)
            if not abs(values[row]) < float(np.finfo(np.float32).max):
                raise cells.error(row, "is too large")
    return values
