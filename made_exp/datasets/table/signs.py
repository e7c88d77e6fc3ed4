"""Numbers below zero as people write them: -5, (5) as accountants do, 5- or with a long minus."""

import re

import polars as pl

# Around a prefix, the digits and a suffix; the likeliest first.
_WAYS = (
    "-{0}{1}{2}", "({0}{1}{2})", "{0}({1}){2}", "{0}-{1}{2}", "{0}{1}-{2}", "{0}{1}{2}-",
    "- {0}{1}{2}", "\u2212{0}{1}{2}", "{0}\u2212{1}{2}",
)  # fmt: skip
PLAIN = _WAYS[0]
# What makes a plain minus in front of them all.
_TO_PLAIN = (
    (r"\x{2212}", "-"),
    (r"^([^\d().,]*)\(([^()]*\d[^()]*)\)([^\d().,]*)$", "-$1$2$3"),
    (r"^([^-]*\d(?:[^\d-]*[^\d.,-])?)-([^\d-]*)$", "-$1$2"),  # but 5,- is 5
    (r"^([+-])\s+", "$1"),
)


def with_minus(texts: pl.Series) -> pl.Series:
    """Texts of numbers with a plain minus in front of those that are below zero."""
    for pattern, instead in _TO_PLAIN:
        texts = texts.str.replace(pattern, instead)
    return texts.str.strip_chars()


def usual_sign(below: pl.Series, prefix: str, suffix: str) -> str:
    """The way in which most of these texts, numbers below zero, are written."""
    counts = {way: _count(below, *around(way, prefix, suffix)) for way in _WAYS}
    return max(counts, key=lambda way: counts[way])


def around(way: str, prefix: str, suffix: str) -> tuple[str, str]:
    """What stands before and after the digits of a number below zero."""
    before, _, after = way.format(prefix, "\0", suffix).partition("\0")
    return before, after


def _count(texts: pl.Series, before: str, after: str) -> int:
    inner = r"[^\s()\-\x{2212}]"
    found = texts.str.contains(f"^{re.escape(before)}{inner}(?:.*{inner})?{re.escape(after)}$")
    return int(found.sum())
