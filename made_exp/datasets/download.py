"""Files from the network: mirrors, checksums, a lock, and never a partial file."""

import gzip
import hashlib
import logging
import os
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
import platformdirs

from made_exp.datasets.cache import is_writable
from made_exp.errors import DownloadError
from made_exp.files import atomic_path, atomic_write_text

logger = logging.getLogger(__name__)

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
LOCK_SECONDS = 1800.0
# A server that sends less than this for so long counts as stalled.
SLOWEST_BYTES_PER_SECOND, PATIENCE_SECONDS = 1000.0, 60.0
GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 16


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


def default_data_dir() -> Path:
    """$MADE_DATA_DIR, or the user's cache folder."""
    given = os.environ.get("MADE_DATA_DIR", "").strip()
    return Path(given).expanduser() if given else platformdirs.user_cache_path("made-exp")


def digest_problem(path: Path, checksum: Checksum) -> str | None:
    """Why the file at `path` is not what `checksum` says, or None when it is."""
    try:
        if checksum.algorithm == "git-blob":
            digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
        else:
            digest = hashlib.new(checksum.algorithm)
        for chunk in _chunks(path, checksum.decompressed):
            digest.update(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"not a whole gzip file ({error})"
    found = digest.hexdigest()
    return None if found == checksum.digest else f"{checksum.algorithm} is {found}"


def _chunks(path: Path, decompressed: bool) -> Iterator[bytes]:
    with open(path, "rb") as file:
        packed = decompressed and file.read(2) == GZIP_MAGIC
    with gzip.open(path, "rb") if packed else open(path, "rb") as content:
        while chunk := content.read(_CHUNK):
            yield chunk


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
    try:
        if not is_writable(path.parent):
            raise PermissionError("its folder is read-only")
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=lock_seconds):
            problem = _problem_with(path, checksum)  # another process may have been faster
            if problem is not None:
                _download(urls, path, checksum, problem, read_seconds, progress)
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
        if checksum is not None:
            wrong = digest_problem(path, checksum)
            return wrong and f"damaged ({wrong})"
        _check_recorded(path)
    except OSError as error:
        raise DownloadError(f"cannot read {path}: {error.strerror or error}") from error
    return None


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _check_recorded(path: Path) -> None:
    record = _record_path(path)
    if not record.is_file():
        _record(path)
        return
    words = record.read_text().split()
    problem = digest_problem(path, Checksum("sha256", words[0] if words else ""))
    if problem is not None:
        raise DownloadError(
            f"{path} has changed since it was first seen: {problem}, but {record.name} says "
            f"{words[0] if words else 'nothing'}; remove both to accept a new file"
        )


def _record(path: Path) -> None:
    digest = hashlib.sha256()
    for chunk in _chunks(path, decompressed=False):
        digest.update(chunk)
    try:
        atomic_write_text(_record_path(path), f"{digest.hexdigest()}  {path.name}\n")
    except OSError as error:
        logger.warning("cannot record the checksum of %s: %s", path, error)


def _download(
    urls: Sequence[str],
    path: Path,
    checksum: Checksum | None,
    problem: str,
    read_seconds: float,
    progress: bool | None,
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
                _retrieve(url, temporary, read_seconds, progress)
                wrong = None if checksum is None else digest_problem(temporary, checksum)
                if wrong is not None:
                    raise _MirrorFailed(f"wrong content: {wrong}")
        except _MirrorFailed as error:
            failures.append(f"{url}: {error}")
            continue
        if checksum is None:
            _record(path)
        return
    wanted = f" ({checksum})" if checksum else ""
    raise DownloadError(
        f"{path} is {problem} and could not be downloaded ({'; '.join(failures)}). "
        f"Without a network, put the file there by hand{wanted}, or set MADE_DATA_DIR"
    )


class _MirrorFailed(Exception):
    """A server did not deliver, or delivered something else."""


class _Meter:
    """Counts what arrives, draws the bar on a terminal and gives up on a server that trickles.

    Has the members pooch asks of a progress display.
    """

    def __init__(self, label: str, draw: bool) -> None:
        self.total, self.received = 0, 0
        self._started = time.monotonic()
        self._label, self._draw = label, draw
        self._bar: Any = None

    def update(self, num_bytes: int) -> None:
        self.received += num_bytes
        seconds = time.monotonic() - self._started
        if seconds > PATIENCE_SECONDS and self.received < SLOWEST_BYTES_PER_SECOND * seconds:
            raise _MirrorFailed(f"too slow: {self.received} bytes in {seconds:.0f} s")
        if self._draw:
            if self._bar is None:
                from tqdm import tqdm

                self._bar = tqdm(
                    total=self.total or None, unit="B", unit_scale=True, desc=self._label
                )
            self._bar.update(num_bytes)

    def reset(self) -> None:
        self.received, self._started = 0, time.monotonic()
        if self._bar is not None:
            self._bar.reset()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _retrieve(url: str, path: Path, read_seconds: float, progress: bool | None) -> None:
    """Write what `url` delivers to `path`.

    Raises:
        _MirrorFailed: If the server refuses, cuts, stalls or says another length than it sends.
    """
    import pooch  # they take a quarter of a second to import
    import requests
    import urllib3

    draw = sys.stderr.isatty() if progress is None else progress
    meter = _Meter(path.name.split(".")[1], draw)
    downloader = pooch.HTTPDownloader(
        progressbar=meter,
        chunk_size=4096,
        timeout=(min(CONNECT_SECONDS, read_seconds), read_seconds),
    )
    try:
        downloader(url, str(path), None)
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise _MirrorFailed(_reason(error)) from error
    finally:
        meter.close()


def _reason(error: BaseException) -> str:
    """The innermost cause of a network error, in a few words."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    lines = str(error).splitlines() or [type(error).__name__]
    text = lines[0].split("): ", 1)[-1]  # without "HTTPSConnection(host=..., port=...): "
    return text if len(text) <= 160 else text[:157] + "..."
