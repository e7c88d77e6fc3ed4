"""A table of any length read in pieces, each a table as `files.read_tables` would give it.

Text in UTF-8 and files of types are read piece by piece, so that memory is bounded; text in other
encodings, with quotes in odd places or without line feeds is read whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import polars as pl

from made_exp.datasets.table.choosing import ALL, Chosen
from made_exp.datasets.table.files import (
    as_read_errors,
    content_of,
    names_beside,
    opened,
    read_content,
    refuse_other_columns,
    scan_plain,
    typed_format,
    with_days,
)
from made_exp.datasets.table.layout import lay_out
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.text import TextStyle, TextTable, is_utf8, renames

# Bytes of text, and rows of a file of types, that are read together.
BLOCK, ROWS = 2**22, 50_000
# More than there are before the first row: names, and Excel's own line before them.
_FIRST_LINES = 20
_QUOTE, _NEWLINE = b'"\n'


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """Some rows of a table.

    Attributes:
        raw: As they were given, to be encoded.
        frame: The same with their own types, to be written again; texts as they were.
        file: Number of the file that they are from.
    """

    raw: RawTable
    frame: pl.DataFrame
    file: int = 0


def read_pieces(
    files: Sequence[Path],
    style: TextStyle,
    chosen: Chosen = ALL,
    *,
    block: int = BLOCK,
    rows: int = ROWS,
) -> Iterator[Piece]:
    """The rows of all files, one after the other, with the columns of the first.

    Args:
        files: At least one; their columns may stand in any order.
        style: How those of text are written.
        chosen: Which of the columns are read.
        block: Bytes of text that are read together.
        rows: Rows of other files that are.

    Raises:
        ValueError: If a file cannot be read, or has other columns than the first; with the line.
    """
    names: list[str] = []
    for number, file in enumerate(files):
        kind = typed_format(file)
        pieces = _text_pieces(file, style, block) if kind is None else _typed(file, kind, rows)
        for piece in pieces:
            frame = piece.frame.select(chosen.among(piece.frame.columns))
            if left_out := names_beside(piece.frame, frame):
                raw = replace(piece.raw.select(frame.columns), left_out=left_out)
                piece = Piece(raw, frame)
            if names and frame.columns != names:
                refuse_other_columns(frame.columns, names, str(file), f"{files[0]} has")
                piece = Piece(piece.raw.select(names), frame.select(names))
            names = names or frame.columns
            yield replace(piece, file=number)


def _typed(file: Path, kind: str, rows: int) -> Iterator[Piece]:
    """The rows of a Parquet or Arrow file; of a compressed one, all of it is in memory."""
    with as_read_errors(file, kind):
        with open(file, "rb") as stream:
            is_plain = stream.read(4) in (b"PAR1", b"ARRO")
        table = scan_plain(file, kind) if is_plain else read_content(content_of(file), kind).lazy()
        count, names = table.select(pl.len()).collect().item(), table.collect_schema().names()
    if not count or not names:
        raise ValueError(f"{file} has no {'rows' if names else 'columns'}")
    table = table.rename(renames(names, str(file)))
    for start in range(0, count, rows):
        with as_read_errors(file, kind):
            frame = with_days(table.slice(start, rows).collect())
        origin = Origin((str(file),), (-start,))
        yield Piece(RawTable.of_frame(frame, origin), frame)


def _text_pieces(file: Path, style: TextStyle, block: int) -> Iterator[Piece]:
    table: TextTable | None = None
    line = 1
    for content in _blocks(file, style, block):
        if content.strip(b"\r\n"):
            table = (
                TextTable(content, str(file), style)
                if table is None
                else table.continued(content, line)
            )
            frame = table.read()
            find_line = partial(_line_of, table)
            origin = Origin((str(file),), find_line=find_line, renamed=table.renamed)
            if len(frame):
                yield Piece(RawTable.of_frame(frame, origin, table.delimiter), frame)
        line += content.count(b"\n")
    if table is None:
        table = TextTable(b"", str(file), style)  # says that it is empty
    table.empty.say()


def _line_of(table: TextTable, _: int, row: int) -> int:
    return table.line_of(row)


def _blocks(file: Path, style: TextStyle, block: int) -> Iterator[bytes]:
    """The bytes of a text cut between records, all at once where that cannot be done."""
    with opened(file) as stream:
        rest, is_first = stream.read(block), True
        if not is_utf8(rest, style.encoding) or b"\n" not in rest:
            yield rest + stream.read()
            return
        while more := stream.read(block):
            end = _end_of_records(rest)
            if end is None:
                yield rest + more + stream.read()
                return
            if is_first and rest[:end].strip().count(b"\n") < _FIRST_LINES:
                end = 0
            if end:
                yield rest[:end]
                is_first = False
            rest = rest[end:] + more
        yield rest


def _end_of_records(content: bytes) -> int | None:
    """Where the last whole record ends, 0 if none does; None where quotes tell nothing."""
    if b'"' not in content:
        return content.rfind(b"\n") + 1
    data = np.frombuffer(content, np.uint8)
    outside = np.cumsum(data == _QUOTE, dtype=np.uint8) & 1 == 0
    ends = np.flatnonzero((data == _NEWLINE) & outside)
    if not len(ends):
        return 0
    end = int(ends[-1]) + 1
    # Of what is outside the delimiter is one: any that cannot stand within a field will do.
    return end if _quotes_are_regular(content[:end]) else None


def _quotes_are_regular(content: bytes) -> bool:
    return any(lay_out(content, delimiter).is_regular for delimiter in ",;\t|")
