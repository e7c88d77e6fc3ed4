"""Who works in a folder: one process at a time, also where the file system has no locks."""

import errno
import json
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from filelock import FileLock, Timeout

from made_exp.errors import RunError, TrainingError
from made_exp.files import is_alive

LOCK, OWNER = ".lock", ".owner"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
# A lease is renewed so often, and abandoned if it was not for so long; one that was taken over is
# certain when nobody else has taken it for a moment. In seconds.
_BEAT, _ABANDONED, _MOMENT = 10.0, 60.0, 0.5
# So long somebody who asks whether a folder is free may have its lock.
_LOOK = 0.1
_log = logging.getLogger(__name__)


@contextmanager
def held(folder: Path) -> Iterator["Lease | None"]:
    """Hold `folder` for this process; free again should the process die.

    The kernel keeps a lock. Where the file system has none, a file says who holds the folder.

    Yields:
        What to ask before each write whether the folder is still held, or None if it is for sure.

    Raises:
        RunError: If another process holds it.
        OSError: If it cannot be written.
    """
    lock, lease = FileLock(folder / LOCK), None
    try:
        lock.acquire(timeout=_LOOK, poll_interval=_LOOK / 5)
    except Timeout:
        raise _is_held(folder) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        _log.info("%s: its file system has no locks, so %s tells who works here", folder, OWNER)
        lease = Lease(folder)
        if not lease.take():
            raise _is_held(folder) from None
    try:
        yield lease
    finally:
        lock.release()
        if lease is not None:
            lease.release()


def is_free(folder: Path) -> bool:
    """Whether a process of this machine once held `folder` by a lock and none does now.

    False where that cannot be known. It looks by a lock beside which others can look.
    """
    with suppress(ImportError, OSError), open(folder / LOCK, "rb") as file:
        import fcntl  # systems without it have other locks

        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return not (folder / OWNER).exists()
    return False


def _is_held(folder: Path) -> RunError:
    return RunError(f"another process is working in the run folder {folder}")


@final
class Lease:
    """The right to work in a folder for as long as a file in it is touched again and again.

    It is abandoned when its holder has died on this machine, or has not touched it for a minute;
    whoever comes then takes it over. Times are those of the file system, whatever clocks say.

    Args:
        folder: It is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._file = folder, folder / OWNER
        self._told = {"host": platform.node(), "pid": os.getpid(), "token": secrets.token_hex(8)}
        self._ended = threading.Event()

    def take(self) -> bool:
        """Take it, if nobody has it; whether this process has it now."""
        if not self._make():
            if not self._is_abandoned():
                return False
            with suppress(FileNotFoundError):
                self._file.unlink()
            if not self._make():
                return False
            time.sleep(_MOMENT)
            if not self.is_ours:
                return False
        threading.Thread(target=self._renew, daemon=True).start()
        return True

    def release(self) -> None:
        """Give it back, unless another process has taken it over."""
        self._ended.set()
        with suppress(OSError):
            if self.is_ours:
                self._file.unlink()

    @property
    def is_ours(self) -> bool:
        """Whether this process has it still."""
        return self._read() == self._told

    def check(self) -> None:
        """Refuse to go on without it.

        Raises:
            TrainingError: If another process has taken it over.
        """
        if not self.is_ours:
            raise TrainingError(
                f"another process has taken over the run folder {self.folder}: this one was silent "
                f"for more than {_ABANDONED:.0f} s. It ends, and leaves the folder to the other"
            )

    def _make(self) -> bool:
        """Make the file, where there is none."""
        try:
            with open(self._file, "x") as file:
                json.dump(self._told, file)
        except FileExistsError:
            return False
        return True

    def _read(self) -> dict[str, object]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _is_abandoned(self) -> bool:
        holder = self._read()
        pid = holder.get("pid")
        is_here = holder.get("host") == self._told["host"]
        if is_here and isinstance(pid, int) and not is_alive(pid):
            return True
        probe = self._file.with_name(f"{OWNER}.{self._told['token']}")
        try:
            probe.touch()
            age = probe.stat().st_mtime - self._file.stat().st_mtime
        except FileNotFoundError:
            return True
        finally:
            probe.unlink(missing_ok=True)
        return age > _ABANDONED

    def _renew(self) -> None:
        while not self._ended.wait(_BEAT) and self.is_ours:
            with suppress(OSError):
                os.utime(self._file)
