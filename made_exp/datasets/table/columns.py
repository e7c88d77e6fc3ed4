"""Columns of numbers, those that are kept aside, and the columns that there are by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.alike import same_value
from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.cells import Cells, is_temporal, moments_of, number_of
from made_exp.datasets.table.column import Column, Say, warn_of_place
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.grids import NO_GRID, Grid, nearest_on
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.raw import RawColumn
from made_exp.datasets.table.reading import setting
from made_exp.datasets.table.stored import dtype_of
from made_exp.datasets.table.undressed import either, read_plainly
from made_exp.datasets.table.whole import minus, plus, steps_in, times, within_reach
from made_exp.variables.variable import Variable

FORMATS: dict[str, type[Format]] = {"number": NumberFormat, "date": DateFormat}


@final
@dataclass(frozen=True, kw_only=True)
class Numbers(Column):
    """Numbers, dates or times: integer columns count units from an offset on.

    Attributes:
        format: How they are written.
        offset: The number, in units, that value 0 of an integer variable stands for.
        decimals: Of a number written with few decimals and modelled as a whole number of units
            of its last digit; 0 else.
        step: How many units lie between one value of an integer variable and the next.
        low: Draws of a real variable are not below it.
        high: Draws of a real variable are not above it.
        grid: What draws are rounded to, as all values of the table lie on it; in values of an
            integer variable, in units of the last digit of a real one.
    """

    holds: ClassVar[str] = "numbers"
    format: Format
    offset: int = 0
    decimals: int = 0
    step: int = 1
    low: float | None = None
    high: float | None = None
    grid: Grid = NO_GRID

    @override
    def encode(self, cells: Cells, say: Say = warn_of_place) -> np.ndarray:
        assert self.variable is not None
        numbers = self.numbers(cells, say)
        if self.variable.num_values is None:
            return numbers.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return self.shifted(cells, self.whole(cells, numbers, say), say)

    @property
    def clock(self) -> str | None:
        """The zone whose clock its moments are on, for `on_clock_of`; None where it has none."""
        zone = getattr(dtype_of(self.stored), "time_zone", None)
        return zone or (self.format.clock if isinstance(self.format, DateFormat) else None)

    def numbers(self, cells: Cells, say: Say | None = None) -> pl.Series:
        """Int64, Int128 or Float64 (N,) of the cells, null where missing.

        Dates may also be written plainly, with or without an offset; those finer than what is
        counted are taken as the month, day, minute or second in which they lie, and said.
        Numbers may, where somebody hears of it.

        Raises:
            ValueError: For a cell that is none, with where it stands; for a finer date if nobody
                hears of it.
        """
        dtype = cells.raw.values.dtype
        if isinstance(self.format, DateFormat) and is_temporal(dtype):
            moments = moments_of(cells.raw, self.clock, self.missing)
            return self._counted(cells, self.format, moments, say)
        if isinstance(self.format, NumberFormat) and dtype.is_numeric():
            return self._typed(cells)
        texts = cells.known((*self.missing, ""))
        numbers = self.format.parse(texts)
        is_bad = texts.is_not_null() & numbers.is_null()
        if not is_bad.any():
            return cells.spread(numbers)
        numbers, rest = cells.spread(numbers), texts.set(~is_bad, None)
        if isinstance(self.format, DateFormat):
            moments = cells.spread(self.format.plain_moments(rest, self.clock))
            numbers = either(numbers, self._counted(cells, self.format, moments, say))
        elif isinstance(self.format, NumberFormat) and say is not None:
            numbers = either(numbers, read_plainly(cells, self.format, rest, say))
        bad = cells.spread(is_bad).fill_null(False) & numbers.is_null()
        if bad.any():
            what = "a number" if isinstance(self.format, NumberFormat) else "a date"
            form = self.format.describe()
            like = f" written as {form}" if form else ""
            raise cells.raw.error(int(bad.arg_max() or 0), f"is not {what}{like}")
        return numbers

    def _counted(
        self, cells: Cells, form: DateFormat, moments: pl.Series, say: Say | None
    ) -> pl.Series:
        """Units (N,) of microseconds (N,)."""
        counted = form.count(moments)
        finer = counted.is_null() & moments.is_not_null()
        if not finer.any():
            return counted
        row, what = int(finer.arg_max() or 0), f"finer than the {form.unit} that the model knows"
        if say is None:
            raise cells.raw.error(row, f"is {what}; round it")
        say(cells.raw, row, int(finer.sum()), f"{what}: counted as those in which they lie")
        return form.last_before(moments)

    def _typed(self, cells: Cells) -> pl.Series:
        tokens = [number for text in self.missing if (number := number_of(text)) is not None]
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

    def whole(self, cells: Cells, numbers: pl.Series, say: Say | None = None) -> pl.Series:
        """Units (N,) of numbers (N,), Int64 or Int128, null where missing.

        Those between two units are taken as the nearest and said.

        Raises:
            ValueError: If nobody hears of them, with where the first stands.
        """
        if numbers.dtype.is_integer():
            return times(numbers, 10**self.decimals)
        scaled = within_reach(numbers * 10.0**self.decimals)
        whole = scaled.round()
        rounding = (1e-14 * scaled.abs()).clip(1e-6)
        odd = ((scaled - whole).abs() > rounding).fill_null(False)
        if odd.any():
            what = f"a number with {self.decimals} decimals" if self.decimals else "a whole number"
            real = setting("kinds", self.name, "real")
            if say is None:
                raise cells.raw.error(int(odd.arg_max() or 0), f"is not {what}; set {real}")
            what = f"not {what}: counted as the nearest, or train with {real}"
            say(cells.raw, int(odd.arg_max() or 0), int(odd.sum()), what)
        return whole.cast(pl.Int128)

    def shifted(self, cells: Cells, whole: pl.Series, say: Say) -> np.ndarray:
        """Values (N,) float64 of whole units (N,); those outside of the range are said."""
        assert self.variable is not None
        counted, finer = steps_in(minus(whole, self.offset), self.step)
        if finer.any():
            what = f"between two steps of {self._seconds:.9g} seconds: counted as the earlier"
            say(cells.raw, int(finer.arg_max() or 0), int(finer.sum()), what)
        values = counted.cast(pl.Float64).fill_null(np.nan).to_numpy()
        high = (self.variable.num_values or 1) - 1.0
        outside = np.flatnonzero((values < 0) | (values > high))
        if len(outside):
            low, high = self.decode(np.array([0.0, high]))
            given = self.variable.is_given
            far = "train had none there" if given else "the less likely the farther"
            what = f"outside {low}..{high}, what the model reaches: {far}"
            say(cells.raw, int(outside[0]), len(outside), what)
        return values

    @property
    def _seconds(self) -> float:
        """What a step of dates, times or durations is worth."""
        if isinstance(self.format, DateFormat):
            return self.step * self.format.microseconds / 10**6
        return self.step / 10**self.decimals

    @override
    def decode(self, values: np.ndarray) -> pl.Series:
        assert self.variable is not None
        known = ~np.isnan(values)
        numbers = np.asarray(values, np.float64)[known]
        if self.variable.num_values is not None:
            last = (self.variable.num_values or 1) - 1
            counted = np.clip(np.round(numbers), 0, last).astype(np.int64)
            units = plus(counted * self.step, self.offset)
            numbers = (units / 10**self.decimals).astype(float) if self.decimals else units
        else:
            numbers = np.clip(numbers, self.low, self.high)
        texts = np.full(len(values), None, dtype=object)
        texts[known] = self.format.write(numbers).to_list()
        return pl.Series(self.name, texts.tolist(), dtype=pl.String)

    @override
    def on_grid(self, values: np.ndarray, shift: int = 0) -> np.ndarray:
        if self.grid == NO_GRID or self.variable is None:
            return values
        ends = 0.0, (self.variable.num_values or 1) - 1.0
        if self.variable.is_real:
            ends = self.low or 0.0, self.high or 0.0
        units = 10**self._num_decimals
        atoms = np.array(self.atoms)  # such as -1: they need not lie on it
        beside = atoms[~np.isclose(nearest_on(self.grid, atoms, ends, units), atoms)]
        on_it = nearest_on(self.grid, values, ends, units, shift)
        return np.where(np.isin(values, beside), values, on_it)

    @property
    def atoms(self) -> tuple[float, ...]:
        """The values of its variable that have a probability of their own."""
        return () if self.variable is None else self.variable.atoms

    @property
    def _num_decimals(self) -> int:
        """Of the units in which the values of the variable are counted."""
        is_real = self.variable is not None and self.variable.is_real
        return self.format.decimals if is_real and isinstance(self.format, NumberFormat) else 0

    @property
    def grid_written(self) -> str:
        """How far apart draws are, such as 0.05 or 7 days; "" where they have no grid."""
        if self.grid == NO_GRID:
            return ""
        units = self.grid[0] * self.step
        if not isinstance(self.format, DateFormat):
            return f"{Decimal(units).scaleb(-self._num_decimals - self.decimals).normalize():f}"
        if self.format.unit == "fraction":
            return f"{units * self.format.microseconds / 10**6:g} seconds"
        return f"{units} {self.format.unit}"


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
    def check(self, raw: RawColumn, say: Say = warn_of_place) -> None:
        if self.kind not in ("constant", "empty"):
            return
        cells = Cells.of(raw)
        known = cells.known(self.no_value)
        odd = known.is_not_null()
        if self.text is not None:
            odd &= ~same_value(known, self.text)
        if odd.any():
            was = "empty" if self.text is None else f"'{self.text[:60]}'"
            what = f"unlike train, where all cells are {was}: scores do not look at it"
            say(raw, cells.first_row(odd), cells.count_rows(odd), what)

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
