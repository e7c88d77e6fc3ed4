"""Tables of the user's in CSV files: mixed columns, missing cells, and rows written back."""

import csv
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.schema import Cells, TableSchema
from made_exp.files import atomic_write_text

_BLANK: tuple[list[str], ...] = ([], [""])


def read_cells(file: Path, delimiter: str) -> list[Cells]:
    """The texts of every column of a CSV file.

    Raises:
        ValueError: If it is not such a file, with the line.
    """
    try:
        content = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text: byte {error.start} ({error.reason})") from None
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror or error}") from error
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        numbered = [
            (reader.line_num, [text.strip() for text in row]) for row in reader if row not in _BLANK
        ]
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: {error}") from error
    if not numbered:
        raise ValueError(f"{file} is empty; a line of column names is needed")
    header, rows = numbered[0][1], numbered[1:]
    _check_header(header, file, delimiter)
    for line, row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"{file}, line {line} has {len(row)} fields, the header has {len(header)}"
            )
    if not rows:
        raise ValueError(f"{file} has a header but no rows")
    lines = [line for line, _ in rows]
    columns = zip(*(row for _, row in rows), strict=True)
    return [Cells(n, list(c), lines, str(file)) for n, c in zip(header, columns, strict=True)]


def encode_rows(file: Path, schema: TableSchema) -> Tensor:
    """Read new rows of a known table, their columns in any order.

    Returns:
        (N, D) float64, NaN where missing.

    Raises:
        ValueError: If columns are missing or unknown, or a cell is no value of its column.
    """
    cells = {c.name: c for c in read_cells(Path(file), schema.delimiter)}
    missing = [name for name in schema.names if name not in cells]
    unknown = [name for name in cells if name not in schema.names]
    if missing or unknown:
        what = f"no column '{missing[0]}'" if missing else f"unknown column '{unknown[0]}'"
        raise ValueError(f"{file} has {what}; the table has {', '.join(schema.names)}")
    return torch.from_numpy(schema.encode([cells[name] for name in schema.names]))


def write_rows(path: Path, schema: TableSchema, x: Tensor) -> None:
    """Write x (N, D) as a CSV file with the columns of the table, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=schema.delimiter, lineterminator="\n")
    writer.writerow(schema.names)
    writer.writerows(schema.decode(np.asarray(x.detach().cpu().double())))
    atomic_write_text(path, text.getvalue())


def _check_header(header: list[str], file: Path, delimiter: str) -> None:
    for number, name in enumerate(header):
        if not name:
            raise ValueError(f"{file}: column {number + 1} has no name in the header")
        if name in header[:number]:
            raise ValueError(f"{file}: two columns are called '{name}'")
    likely = next((d for d in (";", "\t", ",", "|") if len(header) == 1 and d in header[0]), None)
    if likely:
        raise ValueError(
            f"{file} has one column only when split at '{delimiter}'; "
            f"did you mean dataset.delimiter='{likely}'?"
        )
