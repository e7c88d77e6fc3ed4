"""Tables into files: text or typed, whole or compressed, as the ending of their name says."""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

import polars as pl
import zstandard

from made_exp.datasets.table.categories import Categories
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.columns import Aside, Numbers
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.line_style import LineStyle
from made_exp.datasets.table.months import MONTHS
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.patterns import has_clock
from made_exp.datasets.table.sources import COMPRESSED, format_of
from made_exp.datasets.table.stored import (
    UNITS_OF_SECOND,
    as_type,
    dtype_of,
    is_text,
    whole_type,
)
from made_exp.datasets.table.types_back import types_put_back
from made_exp.files import atomic_write_bytes

_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    # Without the time of writing: the same rows are the same bytes.
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".zst": lambda content: zstandard.ZstdCompressor().compress(content),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})\.\d{1,15}")
_TRUTHS = {"true": True, "false": False}
_FORMULA = r"^(?:=|[+@-].*[(|!])"


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows as a file of text may have them: no spreadsheet takes a text for a formula.

    What begins with `=`, or with `+`, `-` or `@` and calls something, follows a quote; numbers, and
    texts such as "-", "+49 30" or "@home", stay as they are.
    """
    cells = pl.selectors.string()
    if any(frame.select(cells.str.contains(_FORMULA).any()).row(0)):
        frame = frame.with_columns(cells.str.replace(_FORMULA, "'${0}"))
    return frame


def as_texts(values: pl.Series) -> pl.Series:
    """Values (N,) as cells of a file of text, exactly; durations in seconds.

    Raises:
        ValueError: If they are lists or the like.
    """
    if _is_no_text(values.dtype):
        raise ValueError(
            f"column '{values.name}' holds {values.dtype}, for which text has no place; "
            "write .parquet or .feather"
        )
    if isinstance(values.dtype, pl.Duration):
        return _seconds(values, UNITS_OF_SECOND[values.dtype.time_unit])
    return values.dt.to_string("%T%.f") if values.dtype == pl.Time else values.cast(pl.String)


def _is_no_text(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype in (pl.Binary, pl.Object)


def _seconds(durations: pl.Series, per_second: int) -> pl.Series:
    counted, digits = durations.cast(pl.Int64).cast(pl.String), len(str(per_second)) - 1
    sizes = counted.str.strip_prefix("-").str.zfill(digits + 1)
    sizes = sizes.str.replace(rf"(\d{{{digits}}})$", ".${1}")
    texts = counted.str.extract("^(-?)") + sizes.str.strip_chars_end("0").str.strip_suffix(".")
    return texts.alias(durations.name)


def for_text(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows as a file of text has them: what it has no type for as texts, and no formulas."""
    others = [c for c in frame if isinstance(c.dtype, pl.Duration) or _is_no_text(c.dtype)]
    return without_formulas(frame.with_columns(map(as_texts, others)))


def write_names(
    names: Sequence[str],
    renamed: Mapping[str, str],
    style: LineStyle,
    stream: IO[bytes],
    separator: str,
) -> None:
    """Write the first line of a file of text; names that are `renamed` need not be unique."""
    cells = {f"{place}": [renamed.get(name, name)] for place, name in enumerate(names)}
    stream.write(style.mark)
    style.write(without_formulas(pl.DataFrame(cells)), stream, separator)


def write_frame(
    path: Path,
    frame: pl.DataFrame,
    delimiter: str,
    renamed: Mapping[str, str] | None = None,
    like: str = "",
) -> None:
    """Write a table, atomically; columns of texts as they are, but for formulas.

    Args:
        path: Its ending says how: text, Parquet or Arrow, and for text whether compressed.
        frame: The rows; null where there is nothing.
        delimiter: Of text, where the ending does not say it.
        renamed: What columns are called in a file of text, where that is not their name.
        like: Where the rows came from: see `types_put_back` and `LineStyle`.
    """
    buffer = io.BytesIO()
    match format_of(path):
        case "Parquet":
            frame.write_parquet(buffer)
            again = io.BytesIO()
            buffer = again if types_put_back(buffer, like, again) else buffer
        case "Arrow":
            frame.write_ipc(buffer)
        case _:
            separator = delimiter_of(path, delimiter)
            style = LineStyle.of(like)
            write_names(frame.columns, renamed or {}, style, buffer, separator)
            style.write(for_text(frame), buffer, separator)
    compress = _COMPRESS.get(path.suffix.lower(), bytes)
    atomic_write_bytes(path, compress(buffer.getvalue()))


def typed(
    columns: Sequence[Column],
    frame: pl.DataFrame,
    stored: Mapping[str, pl.DataType] | None = None,
) -> pl.DataFrame:
    """The same rows with numbers, dates and truth values in place of their texts.

    Args:
        columns: Of the table, in the order of the frame.
        frame: Texts, null where there is nothing.
        stored: The types that columns have in the user's frame, by name; default those that
            they had in the table.
    """
    pairs = zip(columns, frame.get_columns(), strict=True)
    kinds = stored or {}
    return pl.DataFrame([typed_column(c, texts, kinds.get(c.name)) for c, texts in pairs])


def typed_column(column: Column, texts: pl.Series, stored: pl.DataType | None = None) -> pl.Series:
    """Values (N,) of the texts of one column, in the type that it has where it is stored.

    That is the type in the table that was understood, unless another is given. Where that was a
    text, it is the one of its values.
    """
    dtype = dtype_of(column.stored) if stored in (None, pl.Null) else stored
    is_digits = dtype is not None and dtype.is_integer() and _is_date(column)  # such as 20241231
    values = texts if is_text(dtype) or is_digits else _parsed(column, texts)
    is_whole = isinstance(column, Numbers) and _is_whole(column)
    if is_whole and values.dtype.is_float() and dtype is not None and dtype.is_integer():
        values = values.cast(pl.Int128, strict=False)  # beyond Int64
    return values if dtype is None else as_type(values, dtype)


def _is_date(column: Column) -> bool:
    return isinstance(column, Numbers) and isinstance(column.format, DateFormat)


def _parsed(column: Column, texts: pl.Series) -> pl.Series:
    if isinstance(column, Numbers):
        if isinstance(column.format, DateFormat):
            return _dates(column.format, texts).alias(texts.name)
        numbers = column.format.parse(texts)
        return numbers.cast(_number_type(column)).alias(texts.name)
    if isinstance(column, Categories):
        return _typed_spellings(column.spellings, texts)
    if isinstance(column, Aside) and column.next_number is not None:
        return texts if column.width else texts.cast(pl.Int64, strict=False)
    if isinstance(column, Aside) and column.text is not None:
        return _typed_spellings([column.text], texts)
    return texts


def _number_type(column: Numbers) -> pl.DataType:
    """What holds all that is counted exactly; Int64 of other whole numbers, else Float64."""
    assert column.variable is not None
    if not _is_whole(column):
        return pl.Float64()
    if column.variable.num_values is None:
        return pl.Int64() if _is_within(column, 2**63) else pl.Float64()
    last = column.offset + (column.variable.num_values - 1) * column.step
    return whole_type(column.offset, last)


def _is_whole(column: Numbers) -> bool:
    """Whether all that a column can hold is whole, and not what some draws of it happen to be."""
    assert column.variable is not None
    if not column.variable.is_real:
        return not column.decimals
    form = column.format
    is_written_so = isinstance(form, NumberFormat) and form.style == "fixed" and not form.decimals
    return is_written_so and _is_within(column, 2**127)


def _is_within(column: Numbers, limit: int) -> bool:
    return all(end is None or abs(end) < limit for end in (column.low, column.high))


def _typed_spellings(spellings: Sequence[str], texts: pl.Series) -> pl.Series:
    if all(map(_INTEGER.fullmatch, spellings)):
        return texts.cast(pl.Int64, strict=False)
    if all(map(_DECIMAL.fullmatch, spellings)):
        return texts.cast(pl.Float64, strict=False)
    if all(text.lower() in _TRUTHS for text in spellings):
        return texts.str.to_lowercase().replace_strict(
            _TRUTHS, default=None, return_dtype=pl.Boolean
        )
    return texts


def _dates(form: DateFormat, texts: pl.Series) -> pl.Series:
    moments = form.moments(texts)
    if form.is_clock:
        return (moments * 1000).cast(pl.Time)
    times = moments.cast(pl.Datetime("us"))
    is_whole = form.unit in ("days", *MONTHS) and not has_clock(form.pattern)
    return times.cast(pl.Date) if is_whole else times


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with as many underscores as make it none of those that are taken."""
    while name in taken:
        name += "_"
    return name


def delimiter_of(path: Path, otherwise: str) -> str:
    """What separates fields in a file of text: as its ending says, or else this."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSED]
    match suffixes[-1:]:
        case [".tsv" | ".tab"]:
            return "\t"
        case [".csv"] if otherwise == "\t":
            return ","
    return otherwise
