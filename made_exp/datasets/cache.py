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


def _places(data_dir: Path, relative: str) -> list[Path]:
    """Where the file may be: the user's cache folder stands in for a read-only data folder."""
    place = data_dir / relative
    if is_writable(place.parent):
        return [place]
    return [place, platformdirs.user_cache_path("made-exp") / relative]


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
    places = _places(data_dir, relative)
    for place in places:
        if place.is_file():
            try:
                return read(place)
            except (ValueError, OSError, KeyError, EOFError) as error:
                logger.warning("%s is damaged (%s): made anew", place, error)
    result = make()
    try:
        places[-1].parent.mkdir(parents=True, exist_ok=True)
        write(places[-1], result)
    except OSError as error:
        logger.warning("cannot keep %s: %s", places[-1], error)
    return result
