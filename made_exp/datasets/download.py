"""Files of datasets: downloaded once or computed once, under a lock, and never used in part."""

import gzip
import hashlib
import logging
import os
import stat
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import filelock
import platformdirs

from made_exp.errors import DownloadError
from made_exp.files import atomic_path, atomic_write_text

logger = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
LOCK_SECONDS = 1800.0
# A server that sends less than this for so long counts as stalled.
SLOWEST_BYTES_PER_SECOND, PATIENCE_SECONDS = 1000.0, 60.0
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Checksum:
    """What a file must be.

    Attributes:
        algorithm: "git-blob" is the SHA-1 of `blob <size>`, a zero byte and the content.
        digest: Lower-case hexadecimal.
        decompressed: Whether the digest is of the bytes inside a gzip file (a plain file is
            then taken as it is), so that the same data compressed anew are accepted.
    """

    algorithm: Literal["md5", "sha256", "git-blob"]
    digest: str
    decompressed: bool = False

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest}" + (" when decompressed" * self.decompressed)


def digest_problem(path: Path, checksum: Checksum) -> str | None:
    """Why the file at `path` is not what `checksum` says, or None when it is."""
    try:
        found = _digest(path, checksum.algorithm, checksum.decompressed)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"not a whole gzip file ({error})"
    return None if found == checksum.digest else f"{checksum.algorithm} is {found}"


def _digest(path: Path, algorithm: str, decompressed: bool = False) -> str:
    blob = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with open(path, "rb") as file:
        packed = decompressed and file.read(2) == GZIP_MAGIC
    with gzip.open(path) if packed else open(path, "rb") as content:
        kind = (lambda: blob) if algorithm == "git-blob" else algorithm
        return hashlib.file_digest(content, kind).hexdigest()


def fetch(urls: Sequence[str], path: Path, checksum: Checksum | None) -> Path:
    """Return `path`, downloaded from the first of `urls` that delivers it unless it is there.

    A file that is there and right is used without writing anything. Several processes may ask at
    once: one downloads, the others wait.

    Args:
        urls: Mirrors, in order of preference.
        path: Where the file belongs.
        checksum: What it must be. None when nothing is published: then the SHA-256 of the file
            that is first seen is recorded beside it, and holds from then on.

    Raises:
        DownloadError: With the reason for every mirror and the place to put the file by hand.
    """
    record = path.with_name(f"{path.name}.sha256")
    try:
        if checksum is None and record.is_file():
            checksum = Checksum("sha256", (record.read_text().split() or ["nothing"])[0])
        problem = _problem_with(path, checksum)
    except OSError as error:
        raise DownloadError(f"cannot read {path}: {error.strerror or error}") from error
    if problem is not None:
        _download_once(urls, path, checksum, problem)
    if checksum is None:
        try:
            atomic_write_text(record, f"{_digest(path, 'sha256')}  {path.name}\n")
        except OSError as error:
            logger.warning("cannot record the checksum of %s: %s", path, error)
    return path


def _problem_with(path: Path, checksum: Checksum | None) -> str | None:
    """Why `path` cannot be used as it is, or None when it can."""
    if not path.is_file():
        return "missing"
    wrong = None if checksum is None else digest_problem(path, checksum)
    return f"damaged ({wrong})" if wrong else None


def _download_once(
    urls: Sequence[str], path: Path, checksum: Checksum | None, problem: str
) -> None:
    """Fill `path`, unless another process does so while this one waits for the lock."""
    try:
        if not is_writable(path.parent):
            raise PermissionError("its folder is read-only")
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS):
            if _problem_with(path, checksum) is not None:
                _download(urls, path, checksum, problem)
    except filelock.Timeout:
        raise DownloadError(
            f"waited {LOCK_SECONDS:g} s for another process that downloads {path}"
        ) from None
    except OSError as error:
        raise DownloadError(
            f"{path} is {problem}, and cannot be written: {error.strerror or error}; "
            "set MADE_DATA_DIR to a folder that can be written"
        ) from error


def _download(urls: Sequence[str], path: Path, checksum: Checksum | None, problem: str) -> None:
    """Fill `path` from the first mirror that delivers the right bytes; the lock is held."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        stale.unlink(missing_ok=True)  # of a process that was killed: the lock is ours
    if problem != "missing":
        logger.warning("%s is %s: downloading it again", path, problem)
    failures = []
    for url in urls:
        try:
            with atomic_path(path) as temporary:
                _retrieve(url, temporary, path.name)
                wrong = checksum and digest_problem(temporary, checksum)
                if wrong:
                    raise _MirrorFailed(f"wrong content: {wrong}")
            return
        except _MirrorFailed as error:
            failures.append(f"{url}: {error}")
    wanted = f" ({checksum})" if checksum else ""
    raise DownloadError(
        f"{path} is {problem} and could not be downloaded ({'; '.join(failures)}). "
        f"Without a network, put the file there by hand{wanted}, or set MADE_DATA_DIR"
    )


class _MirrorFailed(Exception):
    """A server did not deliver, or delivered something else."""


def _retrieve(url: str, path: Path, label: str) -> None:
    """Write what `url` delivers to `path`, with a progress bar on a terminal.

    Raises:
        _MirrorFailed: If the server refuses, cuts, stalls or says another length than it sends.
    """
    import requests  # only where there is something to download
    from rich.console import Console
    from rich.progress import Progress

    console, started = Console(stderr=True), time.monotonic()
    try:
        with (
            requests.get(url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response,
            Progress(console=console, disable=not console.is_terminal) as bar,
            open(path, "wb") as file,
        ):
            response.raise_for_status()
            size = response.headers.get("Content-Length")
            task = bar.add_task(label, total=int(size) if size else None)
            for block in response.iter_content(4096):
                received, seconds = file.tell() + file.write(block), time.monotonic() - started
                if seconds > PATIENCE_SECONDS and received < SLOWEST_BYTES_PER_SECOND * seconds:
                    raise _MirrorFailed(f"too slow: {received} bytes in {seconds:.0f} s")
                bar.update(task, completed=received)
    except (requests.RequestException, ValueError) as error:
        raise _MirrorFailed(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """The innermost cause of a network error, in a few words."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    if isinstance(inner, BaseException):
        return _reason(inner)
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text.split("): ", 1)[-1][:160]  # without "HTTPSConnection(host=..., port=...): "


def is_writable(folder: Path) -> bool:
    """Whether files can be put into `folder`, or the folder made.

    A folder that is marked read-only for everybody counts as such for the superuser too.
    """
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    marked = stat.S_IMODE(existing.stat().st_mode) & 0o222
    return existing.is_dir() and bool(marked) and os.access(existing, os.W_OK | os.X_OK)


def cached(
    data_dir: Path,
    relative: str,
    make: Callable[[], T],
    read: Callable[[Path], T],
    write: Callable[[Path, T], None],
) -> T:
    """Read what an earlier call left at `relative`, or make it and leave it there.

    The path is below `data_dir`; where that is read-only the user's cache folder stands in.
    Several processes may make it at once; as `make` is deterministic and `write` atomic, it does
    not matter which of them is last. ValueError, OSError, KeyError or EOFError of `read` mean a
    damaged file.
    """
    places = [data_dir / relative]
    if not is_writable(places[0].parent):
        places.append(platformdirs.user_cache_path("made-exp") / relative)
    for place in filter(Path.is_file, places):
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
