"""From files of a table to what was given in them: text, Parquet, Arrow, whole or compressed."""

import bz2
import gzip
import io
import itertools
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
import polars as pl
import zstandard
from typing_extensions import override

from made_exp.datasets.table.arrow import refuse_untrue_lengths
from made_exp.datasets.table.choosing import ALL, Chosen
from made_exp.datasets.table.panics import panics_unsaid
from made_exp.datasets.table.parquet import refuse_untrue_pages
from made_exp.datasets.table.raw import Origin, RawTable, listed
from made_exp.datasets.table.sources import format_of
from made_exp.datasets.table.text import TextStyle, TextTable, renames
from made_exp.errors import did_you_mean, one_line


@final
class _ZstdStream(io.RawIOBase):
    """The content of all frames of a zstd file; the library's own stream takes a cut one whole."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw, self._rest, self._found = raw, b"", b""
        self._frame: zstandard.ZstdDecompressionObj | None = None

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        while not self._found:
            block = self._rest or self._raw.read(_ZSTD_BLOCK)
            if not block and self._frame is not None:
                raise EOFError("it ends too early")
            if not block:
                return 0
            frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._found = frame.decompress(block)
            self._rest = frame.unused_data if frame.eof else b""
            self._frame = None if frame.eof else frame
        count = min(len(buffer), len(self._found))
        buffer[:count], self._found = self._found[:count], self._found[count:]
        return count


def _as_it_is(raw: BinaryIO) -> BinaryIO:
    return raw


_ZSTD_BLOCK = 2**18
_COMPRESSED: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    rb"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    rb"\x28\xb5\x2f\xfd": lambda raw: io.BufferedReader(_ZstdStream(raw)),
    rb"BZh[1-9]1AY&SY": bz2.BZ2File,
    rb"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""What the bytes of a file begin with -> what makes them whole."""
_MAGIC_BYTES = 64
_MAGIC = {
    rb"PAR1": "Parquet",
    rb"ARROW1": "Arrow",
    rb"FEA1": "Feather of the first version; write it again as Parquet",
    rb"PK\x03\x04": "a workbook or a zip archive; export it as CSV",
    rb"\xd0\xcf\x11\xe0": "a workbook of old; export it as CSV",
    rb"\x93NUMPY": "an array; save it with numpy.savez and take dataset=npz",
    rb"SQLite format 3\x00": "a database; export the table as CSV",
    rb"version https://git-lfs": "a pointer of Git LFS; fetch the file itself: git lfs pull",
    rb"%PDF-": "a PDF",
    rb"(?:\xef\xbb\xbf)?\s*<(?i:!doctype html|html\b)": "a web page (HTML); export it as CSV",
    rb"(?:\xef\xbb\xbf)?\s*<(?i:\?xml\b)": "XML; export it as CSV",
    rb"\x89PNG": "a picture",
    rb"\x89HDF": "HDF5; export the table as CSV or Parquet",
    rb"\x80[\x02-\x05][\x95c\]}(]": "a pickle; export what it holds as CSV or Parquet",
    rb"(?:\xef\xbb\xbf)?\s*[\[{](?:\s*[\"{}\[\]]|[ \t]*\r?\n)": (
        "JSON; write it as CSV, from Python with pandas.read_json(...).to_csv(...)"
    ),
}
"""What the bytes of a file begin with -> what it is."""
_TOO_LONG = r"precision must be between|primitive `Int256`"  # as Polars calls decimal256


def read_tables(files: Sequence[Path], style: TextStyle, chosen: Chosen = ALL) -> RawTable:
    """What was given in the chosen columns of all files; arguments and errors of `read_frame`."""
    frame, origin, delimiter, left_out = _read_chosen(files, style, chosen)
    return replace(RawTable.of_frame(frame, origin, delimiter), left_out=left_out)


def read_frame(files: Sequence[Path], style: TextStyle) -> tuple[pl.DataFrame, Origin, str | None]:
    """The rows of all files, one after the other, with the columns of the first.

    Args:
        files: At least one; their columns may stand in any order.
        style: How those of text are written.

    Returns:
        The rows with their own types, where they stand, and the delimiter where they are text.

    Raises:
        ValueError: If a file cannot be read, or has other columns than the first; with the line.
    """
    return _read_chosen(files, style, ALL)[:3]


def _read_chosen(
    files: Sequence[Path], style: TextStyle, chosen: Chosen
) -> tuple[pl.DataFrame, Origin, str | None, tuple[str, ...]]:
    """As `read_frame` of some columns, and which others the files have."""
    frames: list[pl.DataFrame] = []
    delimiters: list[str | None] = []
    renamed: dict[str, str] = {}
    left_out: dict[str, None] = {}
    for file in files:
        whole, text = _read(file, style)
        frame = whole.select(chosen.among(whole.columns))
        left_out |= dict.fromkeys(names_beside(whole, frame))
        if frames:
            refuse_other_columns(frame.columns, frames[0].columns, str(file), f"{files[0]} has")
            frame = frame.select(frames[0].columns)
        renamed = renamed if frames or text is None else text.renamed
        frames.append(frame)
        delimiters.append(text and text.delimiter)
    refuse_other_formats(files, delimiters)
    starts = tuple(itertools.accumulate(map(len, frames[:-1]), initial=0))

    def find_line(source: int, row: int) -> int:
        return TextTable(content_of(files[source]), str(files[source]), style).line_of(row)

    find = find_line if delimiters[0] else None
    origin = Origin(tuple(map(str, files)), starts, find, renamed=renamed)
    return stacked(frames, files), origin, delimiters[0], tuple(left_out)


def names_beside(whole: pl.DataFrame, part: pl.DataFrame) -> tuple[str, ...]:
    """The columns that a part of a table does not have."""
    kept = set(part.columns)
    return tuple(name for name in whole.columns if name not in kept)


def refuse_other_formats(files: Sequence[Path], delimiters: Sequence[str | None]) -> None:
    """Raise ValueError if some files of a table are text, and others, without delimiter, not."""
    if (delimiters[0] is None) != (None in delimiters):
        raise ValueError(f"{files[0]} and others of its table are of different formats")


def refuse_other_columns(
    given: Sequence[str], wanted: Sequence[str], source: str, whose: str
) -> None:
    """Raise ValueError if columns are missing or unknown.

    Args:
        given: Names of the columns that there are.
        wanted: Names of the columns that there must be, in any order.
        source: Where they were given.
        whose: Who wants them, as in "the table has".
    """
    known, there = set(wanted), set(given)
    if missing := [name for name in wanted if name not in there]:
        hint = did_you_mean(missing[0], [name for name in given if name not in known])
        hint = hint.replace("Did you mean", "Is it")
        raise ValueError(f"{source} has no column '{missing[0]}'; {whose} {listed(wanted)}{hint}")
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"{source} has unknown column '{unknown[0]}'; {whose} {listed(wanted)}")


def _read(file: Path, style: TextStyle) -> tuple[pl.DataFrame, TextTable | None]:
    """The rows of a file, and the text where it is one."""
    kind, content = typed_format(file), content_of(file)
    if kind is None:
        table = TextTable(content, str(file), style)
        frame = table.read()
        table.empty.say()
        return frame, table
    with as_read_errors(file, kind):
        frame = read_content(content, kind)
    if not frame.width or not len(frame):
        raise ValueError(f"{file} has no {'rows' if frame.width else 'columns'}")
    return frame.rename(renames(frame.columns, str(file))), None


def typed_format(file: Path) -> str | None:
    """Parquet or Arrow as its first bytes say, None for text.

    Raises:
        ValueError: If it cannot be read, or is something else.
    """
    with opened(file) as stream:
        content = stream.read(_MAGIC_BYTES)
    found = next((what for magic, what in _MAGIC.items() if re.match(magic, content)), "text")
    named = format_of(file)
    if found not in ("text", "Parquet", "Arrow"):
        raise ValueError(f"{file} is {found}")
    if found == "text" and named != "text":
        raise ValueError(f"{file} is no {named} file: it is damaged, or misnamed")
    return None if found == "text" else found


def read_content(content: bytes, kind: str) -> pl.DataFrame:
    """The rows of the bytes of a Parquet or Arrow file."""
    if kind == "Parquet":
        refuse_untrue_pages(memoryview(content))
        return with_days(pl.read_parquet(io.BytesIO(content)))
    refuse_untrue_lengths(np.frombuffer(content, np.uint8))
    return with_days(pl.read_ipc(io.BytesIO(content)))


def with_days(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame, whose dates are days of a calendar; others raise what Polars makes of them."""
    for column in frame.get_columns():
        if column.dtype in (pl.Date(), pl.Datetime):  # no day of a calendar is refused only here
            pl.Series([column.min(), column.max()], dtype=column.dtype).cast(pl.String)
    return frame


def scan_plain(file: Path, kind: str) -> pl.LazyFrame:
    """The rows of a Parquet or Arrow file that is not compressed as a whole, read when asked for.

    Raises:
        ValueError: If it says of its parts what cannot be true.
    """
    data = np.memmap(file, np.uint8, "r")
    if kind == "Parquet":
        refuse_untrue_pages(data.data)
        return pl.scan_parquet(file)
    refuse_untrue_lengths(data)
    return pl.scan_ipc(file)


@contextmanager
def as_read_errors(file: Path, kind: str) -> Iterator[None]:
    """Whatever a damaged file makes of its reader becomes a ValueError that names it."""
    try:
        with panics_unsaid():
            yield
    except (Exception, pl.exceptions.PanicException) as error:
        why, is_damaged = one_line(error), isinstance(error, pl.exceptions.PanicException)
        if re.search(_TOO_LONG, why):
            why = "decimals of more than 38 digits; write them with fewer, or as float64"
        elif is_damaged:
            why = f"damaged ({why})"
        raise ValueError(f"cannot read {file} as {kind}: {why}") from error


def content_of(file: Path) -> bytes:
    """The bytes of a file, made whole where they are compressed."""
    with opened(file) as stream:
        return stream.read()


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """The bytes of a file as a stream, made whole where they are compressed.

    Raises:
        ValueError: If they cannot be read, here or in the body.
    """
    try:
        with open(file, "rb") as raw:
            beginning = raw.read(_MAGIC_BYTES)
            raw.seek(0)
            wholes = (whole for magic, whole in _COMPRESSED.items() if re.match(magic, beginning))
            yield next(wholes, _as_it_is)(raw)
    except OSError as error:
        what = error.strerror or f"damaged ({one_line(error)})"
        raise ValueError(f"cannot read {file}: {what}") from error
    except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ValueError(f"cannot read {file}: damaged ({one_line(error)})") from error


def stacked(frames: Sequence[pl.DataFrame], files: Sequence[Path]) -> pl.DataFrame:
    """The frames one after the other; numbers of several types become the widest of them."""
    for name in frames[0].columns:
        types = {frame.schema[name] for frame in frames} - {pl.Null()}
        if len(types) > 1 and not all(dtype.is_numeric() for dtype in types):
            raise ValueError(
                f"column '{name}' holds {' and '.join(sorted(map(str, types)))} in {files[0]} and "
                "the other files of its table; write it as one type"
            )
    return pl.concat(frames, how="vertical_relaxed")
