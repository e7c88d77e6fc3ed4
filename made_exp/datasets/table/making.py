"""From what was understood of a column and its training values to the column as it is modelled."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.column import Column, Say
from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.digits import Fineness, fineness
from made_exp.datasets.table.fitting import Limits, fit_numbers
from made_exp.datasets.table.grids import grid_of
from made_exp.datasets.table.inference import MAX_SPAN
from made_exp.datasets.table.numbers import MAX_DECIMALS, NumberFormat
from made_exp.datasets.table.pooling import pool_rare
from made_exp.datasets.table.raw import leaving_out
from made_exp.datasets.table.reading import Reading, setting
from made_exp.datasets.table.round_times import round_times
from made_exp.datasets.table.setting_aside import set_aside
from made_exp.datasets.table.spaces import labels_of, spelled
from made_exp.datasets.table.steps import step_of
from made_exp.datasets.table.stored import bounds_of, dtype_of, stored_as, whole_type
from made_exp.datasets.table.whole import minus, steps_in
from made_exp.variables.variable import Kind, Variable

# A whole number of new rows may lie so far outside of train, in spans of train.
MARGIN = 0.25
# Where shares, marks and percentages end, if several rows are there and none is below 0.
_FULL, _FULL_WHOLE, _MIN_FULL = (1, 10, 100), (100,), 2
# Of the values of a column so many are listed, in so many letters.
_NUM_SHOWN, _MAX_SHOWN = 5, 30


def make_column(
    cells: Cells,
    reading: Reading,
    train: np.ndarray,
    *,
    models_missing: bool,
    limits: Limits,
    say: Say,
) -> tuple[Column, np.ndarray | None]:
    """The column, with everything that training values decide, and its values in all rows.

    Args:
        cells: The column as it was given.
        reading: What was understood of it.
        train: Numbers of the training rows.
        models_missing: Whether a missing cell is a value, where train has any.
        limits: Of knots and atoms of a numeric column.
        say: Hears of values that train does not have.

    Returns:
        The column, and (N,) float64, NaN where missing; None for what is kept aside.

    Raises:
        ValueError: If a cell does not fit the column, or train has no value of it.
    """
    kept: dict[str, Any] = {
        "name": cells.raw.name,
        "stored": stored_as(cells.raw.stored) if cells.raw.origin.is_typed else (),
        **{name: getattr(reading, name) for name in ("kind", "missing", "guessed", "decided")},
    }
    if reading.kind in ("constant", "identifier", "empty"):
        return set_aside(cells, reading, kept), None
    if reading.kind in ("binary", "categorical"):
        column: Column = _categories(cells, reading, train, kept)
        values = column.encode(cells, say)
    else:
        column, values = _numbers(cells, reading, train, kept, limits, say)
    if models_missing and column.variable is not None and np.isnan(values[train]).any():
        column = replace(column, variable=replace(column.variable, may_be_missing=True))
    return replace(column, num_missing=int(np.isnan(values).sum())), values


def _categories(
    cells: Cells, reading: Reading, train: np.ndarray, kept: Mapping[str, Any]
) -> Categories:
    labels = labels_of(cells, reading.missing, reading.own)
    trained = _count(labels, cells.counted(train))
    if not trained:
        raise _no_value(cells)
    counts = _count(labels, cells.counted()) if reading.kind == "binary" else trained
    ordered = {value: counts[value] for value in _in_order(list(counts))}
    name = cells.raw.name
    if reading.kind == "binary" and len(ordered) == 2:
        variable = Variable(name, Kind.BINARY, 2, categories=tuple(ordered))
    else:
        pool = pool_rare(ordered)
        variable = Variable(
            name,
            Kind.CATEGORICAL,
            len(pool.values) + 1,
            categories=pool.values,
            pooled=pool.shares,
            reserve=pool.reserve,
        )
    spellings = tuple(spelled(cells, list(variable.categories or ()), reading.own))
    return Categories(**kept, variable=variable, spellings=spellings, values=_listed(list(ordered)))


def _listed(values: list[str]) -> str:
    """A few values, and how many there are."""
    texts = (f"'{v}'" if "," in v or not v or v != v.strip() else v for v in values)
    whole = [" ".join(text.split()) for text in islice(texts, _NUM_SHOWN)]
    while len(whole) > 1 and len(", ".join(whole)) > _MAX_SHOWN:
        del whole[-1]
    shown = ", ".join(whole)
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[: _MAX_SHOWN - 3]}..."
    return f"{len(values)}: {shown}{', ...' * (len(whole) < len(values))}"


def _count(labels: pl.Series, rows: np.ndarray) -> dict[str, int]:
    """How many rows each label has, where any; in order of appearance."""
    frame = pl.DataFrame({"label": labels, "rows": rows}).drop_nulls()
    counts = frame.group_by("label", maintain_order=True).sum().filter(pl.col("rows") > 0)
    return dict(counts.iter_rows())


def _in_order(values: list[str]) -> list[str]:
    """Numbers by size, texts by the alphabet."""
    numbers = pl.Series(values, dtype=pl.String).cast(pl.Float64, strict=False)
    if numbers.null_count() or numbers.is_nan().any():
        return sorted(values)
    return [values[i] for i in numbers.arg_sort()]


def _numbers(
    cells: Cells,
    reading: Reading,
    train: np.ndarray,
    kept: Mapping[str, Any],
    limits: Limits,
    say: Say,
) -> tuple[Numbers, np.ndarray]:
    form = reading.form
    assert form is not None
    decimals = 0
    if reading.kind == "decimal" and isinstance(form, NumberFormat):
        if form.style != "fixed" or form.decimals > MAX_DECIMALS:
            raise ValueError(
                f"column '{cells.raw.name}' of {cells.raw.origin.source} is not written with few "
                f"decimals; set {setting('kinds', cells.raw.name, 'real')}"
            )
        decimals = form.decimals
    is_whole = reading.kind != "real"
    blank = Variable(cells.raw.name, *((Kind.INTEGER, 2) if is_whole else (Kind.REAL, None)))
    column = Numbers(**kept, variable=blank, format=form, decimals=decimals)
    given = reading.numbers
    numbers = column.numbers(cells) if given is None else cells.spread(given)
    if is_whole:
        numbers = column.whole(cells, numbers)
    known = numbers.gather(train).drop_nulls()
    if len(known) == 0:
        raise _no_value(cells)
    if is_whole:
        every = numbers.drop_nulls()
        column = replace(column, step=step_of(every, column))
        column = _on_grid_of_units(_counted(column, known, limits), every)
        return column, column.shifted(cells, numbers, say)
    column = _measured(column, known.cast(pl.Float64).to_numpy(), limits)
    if isinstance(form, NumberFormat) and form.style == "fixed":
        known = numbers.drop_nulls()
        column = replace(column, grid=grid_of(known, form.decimals, column.atoms))
    return column, numbers.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _counted(column: Numbers, known: pl.Series, limits: Limits) -> Numbers:
    """A column of whole units, with a margin for new rows."""
    low, high = int(known.min()), int(known.max())  # type: ignore[arg-type]
    step = column.step
    if (high - low) // step > MAX_SPAN:
        raise ValueError(
            f"column '{column.name}' spans {low}..{high}, more than {MAX_SPAN} whole numbers; "
            f"set {setting('kinds', column.name, 'real')}"
        )
    margin = max(int(MARGIN * (high - low)), step)
    least, greatest = _ends(column, known, _FULL_WHOLE)
    first = low + math.ceil((max(low - margin, least) - low) / step) * step
    num_values = (math.floor(min(high + margin, greatest)) - first) // step + 1
    values = steps_in(minus(known, first), step)[0].cast(pl.Float64).to_numpy()
    grids = round_times(column.format, first, step)
    fit = fit_numbers(values, fine=Fineness(1.0), zero=-first / step, limits=limits, grids=grids)
    variable = Variable(column.name, Kind.INTEGER, num_values, is_open=True, **vars(fit))
    column = replace(column, variable=variable, offset=first)
    return replace(column, values=_range(column, values))


def _on_grid_of_units(column: Numbers, units: pl.Series) -> Numbers:
    apart, point = grid_of(units, 0, [column.offset + a * column.step for a in column.atoms])
    if apart % column.step or apart == column.step:
        return column
    return replace(column, grid=(apart // column.step, (point - column.offset) // column.step))


def _measured(column: Numbers, values: np.ndarray, limits: Limits) -> Numbers:
    """A column of real numbers; its draws stay within a margin of train."""
    fine = fineness(column.format, values, single=dtype_of(column.stored) == pl.Float32)
    fit = fit_numbers(values, fine=fine, limits=limits)
    variable = Variable(column.name, Kind.REAL, **fine._asdict(), **vars(fit))
    low, high = float(values.min()), float(values.max())
    margin = max(MARGIN * (high / 2 - low / 2) * 2, fine.resolution)
    least, greatest = _ends(column, pl.Series(values), _FULL)
    lowest, highest = max(low - margin, least), min(high + margin, greatest)
    low, high = _inward(lowest, math.inf), _inward(highest, -math.inf)
    column = replace(column, variable=variable, low=low, high=high)
    return replace(column, values=_range(column, values))


def _ends(
    column: Numbers, values: pl.Series, full: Sequence[int]
) -> tuple[float | Fraction, float | Fraction]:
    """The least and the greatest that values (N,) can be, in the column's units."""
    lowest: Any = values.min()
    largest: Any = values.max()
    least, greatest = _held(column, lowest, largest)
    if isinstance(column.format, DateFormat) or lowest < 0 < largest:
        return least, greatest
    if lowest < 0:
        return least, 0
    if largest in [end * 10**column.decimals for end in full]:
        greatest = largest if (values == largest).sum() >= _MIN_FULL else greatest
    return 0, greatest


def _inward(end: float | Fraction, towards: float) -> float:
    """The float nearest to an end of a range that is not beyond it."""
    nearest = float(end)
    is_beyond = nearest < end if towards > 0 else nearest > end
    return math.nextafter(nearest, towards) if is_beyond else nearest


def _held(column: Numbers, low: Any, high: Any) -> tuple[float | Fraction, float | Fraction]:
    """The least and the greatest of the column's units that its own type holds.

    That of whole numbers low..high of a text is the one that they are written in where types are.
    """
    dtype = dtype_of(column.stored)
    if dtype is None and column.kind == "integer":
        dtype = whole_type(low, high)
    if isinstance(column.format, DateFormat):
        first, last = column.format.ends
        return min(first, low), max(last, high)
    if dtype is None:
        return -math.inf, math.inf
    least, greatest = bounds_of(dtype)
    return least * 10**column.decimals, greatest * 10**column.decimals


def _range(column: Numbers, values: np.ndarray) -> str:
    low, high = column.decode(np.array([values.min(), values.max()]))
    return f"{low}..{high}"


def _no_value(cells: Cells) -> ValueError:
    return ValueError(
        f"column '{cells.raw.name}' of {cells.raw.origin.source} has no value in the training "
        f"split; leave it out: {leaving_out(cells.raw.name)}"
    )
