"""Results of slow computations on disk: atomic, rebuilt when damaged, never required."""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import platformdirs

logger = logging.getLogger(__name__)
T = TypeVar("T")


def is_writable(folder: Path) -> bool:
    """Whether files can be put into `folder`, or the folder made.

    A folder that is marked read-only for everybody counts as such for the superuser too.
    """
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    marked = stat.S_IMODE(existing.stat().st_mode) & 0o222
    return existing.is_dir() and bool(marked) and os.access(existing, os.W_OK | os.X_OK)


def _folders(data_dir: Path) -> tuple[Path, Path]:
    return data_dir, platformdirs.user_cache_path("made-exp")


def cached(
    data_dir: Path,
    relative: str,
    make: Callable[[], T],
    read: Callable[[Path], T],
    write: Callable[[Path, T], None],
) -> T:
    """Read what an earlier call left at `relative`, or make it and leave it there.

    Several processes may make it at once; as `make` is deterministic and `write` atomic, it does
    not matter which of them is last.

    Args:
        data_dir: The data folder; it may be read-only.
        relative: File name below it.
        make: Computes the result.
        read: Reads it back; ValueError, OSError, KeyError or EOFError mean a damaged file.
        write: Writes it atomically.
    """
    for folder in _folders(data_dir):
        if (folder / relative).is_file():
            try:
                return read(folder / relative)
            except (ValueError, OSError, KeyError, EOFError) as error:
                logger.warning("%s is damaged (%s): made anew", folder / relative, error)
    result = make()
    for folder in _folders(data_dir):
        try:
            if is_writable((folder / relative).parent):
                (folder / relative).parent.mkdir(parents=True, exist_ok=True)
                write(folder / relative, result)
                break
        except OSError as error:
            logger.warning("cannot keep %s: %s", folder / relative, error)
    return result
