"""Files of datasets: downloaded once or computed once, under a lock, and never used in part."""

import gzip
import hashlib
import logging
import os
import stat
import sys
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


def fetch(
    urls: Sequence[str],
    path: Path,
    checksum: Checksum | None,
    *,
    read_seconds: float = READ_SECONDS,
    lock_seconds: float = LOCK_SECONDS,
    progress: bool | None = None,
) -> Path:
    """Return `path`, downloaded from the first of `urls` that delivers it unless it is there.

    A file that is there and right is used without writing anything. Several processes may ask at
    once: one downloads, the others wait.

    Args:
        urls: Mirrors, in order of preference.
        path: Where the file belongs.
        checksum: What it must be. None when nothing is published: then the SHA-256 is recorded
            beside the file when it is first seen, and a later change is refused.
        read_seconds: How long a server may stay silent.
        lock_seconds: How long to wait for another process that downloads the same file.
        progress: Whether to draw a progress bar; None means on a terminal.

    Raises:
        DownloadError: With the reason for every mirror and the place to put the file by hand.
    """
    problem = _problem_with(path, checksum)
    if problem is None:
        return path
    draw = sys.stderr.isatty() if progress is None else progress
    try:
        if not is_writable(path.parent):
            raise PermissionError("its folder is read-only")
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=lock_seconds):
            problem = _problem_with(path, checksum)  # another process may have been faster
            if problem is not None:
                _download(urls, path, checksum, problem, read_seconds, draw)
    except filelock.Timeout:
        raise DownloadError(
            f"waited {lock_seconds:g} s for another process that downloads {path}"
        ) from None
    except OSError as error:
        raise DownloadError(
            f"{path} is {problem}, and cannot be written: {error.strerror or error}; "
            "set MADE_DATA_DIR to a folder that can be written"
        ) from error
    return path


def _problem_with(path: Path, checksum: Checksum | None) -> str | None:
    """Why `path` cannot be used as it is, or None when it can.

    Raises:
        DownloadError: If a file without published checksum has changed, or cannot be read.
    """
    try:
        if not path.is_file():
            return "missing"
        if checksum is None:
            _compare_with_record(path)
            return None
        wrong = digest_problem(path, checksum)
        return wrong and f"damaged ({wrong})"
    except OSError as error:
        raise DownloadError(f"cannot read {path}: {error.strerror or error}") from error


def _compare_with_record(path: Path) -> None:
    """Refuse a file that is another than when it was first seen; then its SHA-256 is recorded."""
    record, found = path.with_name(f"{path.name}.sha256"), _digest(path, "sha256")
    if not record.is_file():
        try:
            atomic_write_text(record, f"{found}  {path.name}\n")
        except OSError as error:
            logger.warning("cannot record the checksum of %s: %s", path, error)
        return
    known = (record.read_text().split() or ["nothing"])[0]
    if found != known:
        raise DownloadError(
            f"{path} has changed since it was first seen: sha256 is {found}, but {record.name} "
            f"says {known}; remove both to accept a new file"
        )


def _download(
    urls: Sequence[str],
    path: Path,
    checksum: Checksum | None,
    problem: str,
    read_seconds: float,
    draw: bool,
) -> None:
    """Fill `path` from the first mirror that delivers the right bytes; the lock is held."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        stale.unlink(missing_ok=True)  # of a process that was killed: the lock is ours
    if problem != "missing":
        logger.warning("%s is %s: downloading it again", path, problem)
    failures = []
    for url in urls:
        try:
            with atomic_path(path) as temporary:
                _retrieve(url, temporary, path.name, read_seconds, draw)
                wrong = None if checksum is None else digest_problem(temporary, checksum)
                if wrong is not None:
                    raise _MirrorFailed(f"wrong content: {wrong}")
        except _MirrorFailed as error:
            failures.append(f"{url}: {error}")
            continue
        if checksum is None:
            _compare_with_record(path)
        return
    wanted = f" ({checksum})" if checksum else ""
    raise DownloadError(
        f"{path} is {problem} and could not be downloaded ({'; '.join(failures)}). "
        f"Without a network, put the file there by hand{wanted}, or set MADE_DATA_DIR"
    )


class _MirrorFailed(Exception):
    """A server did not deliver, or delivered something else."""


class _Meter:
    """pooch's progress display, which gives up on a server that trickles."""

    def __init__(self, label: str, draw: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.total, self.received, self.started = 0, 0, time.monotonic()
        self.bar = Progress(console=Console(stderr=True), disable=not draw)
        self.task = self.bar.add_task(label, total=None)
        self.bar.start()

    def update(self, num_bytes: int) -> None:
        self.received += num_bytes
        seconds = time.monotonic() - self.started
        if seconds > PATIENCE_SECONDS and self.received < SLOWEST_BYTES_PER_SECOND * seconds:
            raise _MirrorFailed(f"too slow: {self.received} bytes in {seconds:.0f} s")
        self.bar.update(self.task, completed=self.received, total=self.total or None)

    def reset(self) -> None:
        self.received, self.started = 0, time.monotonic()

    def close(self) -> None:
        self.bar.stop()


def _retrieve(url: str, path: Path, label: str, read_seconds: float, draw: bool) -> None:
    """Write what `url` delivers to `path`.

    Raises:
        _MirrorFailed: If the server refuses, cuts, stalls or says another length than it sends.
    """
    import pooch  # a quarter of a second, only where there is something to download
    import requests
    import urllib3

    limits = min(CONNECT_SECONDS, read_seconds), read_seconds
    meter = _Meter(label, draw)
    try:
        pooch.HTTPDownloader(progressbar=meter, chunk_size=4096, timeout=limits)(url, path, None)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise _MirrorFailed(_reason(error)) from error
    finally:
        meter.close()


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

    Several processes may make it at once; as `make` is deterministic and `write` atomic, it does
    not matter which of them is last.

    Args:
        data_dir: The data folder; where it is read-only the user's cache folder stands in.
        relative: File name below it.
        make: Computes the result.
        read: Reads it back; ValueError, OSError, KeyError or EOFError mean a damaged file.
        write: Writes it atomically.
    """
    places = [data_dir / relative]
    if not is_writable(places[0].parent):
        places.append(platformdirs.user_cache_path("made-exp") / relative)
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
