"""Which parts of dates below ten begin with a zero: days, months and hours, each for itself."""

import re

import polars as pl

PADDED = "dmHI"
"""The parts that may, as strftime names them."""
_OTHERS = {"Y": r"\d{4}", "y": r"\d{2}", "M": r"\d{1,2}", "S": r"\d{1,2}", "q": r"\d"}
_PART = re.compile("%(.)")


def padded_parts(texts: pl.Series, pattern: str) -> str:
    """Those that have two digits in all texts (K,) of a pattern, a letter each."""
    found = _PART.findall(pattern)
    parts = [part for part in PADDED if part in found]
    return "".join(part for part in parts if not _is_short(texts, pattern, part))


def without_zeros(pattern: str, padded: str | bool) -> str:
    """The pattern that writes these parts with zeros, and the others without."""
    if isinstance(padded, bool):  # of runs of old: all or none
        padded = PADDED if padded else ""
    bare = "".join(part for part in PADDED if part not in padded)
    return re.sub(f"%([{bare}])", r"%-\1", pattern) if bare else pattern


def _is_short(texts: pl.Series, pattern: str, wanted: str) -> bool:
    def shape(part: str) -> str:
        if part in PADDED:
            return r"(\d{1,2})" if part == wanted else r"\d{1,2}"
        return _OTHERS.get(part, r"\D+?")

    literals = _PART.split(pattern)
    pieces = (shape(one) if n % 2 else re.escape(one) for n, one in enumerate(literals))
    return bool((texts.str.extract("^" + "".join(pieces)).str.len_chars() == 1).any())
