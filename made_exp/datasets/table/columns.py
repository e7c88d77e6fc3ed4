"""The columns of a table: what each holds, and how its cells become numbers and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.cells import Cells, as_labels, is_temporal, moments_of
from made_exp.datasets.table.column import Column, Say, warn_of_place
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.instants import iso_moments
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.stored import dtype_of
from made_exp.variables.variable import Variable

IMPOSSIBLE = -1.0
"""The number of what a binary column cannot hold: probability zero."""
_TRUTHS = (("false", "true"), ("0", "1"))
"""How programs write the two truth values, in any case."""
_GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly over 0..1
FORMATS: dict[str, type[Format]] = {"number": NumberFormat, "date": DateFormat}


@final
@dataclass(frozen=True, kw_only=True)
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

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """(K,) float64, what the values mean where all of them are plain finite numbers, else None.

        NaN stands for values never seen, which have no name.
        """
        assert self.variable is not None
        names = self.variable.categories or ()
        parsed = NumberFormat().parse(pl.Series(names, dtype=pl.String)).cast(pl.Float64)
        if not names or parsed.null_count():
            return None
        found = np.full(self.variable.num_values or 0, np.nan)
        found[: len(names)] = parsed.to_numpy()
        return found

    @override
    def encode(self, cells: Cells, say: Say = warn_of_place) -> np.ndarray:
        assert self.variable is not None
        assert self.variable.num_values is not None
        labels = as_labels(cells.known(self.missing))
        unseen = self.variable.num_values - 1.0 if self.variable.pooled else IMPOSSIBLE
        codes = np.array(
            [np.nan if text is None else self._code(text, unseen) for text in labels], np.float64
        )
        odd = codes == unseen
        if odd.any():
            chosen = pl.Series(odd)
            chance = "share what is kept for such" if self.variable.pooled else "have probability 0"
            what = f"not in the training rows: such values {chance}"
            say(cells.raw, cells.first_row(chosen), cells.count_rows(chosen), what)
        return cells.spread(pl.Series(codes)).fill_null(np.nan).to_numpy()

    def _code(self, text: str, unseen: float) -> float:
        return self._codes.get(text, self.truths.get(text.lower(), unseen))

    @cached_property
    def truths(self) -> dict[str, float]:
        """Codes of truth values in any dress: True in one file, TRUE or 1 in another."""
        lower = {text.lower(): code for text, code in self._codes.items()}
        if not any(lower.keys() <= {*pair} for pair in _TRUTHS):
            return {}
        words = {word: code for pair in _TRUTHS for code, word in enumerate(pair)}
        own = {words[text]: code for text, code in lower.items()}
        return {word: own[truth] for word, truth in words.items() if truth in own}

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        known = ~np.isnan(values)
        codes = np.where(known, np.round(np.nan_to_num(values)), 0).astype(np.int64)
        last = len(self.spellings) - 1
        unseen = np.flatnonzero(codes > last)
        codes = np.clip(codes, 0, last)
        codes[unseen] = self._in_place_of_unseen(len(unseen))
        texts = pl.Series(self.name, self.spellings, dtype=pl.String).gather(codes)
        return texts.set(pl.Series(~known), None)

    def _in_place_of_unseen(self, count: int) -> np.ndarray:
        """Codes of rare values, by their shares: what stands for values never seen has no text."""
        assert self.variable is not None
        shares = np.cumsum(self.variable.pooled[:-1])
        if not len(shares):
            return np.zeros(count, np.int64)
        places = (np.arange(count) * _GOLDEN + 0.5) % 1 * shares[-1]
        return len(self.spellings) - len(shares) + np.searchsorted(shares, places)


@final
@dataclass(frozen=True, kw_only=True)
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
    def encode(self, cells: Cells, say: Say = warn_of_place) -> np.ndarray:
        assert self.variable is not None
        numbers = self.numbers(cells)
        if self.variable.num_values is None:
            return numbers.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return self.shifted(cells, self.whole(cells, numbers), say)

    @property
    def clock(self) -> str | None:
        """The zone whose clock its moments are on, for `on_clock_of`; None where it has none."""
        zone = getattr(dtype_of(self.stored), "time_zone", None)
        return zone or (self.format.clock if isinstance(self.format, DateFormat) else None)

    def numbers(self, cells: Cells) -> pl.Series:
        """Int64 or Float64 (N,) of the cells, null where missing.

        Dates may also be written plainly, with or without an offset.

        Raises:
            ValueError: For a cell that is none, with where it stands.
        """
        dtype = cells.raw.values.dtype
        if isinstance(self.format, DateFormat) and is_temporal(dtype):
            moments = moments_of(cells.raw, self.clock)
            counted = self.format.count(moments)
            finer = counted.is_null() & moments.is_not_null()
            if finer.any():
                what = f"is finer than the {self.format.unit} that the model knows"
                raise cells.raw.error(int(finer.arg_max() or 0), f"{what}; round it")
            return counted
        if isinstance(self.format, NumberFormat) and dtype.is_numeric():
            return self._typed(cells)
        texts = cells.known(self.missing)
        numbers = self.format.parse(texts)
        bad = texts.is_not_null() & numbers.is_null()
        if bad.any() and isinstance(self.format, DateFormat):
            plain = self.format.count(iso_moments(texts.set(~bad, None), self.clock))
            numbers = numbers.zip_with(~bad, plain)
            bad &= numbers.is_null()
        if bad.any():
            what = "a number" if isinstance(self.format, NumberFormat) else "a date"
            form = self.format.describe()
            like = f" written as {form}" if form else ""
            raise cells.raw.error(cells.first_row(bad), f"is not {what}{like}")
        return cells.spread(numbers)

    def _typed(self, cells: Cells) -> pl.Series:
        tokens = [number for text in self.missing if (number := _number(text)) is not None]
        values = cells.raw.values
        if tokens:
            is_token = values.cast(pl.Float64).is_in(tokens).fill_null(False)
            values = values.set(is_token, None)
        infinite = values.is_infinite() if values.dtype.is_float() else None
        if infinite is not None and infinite.any():
            raise cells.raw.error(
                int(infinite.arg_max() or 0), "is not a finite number; correct it or leave it empty"
            )
        return values

    def whole(self, cells: Cells, numbers: pl.Series) -> pl.Series:
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
            raise cells.raw.error(int(odd.arg_max() or 0), what)
        return whole.cast(pl.Int64)

    def shifted(self, cells: Cells, whole: pl.Series, say: Say) -> np.ndarray:
        """Values (N,) float64 of whole units (N,), within the range; those outside are said."""
        assert self.variable is not None
        values = (whole - self.offset).cast(pl.Float64).fill_null(np.nan).to_numpy()
        high = (self.variable.num_values or 1) - 1.0
        outside = np.flatnonzero((values < 0) | (values > high))
        if len(outside):
            low, high = self.decode(np.array([0.0, high]))
            what = f"outside {low}..{high}, what the model reaches: they count as the end of it"
            say(cells.raw, int(outside[0]), len(outside), what)
        return np.clip(values, 0, (self.variable.num_values or 1) - 1.0)

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        assert self.variable is not None
        known = ~np.isnan(values)
        numbers = np.asarray(values, np.float64)[known]
        if self.variable.num_values is not None:
            last = (self.variable.num_values or 1) - 1
            units = np.clip(np.round(numbers), 0, last).astype(np.int64) + self.offset
            numbers = units / 10**self.decimals if self.decimals else units
        else:
            numbers = np.clip(numbers, self.low, self.high)
        texts = np.full(len(values), None, dtype=object)
        texts[known] = self.format.write(numbers).to_list()
        return pl.Series(self.name, texts.tolist(), dtype=pl.String)


@final
@dataclass(frozen=True, kw_only=True)
class Aside(Column):
    """A column that is not modelled: constant, an identifier, or without any value.

    Attributes:
        text: What every row of a constant column holds; None in other columns.
        next_number: With which number draws of an identifier go on; None: they have none.
        width: How many digits these have at least, as in 00060; 0 where none begins with a zero.
    """

    holds: ClassVar[str] = "aside"
    text: str | None = None
    next_number: int | None = None
    width: int = 0

    @override
    def encode(self, cells: Cells, say: Say = warn_of_place) -> np.ndarray:
        raise AssertionError(f"'{self.name}' is kept aside")

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        if self.next_number is not None:
            numbers = pl.Series(np.arange(len(values))) + self.next_number
            return numbers.cast(pl.String).str.zfill(self.width).alias(self.name)
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


def _number(text: str) -> float | None:
    try:
        return float(text) if math.isfinite(float(text)) else None
    except ValueError:
        return None
