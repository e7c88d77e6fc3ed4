"""Files that are either whole or absent: written under a temporary name, flushed, renamed."""

import glob
import json
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_UNFINISHED = re.compile(r"\..+\.(\d{1,9})\.([0-9a-f]{8,16})(\.parts)?\.tmp")
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_begun: set[str] = set()  # tokens of what this process writes now, in any of its threads


@contextmanager
def atomic_path(path: str | Path, *, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success flush it to disk and rename it to `path`.

    What was at `path` is kept as `previous`, where that is given. When the body raises, the
    temporary file is removed and what was at `path` is left untouched. What a process that was
    killed had begun to write to `path` is removed.
    """
    path = Path(path)
    remove_unfinished(path.parent, f".{glob.escape(path.name)}.*.tmp", others_write=True)
    token = _HOST + secrets.token_hex(4)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{token}.tmp")
    _begun.add(token)
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
        _begun.discard(token)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; on success flush it and rename it to `path`.

    When the body raises, the folder is removed. What a process that was killed had begun to write
    to `path` is removed.
    """
    remove_unfinished(path.parent, f".{glob.escape(path.name)}.*.tmp", others_write=True)
    token = _HOST + secrets.token_hex(4)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{token}.tmp")
    _begun.add(token)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in filter(Path.is_file, temporary.rglob("*")):
            with open(file, "rb+") as stream:
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _begun.discard(token)


def folder_of_parts(temporary: Path) -> Path:
    """Where parts of a file may be kept until it is written under the name `temporary`."""
    return temporary.with_suffix(".parts.tmp")


def remove_unfinished(folder: Path, pattern: str = ".*.tmp", *, others_write: bool) -> None:
    """Remove from `folder` what `atomic_path` began in a process that was killed.

    Files of other names are left alone.

    Args:
        folder: It need not exist.
        pattern: Of the names.
        others_write: Whether processes that are alive, or are of another machine, may be writing
            there; theirs are left.
    """
    for path in folder.glob(pattern):
        found = _UNFINISHED.fullmatch(path.name)
        if found and not (others_write and _may_be_written(int(found[1]), found[2])):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _may_be_written(process: int, token: str) -> bool:
    if not token.startswith(_HOST):
        return True
    if process == os.getpid():
        return token in _begun  # else of an earlier process of this number
    return is_alive(process)


def is_alive(process: int) -> bool:
    """Whether a process of this number runs on this machine, anybody's."""
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
