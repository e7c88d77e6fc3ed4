"""From what was understood of a column and its training values to the column as it is modelled."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from made_exp.datasets.table.cells import as_texts, bare_texts, labels_of
from made_exp.datasets.table.columns import Aside, Categories, Column, Numbers
from made_exp.datasets.table.fitting import fit_numbers
from made_exp.datasets.table.inference import MAX_SPAN, Reading, setting
from made_exp.datasets.table.numbers import MAX_DECIMALS, NumberFormat
from made_exp.datasets.table.pooling import pool_rare
from made_exp.datasets.table.raw import RawColumn
from made_exp.variables.variable import Kind, Variable

# A whole number of new rows may lie so far outside of train, in spans of train.
MARGIN = 0.25


def make_column(
    raw: RawColumn, reading: Reading, train: np.ndarray, *, models_missing: bool, num_knots: int
) -> Column:
    """The column, with everything that training values decide.

    Args:
        raw: All cells.
        reading: What was understood of them.
        train: Numbers of the training rows.
        models_missing: Whether a missing cell is a value, where train has any.
        num_knots: At most so many knots of a numeric column.

    Raises:
        ValueError: If a cell does not fit the column, or train has no value of it.
    """
    kept = {"name": raw.name, "kind": reading.kind, "missing": reading.missing}
    if reading.kind in ("constant", "identifier", "empty"):
        return _aside(raw, reading, kept)
    if reading.kind in ("binary", "categorical"):
        column: Column = _categories(raw, reading, train, kept)
    else:
        column = _numbers(raw, reading, train, kept, num_knots)
    if models_missing and column.variable is not None and _lacks(raw, reading, train):
        column = replace(column, variable=replace(column.variable, may_be_missing=True))
    return column


def _lacks(raw: RawColumn, reading: Reading, train: np.ndarray) -> bool:
    return bare_texts(raw, reading.missing)[train].null_count() > 0


def _aside(raw: RawColumn, reading: Reading, kept: Mapping[str, object]) -> Aside:
    text, next_number = None, None
    known = bare_texts(raw, reading.missing).drop_nulls()
    if reading.kind == "constant":
        text = str(_spelled(raw, labels_of(known)[:1])[0])
    elif reading.kind == "identifier" and raw.values.dtype != pl.Float64:
        numbers = known.cast(pl.Int64, strict=False)
        if numbers.null_count() == 0 and int(numbers.max() or 0) < MAX_SPAN:  # type: ignore[arg-type]
            next_number = int(numbers.max() or 0) + 1  # type: ignore[arg-type]
    return Aside(**kept, variable=None, text=text, next_number=next_number)  # type: ignore[arg-type]


def _categories(
    raw: RawColumn, reading: Reading, train: np.ndarray, kept: Mapping[str, object]
) -> Categories:
    labels = labels_of(bare_texts(raw, reading.missing))
    seen = labels if reading.kind == "binary" else labels[train]
    counts = seen.drop_nulls().value_counts(name="rows")
    values = dict(zip(counts[raw.name].to_list(), counts["rows"].to_list(), strict=True))
    if not values or (reading.kind == "binary" and labels[train].null_count() == len(train)):
        raise ValueError(
            f"column '{raw.name}' of {raw.origin.source} has no value in the training split; "
            f"leave it out: {_dropped(raw.name)}"
        )
    ordered = {value: values[value] for value in _in_order(list(values))}
    if reading.kind == "binary" and len(ordered) == 2:
        variable = Variable(raw.name, Kind.BINARY, 2, categories=tuple(ordered))
    else:
        pool = pool_rare(ordered)
        variable = Variable(
            raw.name,
            Kind.CATEGORICAL,
            len(pool.values) + 1,
            categories=pool.values,
            pooled=pool.shares,
            reserve=pool.reserve,
        )
    assert variable.categories is not None
    spellings = tuple(_spelled(raw, pl.Series(variable.categories, dtype=pl.String)))
    return Categories(**kept, variable=variable, spellings=spellings)  # type: ignore[arg-type]


def _in_order(values: list[str]) -> list[str]:
    """Numbers by size, texts by the alphabet."""
    numbers = pl.Series(values, dtype=pl.String).cast(pl.Float64, strict=False)
    if numbers.null_count() or numbers.is_nan().any():
        return sorted(values)
    return [values[i] for i in numbers.arg_sort()]


def _spelled(raw: RawColumn, labels: pl.Series) -> list[str]:
    """The most common way in which each label is written in the column, spaces included."""
    texts = as_texts(raw)
    frame = pl.DataFrame({"label": labels_of(texts.str.strip_chars()), "text": texts})
    counts = frame.group_by("label", "text").len().sort("len", "text", descending=[True, False])
    found = dict(
        counts.unique("label", keep="first", maintain_order=True)
        .select("label", "text")
        .iter_rows()
    )
    return [found[label] for label in labels]


def _numbers(
    raw: RawColumn, reading: Reading, train: np.ndarray, kept: Mapping[str, object], num_knots: int
) -> Numbers:
    form = reading.form
    assert form is not None
    decimals = 0
    if reading.kind == "decimal" and isinstance(form, NumberFormat):
        if form.style != "fixed" or form.decimals > MAX_DECIMALS:
            raise ValueError(
                f"column '{raw.name}' of {raw.origin.source} is not written with few decimals; "
                f"set {setting('kinds', raw.name, 'real')}"
            )
        decimals = form.decimals
    is_whole = reading.kind != "real"
    kind = Kind.INTEGER if is_whole else Kind.REAL
    blank = Variable(raw.name, kind, 2 if is_whole else None)
    column = Numbers(**kept, variable=blank, format=form, decimals=decimals)  # type: ignore[arg-type]
    numbers = column.numbers(raw)
    if is_whole:
        numbers = column.whole(raw, numbers)
    known = numbers[train].drop_nulls()
    if len(known) == 0:
        raise ValueError(
            f"column '{raw.name}' of {raw.origin.source} has no value in the training split; "
            f"leave it out: {_dropped(raw.name)}"
        )
    if is_whole:
        return _counted(column, known, num_knots)
    return _measured(column, known.cast(pl.Float64).to_numpy(), num_knots)


def _counted(column: Numbers, known: pl.Series, num_knots: int) -> Numbers:
    """A column of whole units, with a margin for new rows."""
    low, high = int(known.min()), int(known.max())  # type: ignore[arg-type]
    if high - low > MAX_SPAN:
        raise ValueError(
            f"column '{column.name}' spans {low}..{high}, more than {MAX_SPAN} whole numbers; "
            f"set {setting('kinds', column.name, 'real')}"
        )
    margin = max(int(MARGIN * (high - low)), 1)
    first = low - margin if low < 0 else max(low - margin, 0)
    num_values = high + margin - first + 1
    values = (known - first).to_numpy().astype(np.float64)
    fit = fit_numbers(values, step=1.0, zero=float(-first), num_knots=num_knots)
    variable = Variable(
        column.name,
        Kind.INTEGER,
        num_values,
        transform=fit.transform,
        atoms=fit.atoms,
        knots=fit.knots,
    )
    return replace(column, variable=variable, offset=first)


def _measured(column: Numbers, values: np.ndarray, num_knots: int) -> Numbers:
    """A column of real numbers; its draws stay within a margin of train."""
    step = _last_digit(column, values)
    fit = fit_numbers(values, step=step, num_knots=num_knots)
    variable = Variable(
        column.name,
        Kind.REAL,
        transform=fit.transform,
        atoms=fit.atoms,
        resolution=step,
        knots=fit.knots,
    )
    low, high = float(values.min()), float(values.max())
    margin = max(MARGIN * (high / 2 - low / 2) * 2, step)
    lowest = low - margin if low < 0 else max(low - margin, 0.0)
    return replace(column, variable=variable, low=lowest, high=high + margin)


def _last_digit(column: Numbers, values: np.ndarray) -> float:
    """What the last digit of the column is worth, no less than float64 can tell apart."""
    form = column.format
    finest = float(np.spacing(np.abs(values).max())) or 1e-300
    if isinstance(form, NumberFormat) and form.style == "fixed":
        return max(10.0**-form.decimals, finest)
    spread = float(np.quantile(values, 0.75) - np.quantile(values, 0.25)) or 1.0
    return max(10.0**-MAX_DECIMALS * 10.0 ** np.floor(np.log10(abs(spread))), finest)


def _dropped(name: str) -> str:
    return f"'dataset.drop=[{name}]'"
