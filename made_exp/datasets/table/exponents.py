"""Exponents as a column writes them: 1e-09 of C and Python, 1e-9 of JavaScript, 1E9 of Java."""

import re
from typing import NamedTuple

import polars as pl

_WRITTEN = re.compile(r"e([+-])0*(\d+)$")


class ExponentForm(NamedTuple):
    """How exponents are written.

    Attributes:
        exponent_sign: What they begin with.
        exponent_plus: What those above zero have then.
        exponent_digits: How many digits they have at least.
    """

    exponent_sign: str = "e"
    exponent_plus: str = "+"
    exponent_digits: int = 2

    def apply(self, text: str) -> str:
        """A number as Python writes it, with its exponent in this form."""
        return _WRITTEN.sub(self._written, text)

    def _written(self, found: re.Match[str]) -> str:
        sign = "-" if found[1] == "-" else self.exponent_plus
        return self.exponent_sign + sign + found[2].zfill(self.exponent_digits)

    @classmethod
    def of_texts(cls, texts: pl.Series) -> "ExponentForm":
        """What most of the numbers (K,) have that have an exponent."""
        parts = texts.str.extract_groups(r"([eE])([+-]?)(\d+)$").struct.unnest().drop_nulls()
        letters, signs, digits = parts.get_columns()
        above = signs.filter(signs != "-")
        padded = digits.filter(digits.str.contains("^0|^.$")).str.len_chars()
        return cls(
            "E" if "E" in letters else "e",
            "+" if not len(above) else str(_usual(above)),
            int(str(_usual(padded))) if len(padded) else 2,
        )


def _usual(values: pl.Series) -> object:
    return values.mode().sort()[-1]
