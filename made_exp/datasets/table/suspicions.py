"""What in a table may not be what its owner thinks, one line each."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.cells import (
    MISSING,
    Cells,
    is_temporal,
    moment_of,
    moments_of,
    number_of,
)
from made_exp.datasets.table.codes import maybe_codes
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.columns import Aside, Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.emptiness import without_value
from made_exp.datasets.table.inference import MAX_SPAN
from made_exp.datasets.table.nearly_zero import nearly_zero
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.parts import written_apart
from made_exp.datasets.table.patterns import coarser, pattern_of_digits
from made_exp.datasets.table.quantities import numbers_among_texts, quantities
from made_exp.datasets.table.raw import GivenTable, RawTable
from made_exp.datasets.table.reading import Reading, setting
from made_exp.datasets.table.sentinels import sentinels, sentinels_among_few
from made_exp.datasets.table.spaces import counted_as_one, numbers_counted_as_one
from made_exp.datasets.table.totals import totals

_LOOKED_AT = 20_000
# Rows that repeat are said from this share on, and where a row has so many columns.
_MIN_REPEATED, _MIN_COLUMNS = 0.005, 4
# Of fewer rows of train little can be learnt.
_MIN_ROWS = 20
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
# Whole numbers repeat where there are at most so many different ones, by how many there are.
_ALIKE = 0.5
# Where a table has one column, what else may part its fields.
_OTHER_DELIMITERS = ",;\t|^:~ "


def suspicious_column(cells: Cells, column: Column) -> list[str]:
    """What may be wrong with how a column was understood."""
    if isinstance(column, Numbers):
        doubts = [*sentinels(cells, column), *_dates_as_numbers(cells, column)]
        doubts += [*_ambiguous(column), *_coarser(cells, column), *_worth_the_same(cells, column)]
        doubts += _whole_and_alike(cells, column)
        return doubts + (nearly_zero(cells) if column.kind == "real" else [])
    if apart := written_apart(cells, column):
        return apart
    if isinstance(column, Categories):
        doubts = [*_missing_as_value(cells, column), *numbers_among_texts(cells, column)]
        doubts += [] if doubts else quantities(cells, column)
        doubts += numbers_counted_as_one(cells, column.missing, column.own)
        return [*doubts, *sentinels_among_few(column), *counted_as_one(cells, column.missing)]
    if column.kind != "identifier":
        is_number = cells.raw.values.dtype.is_float()
        return nearly_zero(cells) if is_number else counted_as_one(cells, column.missing)
    return numbers_among_texts(cells, column) or quantities(cells, column)


def markers_found(cells: Cells, found: Reading, missing: Sequence[str]) -> set[str]:
    """Which of the texts that the user says stand for no value are in a column."""
    others = [text for text in found.missing if text not in missing]
    texts = pl.Series(others, dtype=pl.String)
    dressed = found.form.parse(texts).drop_nulls().to_list() if found.form else []
    here = cells.markers_found(missing) | {one for one in missing if number_of(one) in dressed}
    values = cells.raw.values
    if is_temporal(values.dtype):
        moments = moments_of(cells.raw)
        here |= {one for one in missing if moments.is_in([moment_of(one, values.dtype)]).any()}
    return here


def _dates_as_numbers(cells: Cells, column: Numbers) -> list[str]:
    if column.kind != "integer" or column.format.describe():
        return []
    if pattern_of_digits(cells.known(column.missing).drop_nulls()) is None:
        return []
    return [f"whole numbers that look like dates; then {setting('kinds', column.name, 'date')}"]


def _ambiguous(column: Numbers) -> list[str]:
    form = column.format
    if not (isinstance(form, DateFormat) and form.ambiguous):
        return []
    return [f"read as {form.pattern}, but day and month could be the other way round"]


def _coarser(cells: Cells, column: Numbers) -> list[str]:
    """Dates without a time, or times without seconds, where the others of the column have them."""
    form = column.format
    if not isinstance(form, DateFormat) or not coarser(form.pattern):
        return []
    texts = cells.known(column.missing)
    found = form.is_coarser(texts)
    if not found.any():
        return []
    first = texts.filter(found).head(1)
    read = form.write(form.parse(first).to_numpy())
    such = f"{cells.count_rows(found)} cells such as '{first[0]}'"
    values = column.shifted(cells, form.parse(texts.filter(found)), lambda *_: None)
    variable = column.variable
    again = () if variable is None else (*variable.atoms, *variable.echoes)
    said = "are such, too" if np.isin(values, again).mean() > 0.5 else "seldom are such"
    return [f"{such} are coarser than the others: taken as '{read[0]}'; draws {said}"]


def _worth_the_same(cells: Cells, column: Numbers) -> list[str]:
    if column.kind != "real" or not (pair := maybe_codes(cells, column.format)):
        return []
    listed = f"'{pair[0]}' and '{pair[1]}'"
    return [f"{listed} are one number; if not, {setting('kinds', column.name, 'categorical')}"]


def _whole_and_alike(cells: Cells, column: Numbers) -> list[str]:
    """Counts such as of visits, most of them 0, where the user has them as real numbers."""
    is_fixed = isinstance(column.format, NumberFormat) and column.format.style == "fixed"
    if column.kind != "real" or not is_fixed:
        return []
    numbers = column.numbers(cells).drop_nulls()
    low, high = float(numbers.min()), float(numbers.max())  # type: ignore[arg-type]
    is_counted = high - low <= MAX_SPAN and bool((numbers == numbers.floor()).all())
    if not is_counted or numbers.n_unique() > _ALIKE * len(numbers):
        return []
    whole = setting("kinds", column.name, "integer")
    return [f"its values are whole and repeat; {whole} keeps them as they are"]


def _missing_as_value(cells: Cells, column: Categories) -> list[str]:
    """Words for no value that are taken for a category: NA may be Namibia."""
    found = cells.texts.is_in([word for word in MISSING if word.strip("-.\u2013\u2014")])
    if column.missing or not found.any():
        return []
    words = cells.texts.filter(found).unique(maintain_order=True).to_list()
    listed, all_of_them = (", ".join(f"{q}{word}{q}" for word in words) for q in ("'", '"'))
    are, they_are = ("are", "they are") if len(words) > 1 else ("is", "it is")
    return [
        f"{listed} ({cells.count_rows(found)} cells) {are} taken as a value, in a column of texts; "
        f"if {they_are} missing: 'dataset.missing_values=[{all_of_them}]'"
    ]


def suspicious_table(
    raw: GivenTable, columns: Sequence[Column], splits: Mapping[str, np.ndarray]
) -> list[str]:
    """What may be wrong with a table as a whole: its header, few rows, and some that repeat."""
    first = raw.beginning(_LOOKED_AT)
    doubts = [*_no_header(first), *one_column(raw, columns), *_few_rows(len(splits["train"]))]
    doubts += [*_commas(raw, columns), *_set_aside(columns)]
    doubts += [*_without_value(raw), *totals(raw)]
    return [*doubts, *_repeated(raw, columns, splits)]


def one_column(raw: GivenTable, columns: Sequence[Column]) -> list[str]:
    """A single column of texts that may be several: of equally many fields, or hardly two alike."""
    num_columns = len(raw.names) + len(raw.left_out)
    is_read = num_columns > 1 or any(isinstance(column, Numbers) for column in columns)
    if is_read or raw.delimiter is None:
        return []
    texts = raw.beginning(_LOOKED_AT).columns[0].values
    if texts.dtype != pl.String or len(texts := texts.drop_nulls().str.strip_chars()) < 2:
        return []
    lines = "one column only{}: take lines before the header away, or set 'dataset.delimiter={}'"
    for delimiter in _OTHER_DELIMITERS:
        counts = texts.str.count_matches(f"{re.escape(delimiter)}{'+' * (delimiter == ' ')}")
        if counts.n_unique() == 1 and counts[0]:
            fields = f", but every row has {counts[0] + 1} fields when split at"
            if delimiter == " " and texts.str.contains("  ").any():
                return [f"one column only{fields} spaces: part them by one character, not several"]
            typed = delimiter.replace("\t", "\\t")
            return [lines.format(f"{fields} '{typed}'", f'"{typed}"')]
    if texts.n_unique() <= len(texts) / 2:
        return []
    return [lines.format(", in which most texts differ; if it holds several", '"CHARACTER"')]


def _no_header(raw: RawTable) -> list[str]:
    if raw.delimiter is None:  # types have names
        return []
    names = pl.Series(raw.names, dtype=pl.String)
    numbers = names.filter(names.str.contains(_NUMBER) & ~names.str.contains(r"^(?:19|20)\d\d$"))
    own = [
        column.name
        for column in raw.columns
        if column.values.dtype == pl.String
        and (column.values.str.strip_chars() == column.name).any()
    ]
    found = own or numbers.to_list()
    if not found or len(found) < max(len(raw.names) / 4, 1):
        return []
    return [
        f"column '{found[0]}' is called what is a value: without a header, dataset.header=false"
    ]


def _commas(raw: GivenTable, columns: Sequence[Column]) -> list[str]:
    """Numbers such as 1,234 in text that is separated by semicolons, as decimal commas want it."""
    if raw.delimiter != ";":
        return []
    forms = {column.name: column.format for column in columns if isinstance(column, Numbers)}
    return [
        f"column '{name}': the comma of its numbers is read as one of thousands, though semicolons "
        "part the fields; if decimals follow it, write points"
        for name, form in forms.items()
        if isinstance(form, NumberFormat) and (form.group, form.decimals) == (",", 0)
    ]


def _few_rows(count: int) -> list[str]:
    if count >= _MIN_ROWS:
        return []
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return [f"only {rows} trained on: what is learnt of so few may be chance"]


def _without_value(raw: GivenTable) -> list[str]:
    """Rows of types in which nothing stands; those of text are not read, or asked for."""
    if raw.delimiter is not None:
        return []
    is_empty = without_value(raw.column(name).values for name in raw.names)
    if not (count := int(is_empty.sum())):
        return []
    place = raw.origin.place(int(is_empty.arg_max() or 0))
    rows = "1 row has" if count == 1 else f"{count} rows have"
    return [f"{rows} no value at all, and {'is' if count == 1 else 'are'} kept ({place})"]


def _set_aside(columns: Sequence[Column]) -> list[str]:
    aside = [column for column in columns if isinstance(column, Aside)]
    if not aside:
        return []
    listed = ", ".join(f"'{column.name}' ({column.kind})" for column in aside[:8])
    more = f" and {len(aside) - 8} more" if len(aside) > 8 else ""
    named = next((column.name for column in aside if column.kind == "identifier"), None)
    keep = f"; keep one by {setting('kinds', named, 'categorical')}" if named else ""
    return [f"set aside, not modelled: {listed}{more}{keep}"]


def _repeated(
    raw: GivenTable, columns: Sequence[Column], splits: Mapping[str, np.ndarray]
) -> list[str]:
    """Rows that stand more than once, in one split or in several, identifiers left out."""
    names = [column.name for column in columns if column.variable is not None]
    if len(names) < _MIN_COLUMNS:
        return []
    rows = raw.row_hashes(names)
    repeated = 1 - rows.n_unique() / len(rows)
    if repeated < _MIN_REPEATED:
        return []
    said = f"{repeated:.1%} of the rows repeat others"
    train = rows.gather(splits["train"]).unique()
    for split in ("test", "valid"):
        own = splits.get(split, ())
        if len(own) and not np.isin(own, splits["train"]).all():  # unless all are trained on
            again = float(rows.gather(splits[split]).is_in(train.to_list()).mean() or 0)  # type: ignore[arg-type]
            return [f"{said}; {again:.1%} of the rows of {split} stand in train too"]
    return [said]
