"""The columns of a table: what each holds, and how its cells become numbers and back."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.cells import bare_texts, is_temporal, labels_of, moments_of
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.raw import RawColumn
from made_exp.variables.variable import Kind, Variable

_log = logging.getLogger(__name__)
IMPOSSIBLE = -1.0
"""The number of what a binary column cannot hold: probability zero."""
FORMATS: dict[str, type[Format]] = {"number": NumberFormat, "date": DateFormat}


@dataclass(frozen=True)
class Column(ABC):
    """One column of a table.

    Attributes:
        name: As in the header.
        kind: What it holds, as the user reads and writes it.
        variable: What the model sees of it; None where it is kept aside.
        missing: Texts that stand for no value, beside the empty one.
    """

    holds: ClassVar[str]
    name: str
    kind: str
    variable: Variable | None
    missing: tuple[str, ...]

    @abstractmethod
    def encode(self, raw: RawColumn) -> np.ndarray:
        """Values (N,) float64 of the cells, NaN where missing.

        Raises:
            ValueError: For a cell that is no value of this column, with where it stands.
        """

    @abstractmethod
    def decode(self, values: np.ndarray) -> pl.Series:
        """Texts (N,) of values, null where NaN, written as the column is."""

    def to_dict(self) -> dict[str, Any]:
        """Only plain values, as JSON holds them."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, value in content.items():
            if isinstance(value, Variable | Format):
                content[name] = value.to_dict()
            elif isinstance(value, tuple):
                content[name] = list(value)
        return {"holds": self.holds, **content}


@final
@dataclass(frozen=True)
class Categories(Column):
    """Values without order: texts, few whole numbers, truth values.

    Attributes:
        spellings: How the values 0..K-1 are written; those of the variable are without spaces
            around them, and whole numbers without point.
    """

    holds: ClassVar[str] = "categories"
    spellings: tuple[str, ...]

    @cached_property
    def _codes(self) -> dict[str, float]:
        assert self.variable is not None
        assert self.variable.categories is not None
        return {text: float(code) for code, text in enumerate(self.variable.categories)}

    @override
    def encode(self, raw: RawColumn) -> np.ndarray:
        assert self.variable is not None
        assert self.variable.num_values is not None
        texts = labels_of(bare_texts(raw, self.missing))
        distinct = texts.drop_nulls().unique(maintain_order=True)
        unseen = self.variable.num_values - 1.0 if self.variable.pooled else IMPOSSIBLE
        codes = [self._code(text, unseen) for text in distinct]
        odd = [text for text, code in zip(distinct, codes, strict=True) if code == unseen]
        if odd:
            self._say_unseen(raw, texts, odd, has_pool=bool(self.variable.pooled))
        if not codes:
            return np.full(len(texts), np.nan)
        numbers = texts.replace_strict(distinct, codes, default=None, return_dtype=pl.Float64)
        return numbers.fill_null(np.nan).to_numpy()

    def _code(self, text: str, unseen: float) -> float:
        return self._codes.get(text, self._folded.get(text.lower(), unseen))

    @cached_property
    def _folded(self) -> dict[str, float]:
        """Truth values in any case: True in one file, TRUE or true in another."""
        lower = {text.lower(): code for text, code in self._codes.items()}
        return lower if lower.keys() <= {"true", "false"} else {}

    def _say_unseen(
        self, raw: RawColumn, texts: pl.Series, odd: list[str], *, has_pool: bool
    ) -> None:
        rows = texts.is_in(odd).fill_null(False).arg_true()
        chance = "they share what is kept for such values" if has_pool else "their probability is 0"
        _log.warning(
            "%s: '%s' was never seen in training%s; %s",
            raw.place(int(rows[0])),
            odd[0],
            f" (nor were {len(rows) - 1} more cells)" if len(rows) > 1 else "",
            chance,
        )

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        known = ~np.isnan(values)
        codes = np.where(known, np.round(np.nan_to_num(values)), 0).astype(np.int64)
        # What stands for values never seen has no text: the most frequent of the rare ones has.
        codes = np.clip(codes, 0, len(self.spellings) - 1)
        texts = pl.Series(self.name, self.spellings, dtype=pl.String).gather(codes)
        return texts.set(pl.Series(~known), None)


@final
@dataclass(frozen=True)
class Numbers(Column):
    """Numbers, dates or times: integer columns count units from an offset on.

    Attributes:
        format: How they are written.
        offset: The number, in units, that value 0 of an integer variable stands for.
        decimals: Of a number written with few decimals and modelled as a whole number of units
            of its last digit; 0 else.
        low: Draws of a real variable are not below it.
        high: Draws of a real variable are not above it.
    """

    holds: ClassVar[str] = "numbers"
    format: Format
    offset: int = 0
    decimals: int = 0
    low: float | None = None
    high: float | None = None

    @override
    def encode(self, raw: RawColumn) -> np.ndarray:
        assert self.variable is not None
        numbers = self.numbers(raw)
        if self.variable.kind is not Kind.INTEGER:
            return numbers.cast(pl.Float64).fill_null(np.nan).to_numpy()
        whole = self.whole(raw, numbers)
        known = whole.is_not_null().to_numpy()
        values = (whole.fill_null(self.offset) - self.offset).to_numpy().astype(np.float64)
        high = (self.variable.num_values or 1) - 1.0
        outside = np.flatnonzero(known & ((values < 0) | (values > high)))
        if len(outside):
            self._say_outside(raw, outside)
        return np.where(known, np.clip(values, 0, high), np.nan)

    def numbers(self, raw: RawColumn) -> pl.Series:
        """Int64 or Float64 (N,) of the cells, null where missing.

        Raises:
            ValueError: For a cell that is none, with where it stands.
        """
        if isinstance(self.format, DateFormat) and is_temporal(raw.values.dtype):
            return self.format.count(moments_of(raw))
        if isinstance(self.format, NumberFormat) and raw.values.dtype.is_numeric():
            return self._typed(raw)
        texts = bare_texts(raw, self.missing)
        numbers = parsed(texts, self.format)
        bad = texts.is_not_null() & numbers.is_null()
        if bad.any():
            what = "a number" if isinstance(self.format, NumberFormat) else "a date"
            like = "" if what == "a number" else f" written as {self.format.describe()}"
            raise raw.error(int(bad.arg_true()[0]), f"is not {what}{like}")
        return numbers

    def _typed(self, raw: RawColumn) -> pl.Series:
        tokens = [number for text in self.missing if (number := _number(text)) is not None]
        values = raw.values
        if tokens:
            is_token = values.cast(pl.Float64).is_in(tokens).fill_null(False)
            values = values.set(is_token, None)
        infinite = values.is_infinite() if values.dtype.is_float() else None
        if infinite is not None and infinite.any():
            raise raw.error(int(infinite.arg_true()[0]), "is not a finite number")
        return values

    def whole(self, raw: RawColumn, numbers: pl.Series) -> pl.Series:
        """Int64 units (N,) of numbers (N,), null where missing.

        Raises:
            ValueError: For a number between two units, with where it stands.
        """
        if numbers.dtype == pl.Int64:
            return numbers * 10**self.decimals
        scaled = numbers * 10.0**self.decimals
        whole = scaled.round()
        odd = ((scaled - whole).abs() > 1e-6 * scaled.abs().clip(1.0)).fill_null(False)
        if odd.any():
            digits = f" with {self.decimals} decimals" if self.decimals else ""
            what = f"is not a number{digits}" if self.decimals else "is not a whole number"
            raise raw.error(int(odd.arg_true()[0]), what)
        return whole.cast(pl.Int64)

    def _say_outside(self, raw: RawColumn, rows: np.ndarray) -> None:
        assert self.variable is not None
        last = float((self.variable.num_values or 1) - 1)
        low, high = self.decode(np.array([0.0, last]))
        more = f" (and {len(rows) - 1} more cells)" if len(rows) > 1 else ""
        value = raw.values[int(rows[0])]
        _log.warning(
            "%s: '%s'%s is outside %s..%s, what the model reaches; it counts as the end of it",
            raw.place(int(rows[0])), value, more, low, high,
        )  # fmt: skip

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        assert self.variable is not None
        known = ~np.isnan(values)
        numbers = np.asarray(values, np.float64)[known]
        if self.variable.kind is Kind.INTEGER:
            last = (self.variable.num_values or 1) - 1
            units = np.clip(np.round(numbers), 0, last).astype(np.int64) + self.offset
            numbers = units / 10**self.decimals if self.decimals else units
        else:
            numbers = np.clip(numbers, self.low, self.high)
        texts = np.full(len(values), None, dtype=object)
        texts[known] = self.format.write(numbers).to_list()
        return pl.Series(self.name, texts.tolist(), dtype=pl.String)


@final
@dataclass(frozen=True)
class Aside(Column):
    """A column that is not modelled: constant, an identifier, or without any value.

    Attributes:
        text: What every row of a constant column holds; None in other columns.
        next_number: With which number draws of an identifier go on; None: they have none.
    """

    holds: ClassVar[str] = "aside"
    text: str | None = None
    next_number: int | None = None

    @override
    def encode(self, raw: RawColumn) -> np.ndarray:
        raise AssertionError(f"'{self.name}' is kept aside")

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        if self.next_number is not None:
            numbers = pl.Series(np.arange(len(values))) + self.next_number
            return numbers.cast(pl.String).alias(self.name)
        return pl.Series(self.name, [self.text] * len(values), dtype=pl.String)


COLUMNS: dict[str, type[Column]] = {one.holds: one for one in (Categories, Numbers, Aside)}


def column_from_dict(content: Mapping[str, Any]) -> Column:
    """The inverse of `Column.to_dict`."""
    given = dict(content)
    kind = COLUMNS[given.pop("holds")]
    if given["variable"] is not None:
        given["variable"] = Variable.from_dict(given["variable"])
    if "format" in given:
        form = dict(given["format"])
        given["format"] = FORMATS[form.pop("name")](**form)
    fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
    return kind(**fields)


def parsed(texts: pl.Series, form: Format) -> pl.Series:
    """The numbers of texts (N,); where many repeat, each different one is parsed once."""
    distinct = texts.unique()
    if len(distinct) > len(texts) // 2:
        return form.parse(texts)
    numbers = form.parse(distinct)
    return texts.replace_strict(distinct, numbers, default=None, return_dtype=numbers.dtype)


def _number(text: str) -> float | None:
    try:
        return float(text) if math.isfinite(float(text)) else None
    except ValueError:
        return None
