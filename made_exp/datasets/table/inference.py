"""What a column holds, decided by how its cells are written and how many different ones there are.

How cells are written is read from all rows; what the values are is left to the training rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import polars as pl

from made_exp.datasets.table.cells import MISSING, as_texts, bare_texts, is_temporal, labels_of
from made_exp.datasets.table.cells import moments_of as _moments
from made_exp.datasets.table.columns import parsed
from made_exp.datasets.table.dates import MAX_FRACTION, DateFormat, finest_unit
from made_exp.datasets.table.formats import Format
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.raw import RawColumn

KINDS = ("binary", "categorical", "integer", "real", "decimal", "date", "identifier")
"""What a user can say that a column holds."""
# Whole numbers with at most this many values are categorical: codes more often than amounts.
MAX_FEW = 10
MAX_SPAN = 2**50  # float64 counts exactly so far, and a margin beyond
# A table of fewer rows has no identifiers: all its texts may differ by chance.
MIN_NAMED_ROWS = 20
_UNIQUE = 0.95
_ID_NAME = (
    r"(?i)^$|^(?:.*[_ ]|row)?(?:id|uuid|guid|index|idx|key)$|^unnamed|^column_1$|^(?:no|nr)\.?$"
)
_MAX_ODD = 3
_LOOKED_AT = 100_000


@final
@dataclass
class Reading:
    """What was understood of a column.

    Attributes:
        kind: One of `KINDS`, or "constant" or "empty".
        form: How numbers and dates are written; None for other kinds.
        missing: Texts that stand for no value, beside the empty one.
        decided: Why, in a few words, where that is not plain.
        suspicions: What the user should look at, in a line each.
    """

    kind: str
    form: Format | None = None
    missing: tuple[str, ...] = ()
    decided: str = ""
    suspicions: list[str] = field(default_factory=list)


def understand(
    raw: RawColumn, kind: str | None = None, missing_values: Sequence[str] | None = None
) -> Reading:
    """Decide what a column holds.

    Two different values are binary; whole numbers with few different values, and texts, are
    categorical; other whole numbers are integer, other numbers real.

    Args:
        raw: All its cells.
        kind: One of `KINDS` to decide it beforehand.
        missing_values: Texts that stand for no value. By default, beside the empty one, NA and
            the like in columns of numbers and dates, and no other in columns of texts.

    Raises:
        ValueError: If a cell does not fit the kind, or a number stands out as odd; with its place.
    """
    if is_temporal(raw.values.dtype):
        found = _temporal(raw)
    elif raw.values.dtype.is_numeric():
        found = _typed(raw, tuple(missing_values or ()))
    else:
        found = _written(raw, kind, missing_values)
    return _as_kind(raw, found, kind) if kind else _by_values(raw, found)


def _temporal(raw: RawColumn) -> Reading:
    moments = _moments(raw).drop_nulls()
    unit = "days" if raw.values.dtype == pl.Date else finest_unit(moments)
    digits = 0
    if unit == "fraction":
        digits = 3 if bool((moments % 1000 == 0).all()) else MAX_FRACTION
    pattern = "%Y-%m-%dT%H:%M:%S"
    if raw.values.dtype in (pl.Date, pl.Time):
        pattern = "%Y-%m-%d" if raw.values.dtype == pl.Date else "%H:%M:%S"
    return Reading("date", DateFormat(pattern, fraction=digits, unit=unit))


def _typed(raw: RawColumn, missing: tuple[str, ...]) -> Reading:
    known = raw.values.drop_nulls()
    if raw.values.dtype == pl.Int64:
        return Reading("integer", NumberFormat(), missing)
    some = known.unique().gather_every(max(len(known) // _LOOKED_AT, 1))
    texts = as_texts(RawColumn(raw.name, some, raw.origin, raw.stored))
    form = NumberFormat.of_texts(texts) or NumberFormat(style="shortest")
    whole = bool((known == known.floor()).all()) and form.style == "fixed"
    return Reading("integer" if whole else "real", form, missing)


def _written(raw: RawColumn, kind: str | None, missing_values: Sequence[str] | None) -> Reading:
    """By the texts: numbers, dates, or texts without more ado."""
    tokens = MISSING if missing_values is None else tuple(missing_values)
    found_tokens = () if missing_values is None else tokens
    as_text = Reading("categorical", missing=found_tokens)
    if kind in ("categorical", "binary", "identifier") or raw.values.dtype == pl.Boolean:
        return as_text
    distinct = bare_texts(raw, tokens).drop_nulls().unique(maintain_order=True)
    if kind == "date":
        form: Format | None = DateFormat.of_texts(distinct)
    else:
        form = NumberFormat.of_texts(distinct) or (None if kind else DateFormat.of_texts(distinct))
    if form is None:
        return as_text
    numbers = form.parse(distinct)
    odd = distinct.filter(numbers.is_null())
    found = Reading(_kind_of(form, numbers), form, tokens)
    if len(odd):
        _judge_odd(raw, found, odd, kind)
    return found


def _kind_of(form: Format, numbers: pl.Series) -> str:
    if isinstance(form, DateFormat):
        return "date"
    return "integer" if numbers.dtype == pl.Int64 else "real"


def _judge_odd(raw: RawColumn, found: Reading, odd: pl.Series, kind: str | None) -> None:
    """Take a few texts that repeat in a column of numbers for missing; refuse others."""
    texts = bare_texts(raw, ())
    cells = texts.is_in(odd.to_list()).fill_null(False)
    what = "a date" if found.kind == "date" else "a number"
    if len(odd) > _MAX_ODD or int(cells.sum()) < 2 * len(odd):
        hint = "" if kind else f" or set {setting('kinds', raw.name, 'categorical')}"
        raise raw.error(
            int(cells.arg_true()[0]),
            f"is not {what}, as nearly all others are; correct it, leave it empty{hint}",
        )
    found.missing = (*found.missing, *odd.to_list())
    found.suspicions.append(
        f"{', '.join(repr(t) for t in odd)} ({int(cells.sum())} cells) among {what[2:]}s is taken "
        f"as missing; else {setting('kinds', raw.name, 'categorical')}"
    )
    if found.form is not None and what == "a number":
        again = found.form.parse(bare_texts(raw, found.missing).drop_nulls().unique())
        found.kind = _kind_of(found.form, again)


def _by_values(raw: RawColumn, found: Reading) -> Reading:
    """Refine a reading by how many different values there are."""
    labels = labels_of(bare_texts(raw, found.missing))
    known = labels.drop_nulls()
    distinct = known.n_unique()
    if distinct == 0:
        found.kind, found.decided = "empty", "no value at all: set aside"
    elif distinct == 1:
        constant = raw.values.null_count() == 0 and len(known) == len(labels)
        found.kind = "constant" if constant else "categorical"
    elif distinct == 2 and found.kind != "date":
        found.kind = "binary"
    elif found.kind == "integer":
        _refine_whole(raw, found, known, distinct)
    elif found.kind == "categorical" and _names_rows(known, distinct):
        found.kind, found.decided = "identifier", "nearly every row has its own: set aside"
    if found.kind in ("constant", "binary", "categorical", "identifier"):
        found.form = None
    return found


def _names_rows(known: pl.Series, distinct: int) -> bool:
    return len(known) >= MIN_NAMED_ROWS and distinct >= _UNIQUE * len(known)


def _refine_whole(raw: RawColumn, found: Reading, known: pl.Series, distinct: int) -> None:
    """Whole numbers: few are categories, some name the rows, the widest are real."""
    assert found.form is not None
    if distinct <= MAX_FEW:
        found.kind, found.decided = "categorical", "few different numbers"
        return
    values = raw.values
    if values.dtype == pl.String:
        values = parsed(bare_texts(raw, found.missing), found.form)
    values = values.drop_nulls()
    low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
    span = high - low
    unique = distinct == len(known) and len(known) >= MIN_NAMED_ROWS
    is_named = bool(pl.Series([raw.name]).str.contains(_ID_NAME)[0])
    if unique and (is_named or (low in (0, 1) and span + 1 == len(known))):
        found.kind, found.decided = "identifier", "numbers the rows: set aside"
    elif span > MAX_SPAN and _names_rows(known, distinct):
        found.kind, found.decided = "identifier", "long numbers, nearly all different: set aside"
    elif span > MAX_SPAN and distinct <= 0.1 * len(known):
        found.kind, found.decided = "categorical", "long numbers that repeat"
    elif span > MAX_SPAN:
        found.kind, found.decided = "real", "too long to be counted exactly"
        found.suspicions.append(f"holds {low}..{high}: the last digits are not exact")


def _as_kind(raw: RawColumn, found: Reading, kind: str) -> Reading:
    """The reading as the kind that the user wants.

    Raises:
        ValueError: If the cells are not of this kind.
    """
    if kind == "identifier":
        return Reading(kind, None, found.missing, "as wished: set aside")
    known = labels_of(bare_texts(raw, found.missing)).drop_nulls()
    if len(known) == 0:
        return Reading("empty", None, found.missing, "no value at all: set aside")
    if kind in ("binary", "categorical"):
        distinct = known.n_unique()
        if kind == "binary" and distinct > 2:
            raise ValueError(
                f"column '{raw.name}' of {raw.origin.source} has {distinct} different values in "
                f"{len(raw.values)} rows; binary columns can have 2"
            )
        return Reading(kind, None, found.missing, "as wished")
    wants_date, is_date = kind == "date", isinstance(found.form, DateFormat)
    if wants_date != is_date or found.form is None:
        texts = bare_texts(raw, found.missing)
        odd = ~texts.str.contains(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$")
        row = int((odd.fill_null(False) if not wants_date else texts.is_not_null()).arg_max() or 0)
        what = {"date": "a date that is known", "integer": "a whole number"}.get(kind, "a number")
        raise raw.error(row, f"is not {what}")
    return Reading(kind, found.form, found.missing, "as wished", found.suspicions)


def setting(name: str, column: str, value: str) -> str:
    """What to type to overrule a decision on a column."""
    plain = column.replace("_", "").replace("-", "").isalnum()
    quoted = column if plain else f'"{column}"'
    return f"'dataset.{name}={{{quoted}: {value}}}'"
