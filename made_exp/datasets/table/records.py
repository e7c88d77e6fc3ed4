"""The careful reader of delimited text: slow, and every mistake has its file and line."""

import csv
import io
import itertools
from collections.abc import Iterator

import polars as pl

from made_exp.datasets.table.emptiness import has_no_cell

_ROWS = 50_000


class Records:
    """The records of a text, one after the other, blank lines left out.

    Args:
        content: UTF-8.
        delimiter: One character.
        source: How messages call the text.
        first_line: Number of its first line.

    Attributes:
        line: Number of the line where the last record began, from 1.
        position: How many bytes of the content were read.
    """

    def __init__(self, content: bytes, delimiter: str, source: str, first_line: int = 1) -> None:
        self.source, self.line, self.position = source, first_line, 0
        self._first_line, self._content = first_line, content
        self._reader = csv.reader(self._lines(), delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        """The cells of the next record.

        Raises:
            ValueError: For a quote in a wrong place, or bytes that are no text; with the line.
        """
        record: list[str] = []
        while not record:
            self.line = self._first_line + self._reader.line_num
            try:
                record = next(self._reader)
            except csv.Error as error:
                raise ValueError(f"{self.source}, line {self.line}: {_words(error)}") from None
        return record

    def _lines(self) -> Iterator[str]:
        for number, line in enumerate(io.BytesIO(self._content), self._first_line):
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise ValueError(_not_utf8(line, error.start, self.source, number)) from None
            self.position += len(line)
            yield text


def read_carefully(records: Records, names: list[str]) -> pl.DataFrame:
    """The rows that are left, as a frame of texts; empty cells are null.

    Raises:
        ValueError: If a row has more or fewer fields than there are names; with the line.
    """
    parts, rows = [], list[list[str]]()
    for record in records:
        if len(record) != len(names):
            raise ValueError(
                f"{records.source}, line {records.line} has {len(record)} "
                f"{'field' if len(record) == 1 else 'fields'}, the header has {len(names)}"
            )
        rows.append(record)
        if len(rows) == _ROWS:
            parts.append(_frame(rows, names))
            rows.clear()
    return pl.concat([*parts, _frame(rows, names)])


def line_of_row(records: Records, row: int, *, empty_rows: bool = True) -> int:
    """The line in which a row begins, counted from 0, with those whose cells are empty or not."""
    rows = (records.line for record in records if empty_rows or not has_no_cell(record))
    return next(itertools.islice(rows, row, None))


def _frame(rows: list[list[str]], names: list[str]) -> pl.DataFrame:
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pl.DataFrame(
        [
            pl.Series(name, [cell or None for cell in cells], dtype=pl.String)
            for name, cells in zip(names, columns, strict=True)
        ]
    )


def _words(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field larger" in text:
        return 'a quote (") is opened here and not closed'
    if "expected after" in text:
        return f"text after a closing quote ({text}); a quote within quotes is written twice"
    if "new-line character" in text:
        return "a carriage return stands alone within the line"
    return text


def _not_utf8(line: bytes, at: int, source: str, number: int) -> str:
    codec = next((c for c in ("cp1252", "latin-1") if _can_decode(line[at : at + 1], c)), "latin-1")
    char = line[at : at + 1].decode(codec)
    return (
        f"{source}, line {number}, byte {at + 1}: 0x{line[at]:02x} is not UTF-8 text but '{char}' "
        f"in {codec}: save the file as UTF-8, or train on it with dataset.encoding={codec}"
    )


def _can_decode(byte: bytes, codec: str) -> bool:
    try:
        return byte.decode(codec).isprintable()
    except UnicodeDecodeError:
        return False
