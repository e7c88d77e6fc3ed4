"""Columns of texts that may be numbers, dates or quantities, which texts are not modelled as."""

import calendar
import re

import polars as pl

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.column import Column

# Texts are suspected of being numbers where so many differ, and missing words where so few do.
_MIN_NUMBERS, _MAX_WORDS = 20, 3
UNDECIDED = ("", "nearly every row has its own: set aside")
"""What is said of columns that nothing but their texts decided on."""
_SIGN = r"[+\-\u2212]?"
_LIKE_NUMBER = (
    rf"^=?[\"'(]?{_SIGN}\p{{Sc}}?\s?{_SIGN}"
    r"(?:\d+|\d{1,3}(?:[.,'’ \u00a0\u202f_]\d{2,3})+)?(?:[.,]\d*)?(?:[eE][+-]?\d+)?"
    r"\s?[\p{Sc}%]?[\"')]?-?$"
)
_LIKE_DATE = r"^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})(?:,?[ T].*)?$"
_WEEKS = r"^\d{4}-?W\d\d$"
_MONTHS = (
    *calendar.month_name[1:], *calendar.month_abbr[1:], "januar", "februar", "märz", "mrz", "mai",
    "juni", "juli", "oktober", "okt", "dezember", "dez", "janvier", "janv", "février", "fév",
    "mars", "avril", "avr", "juin", "juillet", "juil", "août", "septembre", "sept", "octobre",
    "novembre", "décembre", "déc", "enero", "ene", "febrero", "marzo", "abril", "abr", "mayo",
    "junio", "julio", "agosto", "ago", "septiembre", "octubre", "noviembre", "diciembre", "dic",
)  # fmt: skip
_NAMED_MONTH = rf"(?i)(?:^|[^\p{{L}}])(?:{'|'.join(_MONTHS)})(?:[^\p{{L}}]|$)"
# Texts of one shape, such as 3/8 or 12h30, are quantities more often than codes where they have no
# letters in front, and no leading zeros or fixed width as codes do; IPs, versions and texts with
# words such as Street are codes. Of several shapes none may be a number and a single letter.
_DURATION = r"^-?P(?:\d+[YMWD])*(?:T(?:\d+(?:\.\d+)?[HMS])+)?$"
_DIGITS, _MIN_ALIKE, _MAX_SHAPES, _MIN_SHAPE = r"\d+(?:[.,]\d+)*", 0.9, 5, 0.04
_ABOUT = "[~≈<>≤≥±▲▼△▽↑↓]"
_QUANTITY = r"^(?:P#|[^A-Za-z#]*#\s*(?:[^#]*[^#.,][^#]*#.*|[^#.,\s][^#]*)|" + _ABOUT + r"\s?#)$"
_HOUSE = r"^#\s?[A-Za-z]$"
_CODE = r"^[^A-Za-z:×'\"]*(?:#[^A-Za-z:×'\"]*){3,}$|[A-Z][a-z]"
_HOURS = r"^#[:hH]#"


def numbers_among_texts(cells: Cells, column: Column) -> list[str]:
    """Texts most of which are numbers or dates, where they are many."""
    different = cells.known(column.missing).drop_nulls().unique(maintain_order=True)
    if column.decided not in UNDECIDED or len(different) < _MIN_NUMBERS:
        return []
    alike = different.str.contains(f"{_LIKE_NUMBER}|{_LIKE_DATE}|{_WEEKS}")
    alike |= different.str.contains(_NAMED_MONTH) & different.str.contains(r"\d")
    are_codes = different.filter(alike).str.contains(r"^0\d+$").any()
    others = different.filter(~alike)
    if are_codes or len(others) >= len(different) / 2:
        return []
    what = "look like numbers or dates"
    if not len(others):
        return [f"all {len(different)} different values {what}, but of no one way: {_read(column)}"]
    more = f" and {len(others) - 1} more do not" if len(others) > 1 else " does not"
    hint = f"; if it is missing: 'dataset.missing_values=[\"{others[0]}\"]'"
    return [
        f"{alike.sum()} of {len(different)} different values {what}, '{others[0]}'{more}: "
        f"{_read(column)}{hint if len(others) <= _MAX_WORDS else ''}"
    ]


def quantities(cells: Cells, column: Column) -> list[str]:
    """Texts that differ in their digits alone, as PT30M, 5'11", 10-20, 3.5 kg and 2 lb do."""
    different = cells.known(column.missing).drop_nulls().unique(maintain_order=True)
    if column.kind == "binary" or column.decided not in UNDECIDED or len(different) < _MIN_NUMBERS:
        return []
    shapes = different.str.replace(_DURATION, "P1").str.replace_all(_DIGITS, "#")
    counts = shapes.value_counts(sort=True, name="count")
    usual = counts.filter(pl.col("count") >= _MIN_SHAPE * len(different))[shapes.name].to_list()
    alike = different.filter(shapes.is_in(usual))
    if len(alike) < _MIN_ALIKE * len(different) or not _are_quantities(alike, usual):
        return []
    return [
        f"'{alike[0]}' and {len(alike) - 1} more differ in their digits alone: {_read(column)}; if "
        "they are quantities, write them as plain numbers; if they are codes, this is right"
    ]


def _read(column: Column) -> str:
    return "set aside" if column.kind == "identifier" else "read as texts"


def _are_quantities(alike: pl.Series, usual: list[str]) -> bool:
    """Whether texts (K,) of a few usual shapes say how much, not which."""
    is_one = len(usual) == 1
    dressed = [shape for shape in usual if is_one or shape != "#"]
    if not dressed or len(usual) > _MAX_SHAPES:
        return False
    if any(not re.search(_QUANTITY, one) or re.search(_CODE, one) for one in dressed):
        return False
    has_points = bool(alike.str.contains(r"\d[.,]\d").any())
    if not is_one and not has_points and any(re.search(_HOUSE, shape) for shape in dressed):
        return False
    return not (is_one and _are_codes(alike, usual[0]))


def _are_codes(texts: pl.Series, shape: str) -> bool:
    """Whether texts of one shape begin with zeros, or have many digits and always as many."""
    if not re.search(_HOURS, shape) and texts.str.contains(r"^\D*0\d").any():
        return True
    longest = texts.str.extract_all(r"\d+").list.eval(pl.element().str.len_chars()).list.max()
    return texts.str.len_chars().n_unique() == 1 and int(longest.max() or 0) > 2  # type: ignore[arg-type]
