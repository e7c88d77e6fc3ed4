"""What a column holds, decided by how its cells are written and how many different ones there are.

How cells are written is read from the files of train; what the values are, from its rows.
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from made_exp.datasets.table.cells import (
    MISSING,
    Cells,
    is_temporal,
    moments_of,
    num_different,
    number_of,
)
from made_exp.datasets.table.codes import why_codes
from made_exp.datasets.table.dates import MAX_FRACTION, DateFormat, finest_unit
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.odd import judge_odd
from made_exp.datasets.table.reading import Reading, kind_of, setting
from made_exp.datasets.table.spaces import labels_of, own_texts

# Whole numbers with at most this many values are categorical: codes more often than amounts.
MAX_FEW = 10
MAX_SPAN = 2**50  # float64 counts exactly so far, and a margin beyond
_LONG = 2**64  # numbers so large name things, unless they repeat
# A table of fewer rows has no identifiers: all its texts may differ by chance.
MIN_NAMED_ROWS = 20
_UNIQUE = 0.95
_ID_NAME = (
    r"(?i)^$|^(?:.*[_ ]|row)?(?:id|uuid|guid|index|idx|key)$|^unnamed|^column_1$|^(?:no|nr)\.?$"
)
# So many cells of a column of numbers may be other texts; of more it is one of texts.
_MOST_ODD = 0.1
# How cells are written is read from so many of them.
_LOOKED_AT = 20_000
_MANY = 5000  # different texts, of which about as many are counted
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"


def understand(
    cells: Cells, kind: str | None = None, missing_values: Sequence[str] | None = None
) -> Reading:
    """Decide what a column holds.

    Two different values are binary; what is stored as categories, whole numbers with few different
    values, and texts, are categorical; other whole numbers are integer, other numbers real.

    Args:
        cells: The column.
        kind: One of `registry.KINDS` to decide it beforehand.
        missing_values: Texts that stand for no value. By default, beside the empty one, NA and
            the like in columns of numbers and dates, and no other in columns of texts.

    Raises:
        ValueError: If a cell does not fit the kind, or stands out among numbers; with its place.
    """
    dtype = cells.raw.values.dtype
    if is_temporal(dtype):
        found = _temporal(cells, tuple(missing_values or ()))
    elif dtype.is_numeric() and kind != "date":  # 20241231 is one
        found = _typed(cells, tuple(missing_values or ()))
    else:
        found = _written(cells, kind, missing_values)
    if kind or found.form is None or cells.are_stored_texts:
        found.own = own_texts(cells, found.missing)
    return _as_kind(cells, found, kind) if kind else _by_values(cells, found)


def _temporal(cells: Cells, missing: tuple[str, ...]) -> Reading:
    moments = moments_of(cells.raw, missing=missing).drop_nulls()
    dtype = cells.raw.values.dtype
    unit, day = finest_unit(moments)
    digits = 0
    if unit == "fraction":
        digits = 3 if bool((moments % 1000 == 0).all()) else MAX_FRACTION
    pattern = "%Y-%m-%dT%H:%M:%S"
    if dtype in (pl.Date, pl.Time):
        pattern = "%Y-%m-%d" if dtype == pl.Date else "%H:%M:%S"
    zone = getattr(dtype, "time_zone", None)
    decided = f"the clock of {zone}, whose zone is left out" if zone else ""
    form = DateFormat(pattern, fraction=digits, unit=unit, day=day)
    return Reading("date", form, missing, decided=decided)


def _typed(cells: Cells, missing: tuple[str, ...]) -> Reading:
    known = cells.raw.values.drop_nulls()
    decided = "a duration, in seconds" if isinstance(cells.raw.stored, pl.Duration) else ""
    if known.dtype == pl.Int64:
        return Reading("integer", NumberFormat(), missing)
    form = NumberFormat.of_texts(_some(cells.texts)) or NumberFormat(style="shortest")
    if cells.raw.stored.is_decimal() and form.style == "fixed":
        form = replace(form, min_decimals=form.decimals)
    whole = form.style == "fixed" and bool((known == known.floor()).all())
    return Reading("integer" if whole else "real", form, missing, decided)


def _some(texts: pl.Series) -> pl.Series:
    known = texts.drop_nulls()
    return known.gather_every(max(len(known) // _LOOKED_AT, 1))


def _written(cells: Cells, kind: str | None, missing_values: Sequence[str] | None) -> Reading:
    """By the texts: numbers, dates, or texts without more ado."""
    tokens = (*(MISSING if missing_values is None else missing_values), *cells.blank)
    as_text = Reading("categorical", missing=tuple(missing_values or ()))
    is_declared = cells.raw.stored in (pl.Categorical, pl.Enum) and kind is None
    is_named = kind in ("categorical", "binary", "identifier")
    if is_declared or cells.raw.values.dtype == pl.Boolean:
        return as_text
    texts = cells.known(tokens)
    if is_named:  # an empty text among numbers is none
        is_none = bool(cells.blank) and _format_of(texts, None) is not None
        return replace(as_text, missing=(*as_text.missing, *cells.blank)) if is_none else as_text
    form = _format_of(texts, kind)
    if form is None:
        return as_text
    numbers = form.parse(texts)
    stand_in = _worth_as(texts, numbers, missing_values or ())
    if stand_in.any():  # such as -9.999,00 for -9999
        tokens += tuple(texts.filter(stand_in).unique(maintain_order=True))
        texts = cells.known(tokens)
        numbers = form.parse(texts)
    found = Reading(kind_of(form, numbers), form, tokens, numbers=numbers)
    odd = texts.is_not_null() & numbers.is_null()
    if cells.count_rows(odd) > _MOST_ODD * cells.count_rows(texts.is_not_null()):
        return as_text
    if not kind and (why := why_codes(cells, form, numbers, odd)):
        hint = "" if odd.any() else f"; else {setting('kinds', cells.raw.name, 'real')}"
        as_text.suspicions.append(why + hint)
        return as_text
    if odd.any():
        judge_odd(cells, found, odd, kind)
    return found


def _worth_as(texts: pl.Series, numbers: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Which of the texts (K,), read as numbers, are worth one of `missing`."""
    worth = [number for token in missing if (number := number_of(token)) is not None]
    return texts.is_not_null() & numbers.cast(pl.Float64).is_in(worth).fill_null(False)


def _format_of(texts: pl.Series, kind: str | None) -> Format | None:
    some = _some(texts)
    if kind == "date":
        return DateFormat.of_texts(some, wanted=True)
    zeros = texts.filter(texts.str.starts_with("0").fill_null(False))
    if zeros.str.contains(r"^0\d").any() and not kind:  # codes such as 007, or dates
        return DateFormat.of_texts(some)
    return NumberFormat.of_texts(some) or (None if kind else DateFormat.of_texts(some))


def _by_values(cells: Cells, found: Reading) -> Reading:
    """Refine a reading by how many different values there are."""
    known = _values(cells, found)
    num_known = len(cells) - cells.count_rows(known.is_null()) - cells.raw.values.null_count()
    if cells.codes is None:
        num_known = len(known) - known.null_count()
    distinct = _num_distinct(known)
    if distinct == 0:
        found.kind, found.decided = "empty", "no value at all: set aside"
    elif distinct == 1:
        found.kind = "constant" if num_known == len(cells) else "categorical"
    elif distinct == 2 and found.kind != "date":
        found.kind = "binary"
    elif found.kind == "integer" or _is_beyond_int64(found):
        _refine_whole(cells, found, num_known, distinct)
    elif found.kind == "categorical" and _names_rows(num_known, distinct):
        found.kind, found.decided = "identifier", "nearly every row has its own: set aside"
    if found.kind in ("constant", "binary", "categorical", "identifier"):
        found.form, found.numbers = None, None
    return found


def _values(cells: Cells, found: Reading) -> pl.Series:
    """(K,) the values, null where missing; texts that differ by spaces may be two."""
    if found.form is not None and not found.own and len(cells.written) >= _MANY:
        return cells.known(found.missing)
    return labels_of(cells, found.missing, found.own)


def _num_distinct(known: pl.Series) -> int:
    """How many different texts there are: of very many, about."""
    known = known.drop_nulls()
    if len(known) < _MANY:
        return known.n_unique()
    return min(num_different(known), len(known))


def _names_rows(num_known: int, distinct: int) -> bool:
    return num_known >= MIN_NAMED_ROWS and distinct >= _UNIQUE * num_known


def _is_beyond_int64(found: Reading) -> bool:
    """Whether digits without a point are real only because they are too many."""
    form = found.form
    return isinstance(form, NumberFormat) and form.style == "fixed" and form.decimals == 0


def _refine_whole(cells: Cells, found: Reading, num_known: int, distinct: int) -> None:
    """Whole numbers: few are categories, some name the rows, the widest are real."""
    if distinct <= MAX_FEW:
        found.kind, found.decided = "categorical", "few different numbers"
        return
    values = cells.raw.values if found.numbers is None else found.numbers
    low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
    span = MAX_SPAN + 1 if found.kind == "real" else high - low
    is_long = low >= 0 and float(values.quantile(0.1) or 0) > high / 1000  # as numbered things are
    is_named = bool(pl.Series([cells.raw.name]).str.contains(_ID_NAME)[0])
    counts_rows = low in (0, 1) and span + 1 == num_known
    named = _names_rows(num_known, distinct)
    if named and (is_named or counts_rows) and values.drop_nulls().n_unique() == num_known:
        found.kind, found.decided = "identifier", "numbers the rows: set aside"
    elif (span > MAX_SPAN or high >= _LONG) and named and is_long:
        found.kind, found.decided = "identifier", "long numbers, nearly all different: set aside"
    elif span > MAX_SPAN and distinct <= 0.1 * num_known:
        found.kind, found.decided = "categorical", "long numbers that repeat"
    elif span > MAX_SPAN:
        found.kind, found.decided = "real", "too long to be counted exactly"
        found.suspicions.append(f"holds {low}..{high}: the last digits are not exact")


def _as_kind(cells: Cells, found: Reading, kind: str) -> Reading:
    """The reading as the kind that the user wants.

    Raises:
        ValueError: If the cells are not of this kind.
    """
    known = cells.known(found.missing)
    if known.null_count() == len(known):
        return Reading("empty", None, found.missing, "no value at all: set aside")
    if kind == "identifier":
        return Reading(kind, None, found.missing, "as you say: set aside")
    if kind in ("binary", "categorical"):
        distinct = _num_distinct(_values(cells, found))
        if kind == "binary" and distinct > 2:
            raise ValueError(
                f"column '{cells.raw.name}' of {cells.raw.origin.source} has {distinct} different "
                f"values in {len(cells)} rows; binary columns can have 2"
            )
        return Reading(kind, None, found.missing, "as you say", own=found.own)
    is_date = isinstance(found.form, DateFormat)
    if found.form is None or (kind == "date") != is_date:
        odd = known.is_not_null()
        if kind != "date":
            odd &= ~known.str.contains(_NUMBER).fill_null(True)
        dates = "a date that is known; nine in ten have to be written alike"
        what = {"date": dates, "integer": "a whole number"}.get(kind, "a number")
        raise cells.raw.error(cells.first_row(odd), f"is not {what}")
    return replace(found, kind=kind, decided="as you say")
