"""Rows of a known table: read from a file, and written as one."""

import io
from pathlib import Path

import torch
from torch import Tensor

from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.text import TextStyle
from made_exp.files import atomic_write_text


def encode_rows(file: Path, schema: TableSchema) -> Tensor:
    """Read new rows of a known table, their columns in any order.

    Returns:
        (N, D) float64, NaN where missing.

    Raises:
        ValueError: If columns are missing or unknown, or a cell is no value of its column.
    """
    return torch.from_numpy(schema.encode(read_tables([Path(file)], TextStyle(schema.delimiter))))


def write_rows(path: Path, schema: TableSchema, x: Tensor) -> None:
    """Write x (N, D) as a CSV file with the columns of the table, atomically."""
    text = io.StringIO()
    schema.decode(x.detach().cpu().double().numpy()).write_csv(text, separator=schema.delimiter)
    atomic_write_text(path, text.getvalue())
