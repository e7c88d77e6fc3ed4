"""What Polars itself writes to the standard error when a damaged file ends one of its threads."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import polars as pl

_STDERR = 2
_held = threading.Lock()


@contextmanager
def panics_unsaid() -> Iterator[None]:
    """Leave out what was written to the standard error where the body ends with Polars' panic.

    The exception says the same. Where there is none, all that was written, by whatever thread, is
    written at the end of the body. While a thread is in one, bodies of other threads do nothing.

    Raises:
        PanicException: If the body does.
    """
    if not _is_open(_STDERR) or not _held.acquire(blocking=False):
        yield
        return
    try:
        with _said_elsewhere() as said:
            try:
                yield
            except pl.exceptions.PanicException:
                os.ftruncate(said, 0)
                raise
    finally:
        _held.release()


@contextmanager
def _said_elsewhere() -> Iterator[int]:
    """The standard error goes into a file in memory, given here, and at the end where it went."""
    with open(os.memfd_create("said"), "rb") as said:
        kept = os.dup(_STDERR)
        os.dup2(said.fileno(), _STDERR)
        try:
            yield said.fileno()
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            said.seek(0)
            with suppress(OSError):
                os.write(_STDERR, said.read())


def _is_open(file: int) -> bool:
    with suppress(OSError):
        os.fstat(file)
        return True
    return False
