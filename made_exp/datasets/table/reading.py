"""What was understood of a column, and what to type where it is to be another way."""

import shlex
from dataclasses import dataclass, field
from typing import final

import polars as pl

from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.raw import quoted


@final
@dataclass
class Reading:
    """What was understood of a column.

    Attributes:
        kind: One of `registry.KINDS`, or "constant" or "empty".
        form: How numbers and dates are written; None for other kinds.
        missing: Texts that stand for no value, beside the empty one.
        decided: Why, in a few words, where that is not plain.
        suspicions: What the user should look at, in a line each.
        numbers: (K,) of the texts of the cells, where they are written numbers or dates.
        guessed: Texts among `missing` that nobody said stand for no value, such as 65+ of ages.
        own: Texts that are values of their own, see `spaces.own_texts`.
    """

    kind: str
    form: Format | None = None
    missing: tuple[str, ...] = ()
    decided: str = ""
    suspicions: list[str] = field(default_factory=list)
    numbers: pl.Series | None = None
    guessed: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def kind_of(form: Format, numbers: pl.Series) -> str:
    """Date, integer or real: what numbers (K,) written in this form are."""
    if isinstance(form, DateFormat):
        return "date"
    is_exponential = isinstance(form, NumberFormat) and form.style == "exponent"
    return "integer" if numbers.dtype.is_integer() and not is_exponential else "real"


def setting(name: str, column: str, value: str) -> str:
    """What to type to overrule a decision on a column."""
    return shlex.quote(f"dataset.{name}={{{quoted(column)}: {value}}}")
