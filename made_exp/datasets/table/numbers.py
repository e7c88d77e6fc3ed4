"""Numbers as people write them: plain, with decimal commas, thousands, currencies or percent."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self, final

import numpy as np
import polars as pl
from typing_extensions import override

from made_exp.datasets.table.exponents import ExponentForm
from made_exp.datasets.table.formats import LEADING_ZERO, Format
from made_exp.datasets.table.notations import (
    GROUPING,
    LAKHS,
    NOTATIONS,
    affixes,
    grouped,
    has_grouping,
    share_of,
)
from made_exp.datasets.table.signs import PLAIN, around, usual_sign, with_minus

# A float64 holds this many significant digits of any number, and tells numbers of 17 apart.
SAFE_DIGITS, ALL_DIGITS = 15, 17
_EXACT = 2**53
# Of so many different numbers it is no chance that all but one have as many decimals.
_MANY = 20
# Decimals beyond this are the computer's, not a person's.
MAX_DECIMALS = 12


@final
@dataclass(frozen=True)
class NumberFormat(Format):
    """How the numbers of a column are written.

    Attributes:
        group: What parts thousands, or "".
        point: What the decimals begin with.
        prefix: Before every number, such as a currency; a sign stands before it.
        suffix: After every number, such as " %".
        decimals: Most digits after the point; in front of the exponent where there is one.
        min_decimals: Fewest of them: zeros beyond are left out.
        style: "fixed", "exponent" (1.2e-03) or "shortest" (an exponent where that is shorter).
        digits: Significant digits of the shortest style.
        group_sign: What `group` is written as: of the spaces and apostrophes one in particular.
        exponent_sign: What an exponent begins with; this and the next two, see `ExponentForm`.
        exponent_plus: What one above zero has then.
        exponent_digits: How many digits it has at least.
        plus: What positive numbers begin with.
        negative: How one below zero is written around its prefix, digits and suffix.
        zero: Whether 0.5 begins with a zero.
        signed_zero: Whether 0 has the `plus` of positive numbers.
        whole: The one text without decimals where all others have as many, such as -9999.
    """

    name: ClassVar[str] = "number"
    group: str = ""
    point: str = "."
    prefix: str = ""
    suffix: str = ""
    decimals: int = 0
    min_decimals: int = 0
    style: str = "fixed"
    digits: int = ALL_DIGITS
    group_sign: str = ""
    exponent_sign: str = "e"
    exponent_plus: str = "+"
    exponent_digits: int = 2
    plus: str = ""
    negative: str = PLAIN
    zero: bool = True
    signed_zero: bool = True
    whole: str = ""

    @override
    def parse(self, texts: pl.Series) -> pl.Series:
        """Float64 of texts; Int64 or Int128 where all of them are whole and small enough."""
        numbers = self._parse(texts)
        is_read = numbers.null_count() == texts.null_count()
        return numbers if is_read else self._parse(with_minus(texts))

    def _parse(self, texts: pl.Series) -> pl.Series:
        bare = self._bare(texts)
        if self.group or self.point != ".":  # else polars reads what the pattern allows
            pattern = NOTATIONS[self.group, self.point]
            bare = bare.set(~bare.str.contains(rf"^[+-]?(?:{pattern})$").fill_null(False), None)
        if self.group:
            bare = bare.str.replace_all(GROUPING[self.group], "")
        if self.point == ",":
            bare = bare.str.replace(",", ".", literal=True)
        return as_numbers(bare)

    def _bare(self, texts: pl.Series) -> pl.Series:
        """Sign and digits of texts: what is before and after taken off, null where that lacks."""
        before, after = self.prefix.strip(), self.suffix.strip()
        if not before and not after:
            return texts
        sign = r"([+-]?)\s*" if before else "([+-]?)"
        pattern = (
            rf"^{sign}{re.escape(before)}\s*([+-]?[^+-]*?(?:[eE][+-]?\d+)?)\s*{re.escape(after)}$"
        )
        parts = texts.str.extract_groups(pattern)
        return parts.struct.field("1") + parts.struct.field("2")

    @override
    def write(self, values: np.ndarray) -> pl.Series:
        """Texts of numbers (N,): int64, Python's own integers or float64, NaN not among them."""
        texts = self._write(np.asarray(values))
        if not self.whole:
            return texts
        value = self.parse(pl.Series([self.whole])).cast(pl.Float64).to_numpy()
        return texts.replace(self._write(value), pl.Series([self.whole]))

    def _write(self, values: np.ndarray) -> pl.Series:
        numbers = pl.Series(self._plain(values), dtype=pl.String)
        sign = numbers.str.starts_with("-")
        body = numbers.str.strip_prefix("-")
        parts = body.str.splitn(".", 2)
        whole, fraction = parts.struct.field("field_0"), parts.struct.field("field_1")
        if self.group:
            whole = grouped(whole, self.group, self.group_sign or self.group[:1])
        if self.point == "," or self.group:
            body = (whole + (self.point + fraction)).fill_null(whole)
        if not self.zero:
            body = body.str.replace(r"^0([.,]\d)", "$1")
        before, after = around(self.negative, self.prefix, self.suffix)
        below, other = before + body + after, self.prefix + body + self.suffix
        if self.plus:
            is_plain = ~body.str.contains("[1-9]") & (not self.signed_zero)
            other = other.zip_with(is_plain, self.plus + other)
        return below.zip_with(sign, other)

    def _plain(self, values: np.ndarray) -> list[str]:
        if self.style == "exponent":
            texts = [f"{v:.{self.decimals}e}" for v in (values + 0.0).tolist()]
            return list(map(self._exponents.apply, texts))
        if self.style == "shortest":
            texts = [_shortest(v, self.digits) for v in (values + 0.0).tolist()]
            return list(map(self._exponents.apply, texts))
        if values.dtype.kind in "iO":
            tail = "." + "0" * self.min_decimals if self.min_decimals else ""
            return [f"{v}{tail}" for v in values.tolist()]
        rounded = np.round(values, self.decimals) + 0.0  # -0.0 is written as 0
        texts = [f"{v:.{self.decimals}f}" for v in rounded.tolist()]
        if self.min_decimals == self.decimals:
            return texts
        return [_trimmed(text, self.decimals, self.min_decimals) for text in texts]

    @property
    def _exponents(self) -> ExponentForm:
        return ExponentForm(self.exponent_sign, self.exponent_plus, self.exponent_digits)

    @override
    def describe(self) -> str:
        notes = []
        if self.prefix.strip() or self.suffix.strip():
            notes.append(f"'{(self.prefix + '#' + self.suffix).strip()}'")
        if self.group:
            notes.append(f"thousands '{self.group[:1]}'{', lakhs' * (self.group == LAKHS)}")
        if self.point == ",":
            notes.append("decimal comma")
        return ", ".join(notes)

    @override
    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    @classmethod
    def of_texts(cls, texts: pl.Series) -> Self | None:
        """The format of texts (K,) without spaces around, of which nine in ten are such numbers.

        Codes with leading zeros are no numbers. None where the texts are something else.
        """
        given, texts = texts, with_minus(texts)
        if len(texts) == 0 or bool(texts.str.contains(LEADING_ZERO).any()):
            return None
        if share_of(texts, rf"^[+-]?(?:{NOTATIONS['', '.']})$") == 1:
            best: Self | None = cls(group=".", point=",") if has_grouping(texts) else cls()
        else:
            best = cls._dressed(texts)
        if best is None:
            return None
        return best._with_digits(texts)._with_negative(given)._with_whole(given)

    @classmethod
    def _dressed(cls, stripped: pl.Series) -> Self | None:
        prefix, suffix = affixes(stripped)
        bare = cls(prefix=prefix, suffix=suffix)._bare(stripped)
        if bool(bare.str.contains(LEADING_ZERO).any()):
            return None
        shares = {key: share_of(bare, rf"^[+-]?(?:{way})$") for key, way in NOTATIONS.items()}
        group, point = max(shares, key=lambda key: shares[key])
        if shares[group, point] <= 0.9:
            return None
        return cls(group=group, point=point, prefix=prefix, suffix=suffix)

    def _with_digits(self, texts: pl.Series) -> Self:
        """The format, with the digits and spaces that these texts have."""
        known = texts.filter(self.parse(texts).is_not_null())
        bare = self._bare(known)
        mantissa = bare.str.extract(r"^([^eE]*)")
        fraction = mantissa.str.extract(rf"\{self.point}(\d*)$").fill_null("").str.len_chars()
        most, fewest = int(fraction.max() or 0), int(fraction.min() or 0)  # type: ignore[arg-type]
        prefix, suffix = _spaced(self, known)
        form = self._with_signs(known, bare)
        result = replace(form, decimals=most, min_decimals=fewest, prefix=prefix, suffix=suffix)
        exponents = bare.str.contains("[eE]")
        if bool(exponents.all()):
            return replace(result, style="exponent", min_decimals=most)
        digits = mantissa.str.replace_all(r"\D", "").str.strip_chars_start("0").str.len_chars()
        longest = int(digits.max() or 1)  # type: ignore[arg-type]
        is_machines = most > MAX_DECIMALS or (most > 0 and longest > SAFE_DIGITS)
        if is_machines or bool(exponents.any()):
            return replace(result, style="shortest", digits=min(max(longest, 1), ALL_DIGITS))
        return result

    def _with_signs(self, known: pl.Series, bare: pl.Series) -> Self:
        """The format, with the signs that its numbers (K,) have, with and without their dress."""
        groups = bare.str.extract(rf"\d({GROUPING.get(self.group, '_')})\d").drop_nulls()
        has_sign, is_zero = known.str.contains(r"^[+-]"), ~bare.str.contains("[1-9]")
        has_plus = (has_sign | is_zero).all() and known.str.starts_with("+").any()
        below_one = bare.filter(bare.str.contains(r"^[+-]?0?[.,]\d"))
        return replace(
            self,
            group_sign=str(groups.mode().sort()[0]) if len(groups) else "",
            **ExponentForm.of_texts(bare)._asdict(),
            plus="+" if has_plus else "",
            signed_zero=bool((has_sign | ~is_zero).all()),
            zero=not len(below_one) or bool(below_one.str.contains("^[+-]?0").any()),
        )

    def _with_whole(self, texts: pl.Series) -> Self:
        """The format, with the one of these texts that lacks decimals, if all others have them."""
        if self.style != "fixed" or self.min_decimals or not self.decimals:
            return self
        known = texts.filter(self.parse(texts).is_not_null()).unique()
        decimals = known.str.extract(rf"\{self.point}(\d+)\D*$").str.len_chars()
        whole, others = known.filter(decimals.is_null()), decimals.drop_nulls()
        if len(whole) != 1 or len(others) < _MANY or others.n_unique() > 1:
            return self
        return replace(self, min_decimals=self.decimals, whole=str(whole[0]))

    def _with_negative(self, texts: pl.Series) -> Self:
        """The format, with the way in which most of its numbers below zero are written."""
        below = texts.filter((self.parse(texts) < 0).fill_null(False))
        return replace(self, negative=usual_sign(below, self.prefix, self.suffix))


def as_numbers(bare: pl.Series) -> pl.Series:
    """Int64 of plain numbers as texts where all are whole and fit in it; Int128; or Float64."""
    integers = bare.cast(pl.Int64, strict=False)
    if integers.null_count() == bare.null_count():
        return integers
    numbers = bare.cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite(), None)
    known = numbers.drop_nulls()
    if not len(known) or not bool((known == known.floor()).all()):
        return numbers
    digits = bare.str.replace(r"\.0*$", "")
    for dtype in (pl.Int64, pl.Int128):
        integers = digits.cast(dtype, strict=False)
        if integers.null_count() == numbers.null_count():
            return integers
    # 1e+05 among 95000
    return numbers.cast(pl.Int64) if bool((known.abs() < _EXACT).all()) else numbers


def _spaced(form: NumberFormat, texts: pl.Series) -> tuple[str, str]:
    """Prefix and suffix with the spaces that all texts have between them and the number."""
    before, after = form.prefix.strip(), form.suffix.strip()
    head = texts.str.extract(rf"^[+-]?\s*({re.escape(before)}\s*)").drop_nulls()
    tail = texts.str.extract(rf"(\s*{re.escape(after)})$").drop_nulls()
    return (
        str(head[0]) if before and head.n_unique() == 1 else before,
        str(tail[0]) if after and tail.n_unique() == 1 else after,
    )


def _trimmed(text: str, most: int, fewest: int) -> str:
    """Text of `most` decimals without the zeros at its end beyond `fewest` decimals."""
    kept = text.rstrip("0")
    decimals = len(kept) - kept.index(".") - 1
    if decimals < fewest:
        return text[: len(text) - most + fewest]
    return kept.removesuffix(".")


def _shortest(value: float, digits: int) -> str:
    text = repr(value) if digits >= ALL_DIGITS else f"{value:.{digits}g}"
    return "0" if text in ("-0", "0", "-0.0") else text
