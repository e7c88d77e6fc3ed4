"""Processes that the command starts itself, as copies of its own, to train members side by side.

They are forked when data and model are there, so that a start costs no imports and what none
changes is in memory once. They speak through a pair of sockets each, whose end tells at once that
the other side has died.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, final

import torch
from typing_extensions import override

from made_exp.errors import TrainingError
from made_exp.training.post import Post
from made_exp.training.world import ALONE, World

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_SECONDS_TO_END = 10.0


class _Call:
    """Asks a process to come to a meeting."""


class _Failure:
    """What ended a process, on its way to the main one."""

    def __init__(self, error: BaseException) -> None:
        self.error = error if isinstance(error, TrainingError) else None
        self.reason = " ".join(f"{type(error).__name__}: {error}".split())
        self.trace = traceback.format_exc()


@final
class _Main(World):
    """The process that started the others."""

    def __init__(self, posts: Sequence[Post], pids: Sequence[int]) -> None:
        super().__init__(0, 1 + len(posts))
        self._posts, self._pids = dict(enumerate(posts, 1)), dict(enumerate(pids, 1))

    @override
    def gather(self, value: Any) -> list[Any]:
        return [value, *(self._read(rank) for rank in self._posts)]

    @override
    def from_main(self, value: Any) -> Any:
        for rank in self._posts:
            self._send(rank, value)
        return value

    @override
    def receive(self, value: Any, rank: int) -> Any:
        return self._read(rank)

    @override
    def is_called(self) -> bool:
        return any(post.has_come() for post in self._posts.values())

    @override
    def meet(self, value: Any) -> list[Any]:
        for rank in self._posts:
            self._send(rank, _Call())
        values: list[Any] = self.from_main(self.gather(value))
        return values

    def close(self, *, wait: bool) -> None:
        """End the others: those that do not end by themselves within a time, if they may."""
        for post in self._posts.values():
            post.close()
        give_up = time.monotonic() + _SECONDS_TO_END
        for pid in self._pids.values():
            while wait and _status(pid) is None and time.monotonic() < give_up:
                time.sleep(0.002)
            with suppress(ProcessLookupError):
                if _status(pid) is None:
                    os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _send(self, rank: int, value: Any) -> None:
        try:
            self._posts[rank].send(value)
        except OSError as error:
            self._fail(rank, error)

    def _read(self, rank: int) -> Any:
        try:
            value = self._posts[rank].read()
        except (EOFError, OSError) as error:
            self._fail(rank, error)
        if isinstance(value, _Failure):
            self._tell(rank, value)
        return value

    def _fail(self, rank: int, error: Exception) -> None:
        """Raise what ended another process: what it said last, or how the system ended it."""
        with suppress(EOFError, OSError):
            while True:
                last = self._posts[rank].read()
                if isinstance(last, _Failure):
                    self._tell(rank, last)
        give_up = time.monotonic() + _SECONDS_TO_END
        while (status := _status(self._pids[rank])) is None and time.monotonic() < give_up:
            time.sleep(0.002)
        raise self._error(rank, _how_it_ended(status)) from error

    def _tell(self, rank: int, failure: _Failure) -> None:
        _log.debug("in process %d of %d:\n%s", rank + 1, self.size, failure.trace)
        raise failure.error or self._error(rank, f"failed: {failure.reason}")

    def _error(self, rank: int, what: str) -> TrainingError:
        return TrainingError(
            f"process {rank + 1} of {self.size} (pid {self._pids[rank]}) {what}. What was saved is "
            "intact: resume=true goes on from there, with any trainer.processes"
        )


@final
class _Other(World):
    """A process that was started; it ends with the main one."""

    def __init__(self, rank: int, size: int, post: Post) -> None:
        super().__init__(rank, size)
        self._post = post

    @override
    def gather(self, value: Any) -> None:
        self._send(value)

    @override
    def from_main(self, value: Any) -> Any:
        try:
            while isinstance(told := self._post.read(), _Call):
                pass
        except (EOFError, OSError):
            os._exit(1)  # the main process has gone
        return told

    @override
    def receive(self, value: Any, rank: int) -> None:
        self._send(value)

    @override
    def is_called(self) -> bool:
        return self._post.has_come()

    @override
    def meet(self, value: Any) -> list[Any]:
        self.gather(value)
        values: list[Any] = self.from_main(None)
        return values

    def _send(self, value: Any) -> None:
        try:
            self._post.send(value)
        except OSError:
            os._exit(1)


@contextmanager
def started(count: int, work: Callable[[World], object]) -> Iterator[World]:
    """The world of `count` processes: this one, and others that do `work` and end.

    Args:
        count: Number of processes >= 1, this one included.
        work: What the others do, each with its own view of the world. They log nothing.

    Raises:
        TrainingError: If another process fails or is killed; the message says which and how.
    """
    if count == 1:
        yield ALONE
        return
    posts: list[Post] = []
    pids: list[int] = []
    parent = os.getpid()
    for rank in range(1, count):
        ours, theirs = (Post(end) for end in socket.socketpair())
        pid = _fork()
        if not pid:
            _end_with(parent)
            _be_another(_Other(rank, count, theirs), [*posts, ours], work)
        theirs.close()
        posts.append(ours)
        pids.append(pid)
    world = _Main(posts, pids)
    try:
        yield world
    except BaseException as error:
        world.close(wait=isinstance(error, SystemExit))
        raise
    world.close(wait=True)


def copies_can_differentiate() -> bool:
    """Whether a copy of this process could compute gradients.

    Where there is a GPU, the first gradient starts threads of torch that a copy has not.
    """
    if not torch.cuda.is_available():
        return True
    pid = _fork()
    if not pid:
        code = 1
        with suppress(RuntimeError):
            torch.ones((), requires_grad=True).backward()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _fork() -> int:
    with warnings.catch_warnings():
        # Threads of others are not copied; the copy computes in one thread and needs none.
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        return os.fork()


def _be_another(world: _Other, of_others: Sequence[Post], work: Callable[[World], object]) -> None:
    """Do the work of a process that was started, and end it."""
    code = 1
    try:
        for post in of_others:  # held here, they would hide the end of their holder
            post.close()
        logging.disable()
        warnings.simplefilter("ignore")
        work(world)
        code = 0
    except SystemExit:
        code = 0
    except BaseException as error:
        world._send(_Failure(error))
    finally:
        os._exit(code)


def _end_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _status(pid: int) -> int | None:
    """Exit code of a process that has ended, -N for signal N; None while it runs."""
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _how_it_ended(status: int | None) -> str:
    if status is None:
        return "does not answer"
    if status < 0:
        hint = " (out of memory?)" if -status == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-status).name}{hint}"
    return f"ended with exit code {status}"
