"""What in a table may not be what its owner thinks, one line each."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.cells import MISSING, Cells, number_of
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.columns import Aside, Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.fitting import bent
from made_exp.datasets.table.inference import Reading, setting
from made_exp.datasets.table.raw import GivenTable, RawTable

# An atom so many deviations from the others may stand for something else.
_FAR = 3.0
_USUAL_SENTINELS = r"^(?:-?9{2,}(?:[.,]9+)?|-1)(?:[.,]0*)?$"
_LOOKED_AT = 20_000
# Rows that repeat are said from this share on, and where a row has so many columns.
_MIN_REPEATED, _MIN_COLUMNS = 0.005, 4
# Of fewer rows of train little can be learnt.
_MIN_ROWS = 20
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
# Texts are suspected of being numbers where so many differ, and missing words where so few do.
_MIN_NUMBERS, _MAX_WORDS = 20, 3
_UNDECIDED = ("", "nearly every row has its own: set aside")
_SIGN = r"[+\-\u2212]?"
_LIKE_NUMBER = (
    rf"^=?[\"'(]?{_SIGN}\p{{Sc}}?\s?{_SIGN}"
    r"(?:\d+|\d{1,3}(?:[.,'’ \u00a0\u202f_]\d{2,3})+)?(?:[.,]\d*)?(?:[eE][+-]?\d+)?"
    r"\s?[\p{Sc}%]?[\"')]?-?$"
)
_LIKE_DATE = r"^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:[ T].*)?$"
# Texts of one shape, such as 3/8 or 12h30, are quantities more often than codes where they have no
# letters in front, and no leading zeros or fixed width as codes do; IPs, versions and texts with
# words such as Street are codes.
_DURATION = r"^-?P(?:\d+[YMWD])*(?:T(?:\d+(?:\.\d+)?[HMS])+)?$"
_DIGITS, _MIN_ALIKE = r"\d+(?:\.\d+)?", 0.9
_QUANTITY = r"^(?:P#|[^A-Za-z#]*#\s*(?:[^#]*[^#.,][^#]*#.*|[A-Za-z].*))$"
_CODE = r"^[^A-Za-z:×'\"]*(?:#[^A-Za-z:×'\"]*){3,}$|[A-Z][a-z]"
_HOURS = r"^#[:hH]#"
# Where a table has one column, what else may part its fields.
_OTHER_DELIMITERS = r",;\t|^:~ "


def suspicious_column(cells: Cells, column: Column) -> list[str]:
    """What may be wrong with how a column was understood."""
    if isinstance(column, Numbers):
        return [*_sentinels(column), *_dates_as_numbers(column), *_ambiguous(column)]
    if isinstance(column, Categories):
        doubts = [*_missing_as_value(cells, column), *_numbers_among_texts(cells, column)]
        doubts += [] if doubts else _quantities(cells, column)
        return [*doubts, *_sentinels_among_few(column)]
    return _numbers_among_texts(cells, column) if column.kind == "identifier" else []


def markers_found(cells: Cells, found: Reading, missing: Sequence[str]) -> set[str]:
    """Which of the texts that the user says stand for no value are in a column."""
    others = [text for text in found.missing if text not in missing]
    texts = pl.Series(others, dtype=pl.String)
    dressed = found.form.parse(texts).to_list() if found.form else []
    return cells.markers_found(missing) | {one for one in missing if number_of(one) in dressed}


def _sentinels(column: Numbers) -> list[str]:
    """Atoms far outside of everything else, such as -9999."""
    assert column.variable is not None
    atoms = np.array(column.variable.atoms)
    if not len(atoms) or isinstance(column.format, DateFormat):
        return []
    far = atoms[np.abs(bent(atoms, column.variable.transform)) > _FAR]
    texts = column.decode(far) if len(far) else pl.Series([], dtype=pl.String)
    return _said_of_sentinels(texts.filter(texts.str.contains(_USUAL_SENTINELS)))


def _sentinels_among_few(column: Categories) -> list[str]:
    """Numbers that are categories, far outside of the others."""
    if column.numbers is None or column.variable is None:
        return []
    texts = pl.Series(column.variable.categories, dtype=pl.String)
    may_be = texts.str.contains(_USUAL_SENTINELS).to_numpy()
    numbers = column.numbers[: len(texts)]
    numbers = numbers / (np.abs(numbers).max() or 1.0)  # squares of 1e300 are too large
    others = numbers[~may_be]
    if len(others) < 2:
        return []
    is_far = np.abs(numbers - others.mean()) > _FAR * others.std()
    return _said_of_sentinels(texts.filter(pl.Series(may_be & is_far)))


def _said_of_sentinels(texts: pl.Series) -> list[str]:
    return [
        f"'{text}' is far from all others and has a probability of its own; if it stands for no "
        f"value: 'dataset.missing_values=[\"{text}\"]'"
        for text in texts
    ]


def _dates_as_numbers(column: Numbers) -> list[str]:
    if column.kind != "integer" or column.format.describe():
        return []
    low, _, high = column.values.partition("..")
    ends = pl.Series([low, high], dtype=pl.String)
    if not ends.str.contains(r"^(?:19|20)\d{6}$").all():
        return []
    if ends.str.to_date("%Y%m%d", strict=False).null_count():
        return []
    return [f"whole numbers that look like dates; then {setting('kinds', column.name, 'date')}"]


def _ambiguous(column: Numbers) -> list[str]:
    form = column.format
    if not (isinstance(form, DateFormat) and form.ambiguous):
        return []
    return [f"read as {form.pattern}, but day and month could be the other way round"]


def _missing_as_value(cells: Cells, column: Categories) -> list[str]:
    """Words for no value that are taken for a category: NA may be Namibia."""
    found = cells.texts.is_in([word for word in MISSING if word not in ("-", "--", ".", "..")])
    if column.missing or not found.any():
        return []
    words = cells.texts.filter(found).unique(maintain_order=True).to_list()
    listed, all_of_them = (", ".join(f"{q}{word}{q}" for word in words) for q in ("'", '"'))
    are, they_are = ("are", "they are") if len(words) > 1 else ("is", "it is")
    return [
        f"{listed} ({cells.count_rows(found)} cells) {are} taken as a value, in a column of texts; "
        f"if {they_are} missing: 'dataset.missing_values=[{all_of_them}]'"
    ]


def _numbers_among_texts(cells: Cells, column: Column) -> list[str]:
    """Texts most of which are numbers or dates, where they are many."""
    different = cells.known(column.missing).drop_nulls().unique(maintain_order=True)
    if column.decided not in _UNDECIDED or len(different) < _MIN_NUMBERS:
        return []
    alike = different.str.contains(_LIKE_NUMBER) | different.str.contains(_LIKE_DATE)
    are_codes = different.filter(alike).str.contains(r"^0\d+$").any()
    others = different.filter(~alike)
    if are_codes or len(others) >= len(different) / 2:
        return []
    what = "look like numbers or dates"
    if not len(others):
        return [f"all {len(different)} different values {what}, but of no one way: read as texts"]
    more = f" and {len(others) - 1} more do not" if len(others) > 1 else " does not"
    hint = f"; if it is missing: 'dataset.missing_values=[\"{others[0]}\"]'"
    return [
        f"{alike.sum()} of {len(different)} different values {what}, '{others[0]}'{more}: read as "
        f"texts{hint if len(others) <= _MAX_WORDS else ''}"
    ]


def _quantities(cells: Cells, column: Categories) -> list[str]:
    """Texts that differ in their digits alone, as PT30M, 5'11" and 10-20 do."""
    different = cells.known(column.missing).drop_nulls().unique(maintain_order=True)
    if column.kind != "categorical" or column.decided or len(different) < _MIN_NUMBERS:
        return []
    shapes = different.str.replace(_DURATION, "P1").str.replace_all(_DIGITS, "#")
    usual = str(shapes.mode().sort()[0])
    alike = different.filter(shapes == usual)
    is_quantity = re.search(_QUANTITY, usual) and not re.search(_CODE, usual)
    if len(alike) < _MIN_ALIKE * len(different) or not is_quantity or _are_codes(alike, usual):
        return []
    return [
        f"'{alike[0]}' and {len(alike) - 1} more differ in their digits alone: read as texts; if "
        "they are quantities, write them as plain numbers; if they are codes, this is right"
    ]


def _are_codes(texts: pl.Series, shape: str) -> bool:
    """Whether texts of one shape begin with zeros, or have many digits and always as many."""
    if not re.search(_HOURS, shape) and texts.str.contains(r"^\D*0\d").any():
        return True
    longest = texts.str.extract_all(r"\d+").list.eval(pl.element().str.len_chars()).list.max()
    return texts.str.len_chars().n_unique() == 1 and int(longest.max() or 0) > 2  # type: ignore[arg-type]


def suspicious_table(
    raw: GivenTable, columns: Sequence[Column], splits: Mapping[str, np.ndarray]
) -> list[str]:
    """What may be wrong with a table as a whole: its header, few rows, and some that repeat."""
    first = raw.beginning(_LOOKED_AT)
    doubts = [*_no_header(first), *one_column(raw, columns), *_few_rows(len(splits["train"]))]
    doubts += _set_aside(columns)
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
            return [lines.format(f"{fields} '{delimiter}'", f'"{delimiter}"')]
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


def _few_rows(count: int) -> list[str]:
    if count >= _MIN_ROWS:
        return []
    rows = "1 row is" if count == 1 else f"{count} rows are"
    return [f"only {rows} trained on: what is learnt of so few may be chance"]


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
