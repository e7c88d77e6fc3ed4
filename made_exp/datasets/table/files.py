"""From files of a table to what was given in them: text, Parquet, Arrow, whole or compressed."""

import bz2
import gzip
import io
import itertools
import lzma
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
import zstandard

from made_exp.datasets.table.raw import Origin, RawTable, listed
from made_exp.datasets.table.sources import format_of
from made_exp.datasets.table.text import TextStyle, TextTable
from made_exp.errors import did_you_mean, one_line


def _without_zstd(content: bytes) -> bytes:
    whole = []
    while content:
        frame = zstandard.ZstdDecompressor().decompressobj()
        whole.append(frame.decompress(content))
        if not frame.eof:
            raise EOFError("it ends too early")
        content = frame.unused_data
    return b"".join(whole)


_COMPRESSED: Mapping[bytes, Callable[[bytes], bytes]] = {
    rb"\x1f\x8b": gzip.decompress,
    rb"\x28\xb5\x2f\xfd": _without_zstd,
    rb"BZh[1-9]1AY&SY": bz2.decompress,
    rb"\xfd7zXZ\x00": lzma.decompress,
}
"""What the bytes of a file begin with -> what makes them whole."""
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
}
"""What the bytes of a file begin with -> what it is."""


def read_tables(files: Sequence[Path], style: TextStyle) -> RawTable:
    """The rows of all files, one after the other, with the columns of the first.

    Args:
        files: At least one; their columns may stand in any order.
        style: How those of text are written.

    Raises:
        ValueError: If a file cannot be read, or has other columns than the first; with the line.
    """
    frames: list[pl.DataFrame] = []
    delimiters: list[str | None] = []
    for file in files:
        frame, delimiter = _read(file, style)
        if frames:
            refuse_other_columns(frame.columns, frames[0].columns, str(file), f"{files[0]} has")
            frame = frame.select(frames[0].columns)
        frames.append(frame)
        delimiters.append(delimiter)
    if (delimiters[0] is None) != (None in delimiters):
        raise ValueError(f"{files[0]} and others of its table are of different formats")
    starts = tuple(itertools.accumulate(map(len, frames[:-1]), initial=0))

    def find_line(source: int, row: int) -> int:
        return TextTable(_content(files[source]), str(files[source]), style).line_of(row)

    origin = Origin(tuple(map(str, files)), starts, find_line if delimiters[0] else None)
    return RawTable.of_frame(_stacked(frames, files), origin, delimiters[0])


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


def _read(file: Path, style: TextStyle) -> tuple[pl.DataFrame, str | None]:
    """The rows of a file, and its delimiter where it is text."""
    content, source = _content(file), str(file)
    found = next((what for magic, what in _MAGIC.items() if re.match(magic, content)), "text")
    named = format_of(file)
    if found not in ("text", "Parquet", "Arrow"):
        raise ValueError(f"{source} is {found}")
    if found == "text" and named != "text":
        raise ValueError(f"{source} is no {named} file: it is damaged, or misnamed")
    if found == "text":
        table = TextTable(content, source, style)
        return table.read(), table.delimiter
    try:
        reader = pl.read_parquet if found == "Parquet" else pl.read_ipc
        frame = reader(io.BytesIO(content))
    except Exception as error:  # whatever a damaged file makes of its reader
        raise ValueError(f"cannot read {source} as {found}: {one_line(error)}") from error
    if not frame.width or not len(frame):
        raise ValueError(f"{source} has no {'rows' if frame.width else 'columns'}")
    return frame, None


def _content(file: Path) -> bytes:
    """The bytes of a file, made whole where they are compressed."""
    try:
        content = file.read_bytes()
        decompress = next((way for m, way in _COMPRESSED.items() if re.match(m, content)), None)
        return content if decompress is None else decompress(content)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror or error}") from error
    except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError) as error:
        raise ValueError(f"cannot read {file}: damaged ({one_line(error)})") from error


def _stacked(frames: Sequence[pl.DataFrame], files: Sequence[Path]) -> pl.DataFrame:
    """The frames one after the other; numbers of several types become the widest of them."""
    for name in frames[0].columns:
        types = {frame.schema[name] for frame in frames} - {pl.Null()}
        if len(types) > 1 and not all(dtype.is_numeric() for dtype in types):
            raise ValueError(
                f"column '{name}' holds {' and '.join(sorted(map(str, types)))} in {files[0]} and "
                "the other files of its table; write it as one type"
            )
    return pl.concat(frames, how="vertical_relaxed")
