"""Delimited text to texts by column: every cell as it was written, nothing guessed.

Polars reads: of the readers that are well kept it is the one that reads CSV, Parquet and Arrow with
several threads, needs no other package, and has a type for texts, so that a million rows of twenty
columns take seconds and less memory than the objects of another reader. It takes short rows and
odd quotes in silence or answers them without a line; so its rows and fields are counted against
the bytes, and where anything differs the careful reader goes over the text again.
"""

import contextlib
import copy
import csv
import io
import itertools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import polars as pl

from made_exp.datasets.table.emptiness import EmptyRows
from made_exp.datasets.table.layout import lay_out
from made_exp.datasets.table.records import Records, line_of_row, read_carefully
from made_exp.datasets.table.tightening import tightened

_log = logging.getLogger(__name__)
AUTO = "auto"
# Where several fit alike, the comma is the least likely: it stands in numbers and texts as well.
_DELIMITERS = "\t;|,"
_SAMPLE = 2**16
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?\r?\n', re.IGNORECASE)
_EMPTY_LINES = re.compile(rb"(?:[\t ;|,]*\n)+(?=([^\n]+))")
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")


@final
@dataclass(frozen=True)
class TextStyle:
    """How delimited text is written.

    Attributes:
        delimiter: One character, or "auto" to find it.
        encoding: Of Python's names, or "auto": UTF-8, or UTF-16 where a mark says so.
        header: Whether the first record holds the names of the columns.
        or_utf8: Whether text that can only be UTF-8 is read so, whatever `encoding` is.
        empty_rows: Whether rows whose cells are all empty are rows of the table.
    """

    delimiter: str = AUTO
    encoding: str = AUTO
    header: bool = True
    or_utf8: bool = False
    empty_rows: bool = True


@final
class TextTable:
    """A table in delimited text.

    Args:
        content: The bytes of a file.
        source: How messages call it.
        style: How it is written.

    Attributes:
        delimiter: The one that was given or found.
        names: Of the columns, unique.
        renamed: What the header calls columns, where that is not their name.
        empty: Of the rows that were left out, here and in what it is `continued` by.

    Raises:
        ValueError: If it is empty or no text; with the line.
    """

    def __init__(self, content: bytes, source: str, style: TextStyle) -> None:
        self.source, self._has_empty, header = source, style.empty_rows, style.header
        self.empty = EmptyRows(source)
        self.content = _with_newlines(_to_utf8(content, style, source), source)
        self.first_line, found = 1, style.delimiter
        if mark := _SEPARATOR_LINE.match(self.content):  # Excel's own hint
            self.content, self.first_line = self.content[mark.end() :], 2
            found = mark[1].decode() if found == AUTO else found
        if header and (above := _empty_lines_above(self.content)):
            self.first_line += above.count(b"\n")
            self.content = self.content[len(above) :]
        self.delimiter = found_delimiter(self.content) if found == AUTO else found
        self.content = tightened(self.content, self.delimiter, header=header)
        self._body, self._is_later, self.names = 0, False, list[str]()
        records = self._records()
        first = next(records, None)
        if first is None:
            what = "a line of column names is needed" if header else "it has no rows"
            raise ValueError(f"{source} is empty; {what}")
        self._check_width(first, found)
        names = [name.strip() for name in first] if header else [""] * len(first)
        self.names = unique_names(names, source, quiet=not header)
        pairs = zip(self.names, first, strict=True) if header else ()
        self.renamed = {name: given for name, given in pairs if name != given}
        if header and len(first) > 1 and all(map(_NUMBER.fullmatch, first)):
            _log.warning(
                "%s: the names of its columns are numbers (%s, ...): if that is a row, give "
                "dataset.header=false",
                source,
                ", ".join(first[:3]),
            )
        self._body = records.position if header else 0

    def continued(self, content: bytes, first_line: int) -> Self:
        """Rows of the same text, UTF-8, that come later and begin in this line."""
        later = copy.copy(self)
        content = _with_newlines(content, self.source)
        later.content = tightened(content, self.delimiter, header=False)
        later.first_line, later._body, later._is_later = first_line, 0, True
        return later

    def read(self) -> pl.DataFrame:
        """All rows but those left out, every cell a text; empty cells are null.

        Raises:
            ValueError: If there are none, or a record does not fit; with the line.
        """
        frame = self.read_fast()
        if frame is None:
            frame = read_carefully(self._records(), self.names)
        if not len(frame) and not self._is_later:
            raise ValueError(f"{self.source} has a header but no rows")
        if self._has_empty:
            return frame
        return self.empty.left_out(frame, lambda row: line_of_row(self._records(), row))

    def line_of(self, row: int) -> int:
        """The line, from 1, where a row of `read` begins."""
        return line_of_row(self._records(), row, empty_rows=self._has_empty)

    def read_fast(self) -> pl.DataFrame | None:
        """What polars reads, or None where it cannot or where it disagrees with the bytes."""
        body, has_quotes = self.content[self._body :].lstrip(b"\r\n"), b'"' in self.content
        if not body or not self.delimiter.isascii():
            return None
        layout = lay_out(body, self.delimiter)
        num_rows = layout.num_records - len(layout.blank)
        if not layout.is_regular or layout.num_delimiters != num_rows * (len(self.names) - 1):
            return None
        try:
            frame = pl.read_csv(
                body,
                has_header=False,
                separator=self.delimiter,
                quote_char='"' if has_quotes else None,
                schema=dict.fromkeys(self.names, pl.String),
                infer_schema=False,
            )
        except pl.exceptions.PolarsError:
            return None
        if len(frame) != layout.num_records:
            return None
        if len(layout.blank):
            rows = pl.int_range(len(frame), eager=True)
            frame = frame.filter(~rows.is_in(layout.blank))
        return frame.with_columns(pl.all().replace("", None)) if has_quotes else frame

    def _records(self) -> Records:
        line = self.first_line + self.content.count(b"\n", 0, self._body)
        is_wide = len(self.names) > 1
        rest = self.content[self._body :]
        return Records(rest, self.delimiter, self.source, line, is_wide=is_wide)

    def _check_width(self, first: Sequence[str], asked: str) -> None:
        other = found_delimiter(self.content)
        if asked != AUTO and len(first) == 1 and other != self.delimiter and other in first[0]:
            typed = "'\\t'" if other == "\t" else f"'{other}'"
            raise ValueError(
                f"{self.source} has one column only when split at '{self.delimiter}'; "
                f"did you mean dataset.delimiter={typed}?"
            )


def _empty_lines_above(content: bytes) -> bytes:
    """Lines of blanks and delimiters above one without a number, which has the names then."""
    found = _EMPTY_LINES.match(content)
    if found is None:
        return b""
    cells = re.split(f"[{_DELIMITERS}]", found[1].decode(errors="replace"))
    return b"" if any(map(_NUMBER.fullmatch, cells)) else found[0]


def found_delimiter(content: bytes) -> str:
    """The delimiter by which the header and the lines after it have the most fields alike."""
    end = content.find(b"\n", _SAMPLE) + 1
    sample = content[: end or None].decode(errors="replace")
    scores = {}
    for delimiter in _DELIMITERS:
        widths = _widths(sample, delimiter)
        alike = sum(width == widths[0] for width in widths) / len(widths)
        scores[delimiter] = (widths[0] > 1, alike == 1, alike * widths[0])
    return max(_DELIMITERS, key=lambda delimiter: scores[delimiter])


def _widths(sample: str, delimiter: str) -> list[int]:
    """Number of fields of each record, up to one that cannot be read; of at least one."""
    widths = list[int]()
    with contextlib.suppress(csv.Error):
        for record in csv.reader(io.StringIO(sample, newline="\n"), delimiter=delimiter):
            is_blank = not record or (widths and not "".join(record).strip())
            widths += [] if is_blank else [len(record)]
    return widths or [1]


def unique_names(names: Sequence[str], source: str, *, quiet: bool = False) -> list[str]:
    """The names, numbered where they are given twice and made where there are none."""
    unique, taken = dict[str, None](), set(names)
    for number, name in enumerate(names, 1):
        if name and name not in unique:
            unique[name] = None
            continue
        wanted = name or f"column_{number}"
        copies = (f"{wanted}_{copy}" for copy in itertools.count(2))
        chosen = next(new for new in itertools.chain([wanted], copies) if new not in taken)
        taken.add(chosen)
        unique[chosen] = None
        if not quiet:
            what = f"a second column '{name}'" if name else f"column {number} has no name; it"
            _log.warning("%s: %s is called '%s'", source, what, chosen)
    return list(unique)


def renames(names: Sequence[str], source: str) -> dict[str, str]:
    """What columns of a frame with names of its own are called instead, where they have none."""
    pairs = zip(names, unique_names(names, source), strict=True)
    return {name: unique for name, unique in pairs if name != unique}


def is_utf8(content: bytes, encoding: str) -> bool:
    """Whether text that begins so is UTF-8: `encoding` says so, or is auto and no mark differs."""
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    return _MARKS.get(mark, "utf-8") == "utf-8" if encoding == AUTO else _is_utf8(encoding)


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def _can_only_be_utf8(content: bytes) -> bool:
    """Whether it has letters beyond ASCII that are UTF-8; those of other encodings hardly are."""
    try:
        return not content.isascii() and bool(content.decode())
    except UnicodeDecodeError:
        return False


def _to_utf8(content: bytes, style: TextStyle, source: str) -> bytes:
    encoding = style.encoding
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    if encoding == AUTO:
        encoding, content = _MARKS.get(mark, "utf-8"), content[len(mark) :]
    elif _is_utf8(encoding) or (style.or_utf8 and _can_only_be_utf8(content)):
        encoding, content = "utf-8", content.removeprefix(b"\xef\xbb\xbf")
    if encoding == "utf-8":
        return content
    try:
        return content.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = content[:start].decode(encoding, errors="replace").count("\n") + 1
        raise ValueError(
            f"{source}, line {line}, byte {start + 1} of the file: not {encoding} text ({error})"
        ) from None


def _with_newlines(content: bytes, source: str) -> bytes:
    if (at := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, at) + 1
        what = f"{source}, line {line} holds a NUL byte"
        beginning = content[:_SAMPLE]
        if beginning.count(b"\0") < len(beginning) / 4:
            raise ValueError(f"{what}, which no text has: it is damaged, or not text; correct it")
        order = "be" if content[:1] == b"\0" else "le"
        raise ValueError(
            f"{what}: this is no text, or text in UTF-16 without a mark: save the file as UTF-8, "
            f"or train on it with dataset.encoding=utf-16-{order}"
        )
    return content if b"\n" in content else content.replace(b"\r", b"\n")
