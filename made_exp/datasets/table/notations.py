"""How people group the digits of numbers, and what they write before and after them."""

import polars as pl

_CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|TRY|RUB|UAH|ILS|ZAR|NGN|"
    "KES|EGP|AED|SAR|KRW|TWD|HKD|SGD|MYR|THB|IDR|PHP|VND|MXN|BRL|ARS|CLP|COP|PEN"
)
_CURRENCY = (
    rf"(?:(?:US|AU?|CA?|HK|NZ|SG?|MX|NT|R)?\$|\p{{Sc}}|{_CODES}|[Kk]r|Fr\.?|Rs\.?|Rp\.?|RM|R|zł|Kč)"
)
# What a unit begins with and goes on with; 5,- and 5.-- have no decimals.
_UNIT = r"[^\d\s.,:;()'\"+\-\x{2212}][^\d,:;()+\-\x{2212}]*"
_NO_DECIMALS = r"[.,][-–—]{1,2}"
_ORDINALS = ("st", "nd", "rd", "th")
_SPACE = r"[ \u00a0\u202f\u2009]"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
LAKHS = ",,"
"""What parts thousands and then hundreds of them, as in 12,34,567."""
# How whole numbers are grouped and where their decimals begin; the first that most cells obey.
NOTATIONS = {
    ("", "."): rf"(?:\d+\.?\d*|\.\d+){_EXPONENT}",
    (",", "."): r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+",
    ("", ","): rf"(?:\d+,?\d*|,\d+){_EXPONENT}",
    (".", ","): r"[1-9]\d{0,2}(?:\.\d{3})+(?:,\d*)?|\d+(?:,\d*)?|,\d+",
    ("'", "."): r"[1-9]\d{0,2}(?:['’]\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?",
    (" ", "."): rf"[1-9]\d{{0,2}}(?:{_SPACE}\d{{3}})+(?:\.\d*)?|\d+(?:\.\d*)?",
    (" ", ","): rf"[1-9]\d{{0,2}}(?:{_SPACE}\d{{3}})+(?:,\d*)?|\d+(?:,\d*)?",
    (LAKHS, "."): r"[1-9]\d?(?:,\d{2})*,\d{3}(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+",
}
GROUPING = {",": ",", ".": r"\.", "'": "['’]", " ": _SPACE, LAKHS: ","}


def share_of(texts: pl.Series, pattern: str) -> float:
    """How many of texts (K,) have the pattern, in [0, 1]."""
    return float(texts.str.contains(pattern).fill_null(False).mean() or 0)  # type: ignore[arg-type]


def affixes(stripped: pl.Series) -> tuple[str, str]:
    """What stands before and after all numbers, of what may: a currency, a percent, a unit."""
    before = stripped.str.extract(rf"^[+-]?\s*({_CURRENCY})\s*[+-]?[\d.,]")
    after = stripped.str.extract(rf"\d[.,]?\s*({_UNIT})$")
    dashed = stripped.str.extract(rf"\d({_NO_DECIMALS}\s*(?:{_UNIT})?)$")
    return _common(before), _common(dashed) or _common(after)


def _common(found: pl.Series) -> str:
    """The text that nine in ten of all have, or ""; a rank in a row is none."""
    counts = found.drop_nulls().value_counts(sort=True, name="count")
    if len(counts) and counts["count"][0] > 0.9 * len(found):
        common = str(counts[found.name][0])
        return "" if common in _ORDINALS else common
    return ""


def has_grouping(texts: pl.Series) -> bool:
    """Whether plain numbers look like 950 and 12.500, which has no decimals in Europe."""
    pointed = texts.filter(texts.str.contains(".", literal=True))
    return (
        0 < len(pointed) < len(texts)
        and share_of(pointed, r"^[+-]?[1-9]\d{0,2}(?:\.\d{3})+$") == 1
        and share_of(texts, r"^[+-]?\d{1,3}(?:\.|$)") == 1
        and bool(pointed.str.ends_with("0").any())
    )


def grouped(whole: pl.Series, group: str, sign: str) -> pl.Series:
    """Whole numbers as texts of digits, with a sign between groups of them."""
    parts = _in_lakhs if group == LAKHS else _in_thousands
    return pl.Series([sign.join(parts(text)) for text in whole], dtype=pl.String)


def _in_thousands(digits: str) -> list[str]:
    return f"{int(digits):,}".split(",")


def _in_lakhs(digits: str) -> list[str]:
    above = digits[:-3].zfill(len(digits[:-3]) + len(digits[:-3]) % 2)
    pairs = [above[start : start + 2] for start in range(0, len(above), 2)]
    return [*(pair.lstrip("0") if n == 0 else pair for n, pair in enumerate(pairs)), digits[-3:]]
