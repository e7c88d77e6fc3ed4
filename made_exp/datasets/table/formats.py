"""How values of a column are written: texts to numbers and back, in whole columns."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import polars as pl

LEADING_ZERO = r"^[+-]?0\d"
"""How a code such as 007 begins, which is no number."""


class Format(ABC):
    """One way to write numbers, dates or times; texts are parsed and written a column at once.

    Attributes:
        name: What kind of format it is, in `to_dict`.
    """

    name: ClassVar[str]

    @abstractmethod
    def parse(self, texts: pl.Series) -> pl.Series:
        """Int64, Int128 or Float64 (N,) of texts (N,), null where a text is not written so."""

    @abstractmethod
    def write(self, values: np.ndarray) -> pl.Series:
        """Texts (N,) of values (N,), int64 or float64, none of them missing."""

    @abstractmethod
    def describe(self) -> str:
        """What is peculiar to it, in a few words, or ""."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Only plain values, as JSON holds them, with `name`."""
