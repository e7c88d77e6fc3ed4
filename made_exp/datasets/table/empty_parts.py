"""Parts of a table that hold no row, as those write them that share a table out among many."""

import logging
from collections.abc import Sequence
from pathlib import Path

from made_exp.datasets.table.files import as_read_errors, opened, read_content, typed_format
from made_exp.datasets.table.sources import find_tables

_log = logging.getLogger(__name__)
# A larger file is not read for it.
_MOST_BYTES = 2**20


def find_parts(
    path: str | Sequence[str], data_dir: Path, setting: str, *, header: bool
) -> list[Path]:
    """The files of a table as `find_tables` has them; of several only those that have a row.

    Args:
        path: See `find_tables`.
        data_dir: See there.
        setting: See there.
        header: Whether text begins with the names of the columns.

    Raises:
        ValueError: As there, or if one cannot be read.
    """
    files = find_tables(path, data_dir, setting)
    parts = [file for file in files if len(files) == 1 or _has_rows(file, header=header)]
    if not parts:
        return files  # the reader says what they lack
    if len(parts) < len(files):
        first = next(file for file in files if file not in parts)
        _log.warning(
            "%s: %d of %d files have no rows (%s is the first): passed over",
            setting,
            len(files) - len(parts),
            len(files),
            first,
        )
    return parts


def _has_rows(file: Path, *, header: bool) -> bool:
    with opened(file) as stream:
        content = stream.read(_MOST_BYTES)
    kind = typed_format(file)
    if len(content) == _MOST_BYTES:
        return True
    if kind is None:
        return len(content.split()) > 0 and content.strip().count(b"\n") >= header
    with as_read_errors(file, kind):
        return len(read_content(content, kind)) > 0
