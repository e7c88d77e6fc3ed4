"""What reading a table takes of memory, estimated from its files."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from made_exp.datasets.table.files import as_read_errors, scan_plain
from made_exp.datasets.table.sources import COMPRESSED, format_of

# Bytes of memory at the peak of reading, for a byte of text and for a cell of other files.
_PER_BYTE, _PER_CELL = 10, 70
# What compressed files grow by, at a guess.
_GROWTH = 6


def needed_memory(files: Sequence[Path]) -> int:
    """Bytes that reading these files takes at the peak, about."""
    return sum(map(_needed, files))


def _needed(file: Path) -> int:
    kind, is_whole = format_of(file), file.suffix.lower() not in COMPRESSED
    if kind != "text" and is_whole:
        with suppress(ValueError, OSError), as_read_errors(file, kind):
            table = scan_plain(file, kind)
            rows = int(table.select(pl.len()).collect().item())
            return _PER_CELL * rows * len(table.collect_schema())
    with suppress(OSError):
        return file.stat().st_size * _PER_BYTE * (1 if is_whole else _GROWTH)
    return 0
