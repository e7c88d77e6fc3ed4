"""Files that are either whole or absent: written under a temporary name, flushed, renamed."""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_UNFINISHED = re.compile(r"\..+\.(\d{1,9})\.[0-9a-f]{8}\.tmp")


@contextmanager
def atomic_path(path: str | Path, *, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success flush it to disk and rename it to `path`.

    What was at `path` is kept as `previous`, where that is given. When the body raises, the
    temporary file is removed and what was at `path` is left untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path, *, others_write: bool) -> None:
    """Remove from `folder` what `atomic_path` began in a process that was killed.

    Files of other names are left alone.

    Args:
        folder: It need not exist.
        others_write: Whether processes that are alive may be writing there; theirs are left.
    """
    for path in folder.glob(".*.tmp"):
        found = _UNFINISHED.fullmatch(path.name)
        if found and not (others_write and _is_alive(int(found[1]))):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False  # of an earlier process of this number: this one has begun nothing here
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def atomic_write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def atomic_write_text(path: str | Path, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    atomic_write_bytes(path, content.encode())


def atomic_write_json(path: str | Path, content: Any) -> None:
    """Write `content` to `path` atomically, as indented `json_text`."""
    atomic_write_text(path, json_text(content, indent=2) + "\n")


def atomic_write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name to `path` atomically, as a .npz file."""
    import numpy as np

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def json_text(content: Any, indent: int | None = None) -> str:
    """`content` as JSON, in which numbers that are not finite have no word: they become null."""
    finite = json.loads(json.dumps(content), parse_constant=lambda _: None)
    return json.dumps(finite, indent=indent, allow_nan=False)
