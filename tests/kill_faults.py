"""What ends a life of `kill_loop.py`: kills, signals, full disks; and clocks that jump."""

import contextlib
import errno
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

CUT = {-signal.SIGKILL, -signal.SIGALRM}
STOPPED = {143, 130, -signal.SIGTERM, -signal.SIGINT}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "open")
DAYS = 86400.0


@dataclass(frozen=True)
class Fault:
    """One way to disturb a process; this one leaves it alone."""

    codes = frozenset({0})

    def arm(self, root):
        """Prepare it in the process itself, which writes below `root`."""

    def act(self, child, recorded):
        """Do it from outside; `recorded` tells whether an evaluation has come to the record."""


@dataclass(frozen=True)
class AtMoment(Fault):
    """kill -9 of a process or of one that it has started.

    Attributes:
        seconds: After its start; or after its first evaluation is recorded.
    """

    seconds: float
    in_training: bool
    chosen: random.Random
    codes = frozenset({0, 1, *CUT})  # 1: it was another that was killed, and this one says so

    def act(self, child, recorded):
        wait(child, self.seconds, recorded if self.in_training else None)
        with contextlib.suppress(psutil.NoSuchProcess):
            self.chosen.choice(family(child)).kill()


@dataclass(frozen=True)
class AtWrite(Fault):
    """Death just before the process writes, renames or removes a file, or a little later.

    Attributes:
        event: What it does, and with which file; see `written`.
        number: Which time (1, 2, ...).
        delay: Seconds.
    """

    event: tuple[str, str]
    number: int
    delay: float
    codes = frozenset({0, *CUT})

    def arm(self, root):
        def die():
            if self.delay:
                signal.setitimer(signal.ITIMER_REAL, self.delay)
            else:
                os.kill(os.getpid(), signal.SIGKILL)

        at_write(root, self.event, self.number, die)


@dataclass(frozen=True)
class DiskIsFull(AtWrite):
    """No file can be made from some moment on."""

    codes = frozenset({0, 1})

    def arm(self, root):
        def fill():
            def refuse(event, path):
                if event in ("open", "os.mkdir"):
                    raise OSError(errno.ENOSPC, "No space left on device", path)

            on_write(root, refuse)

        at_write(root, self.event, self.number, fill)


@dataclass(frozen=True)
class FileIsCut(Fault):
    """Files grow no further than `size` bytes, from some moment on."""

    seconds: float
    size: int
    codes = frozenset({0, 1})

    def act(self, child, recorded):
        wait(child, self.seconds)
        with contextlib.suppress(ProcessLookupError):
            hard = resource.prlimit(child, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(child, resource.RLIMIT_FSIZE, (self.size, hard))


@dataclass(frozen=True)
class Signalled(Fault):
    """SIGTERM or SIGINT, to all or to one, perhaps twice."""

    signum: int
    seconds: float
    in_training: bool
    to_all: bool
    again: float | None
    chosen: random.Random
    codes = frozenset({0, 1, *STOPPED})

    def act(self, child, recorded):
        wait(child, self.seconds, recorded if self.in_training else None)
        for pause in (0.0, self.again):
            if pause is not None:
                wait(child, pause)
                for process in (
                    family(child) if self.to_all else [self.chosen.choice(family(child))]
                ):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(self.signum)


def draw_fault(rng, seconds, events):
    """Some fault of a life that takes `seconds` and writes what `events` counts."""
    moment = {"seconds": rng.random() * seconds * 0.8, "in_training": False}
    if rng.random() < 0.4:
        moment = {"seconds": rng.random() * seconds / 4, "in_training": True}
    event = rng.choice(sorted(events))
    number = 1 if rng.random() < 0.5 else rng.randint(1, min(events[event], 9))
    kind = rng.random()
    if kind < 0.35:
        return AtMoment(**moment, chosen=rng)
    if kind < 0.7:
        return AtWrite(event, number, rng.choice([0.0, rng.random() / 300]))
    if kind < 0.8:
        return DiskIsFull(event, number, 0.0)
    if kind < 0.85:
        return FileIsCut(moment["seconds"], int(2 ** rng.uniform(0, 20)))
    signum, again = rng.choice([signal.SIGTERM, signal.SIGINT]), rng.random() / 20
    again = again if rng.random() < 0.3 else None
    return Signalled(signum, **moment, to_all=rng.random() < 0.5, again=again, chosen=rng)


def draw_clock(rng):
    """Where the wall clock of a life stands and by how much it jumps: (days, seconds, days)."""
    if rng.random() < 0.5:
        return None
    return rng.uniform(-9, 9), rng.random(), rng.uniform(-9, 9)


def set_clock(jumps):
    """Let the wall clock of this process be wrong, and jump."""
    if jumps is None:
        return
    before, moment, after = jumps
    true, born = time.time, time.monotonic()

    def wrong():
        return true() + DAYS * (before if time.monotonic() - born < moment else after)

    time.time = wrong
    time.time_ns = lambda: int(wrong() * 1e9)


def on_write(root, tell):
    """Call tell(event, path) before anything below `root` is changed, for as long as we live."""
    root = str(root)

    def hook(event, args):
        if event not in _EVENTS or not isinstance(args[0], str | os.PathLike):
            return
        path = os.fspath(args[0])
        if event == "open" and not args[2] & _WRITING:
            return
        if isinstance(path, str) and path.startswith(root):
            tell(event, path)

    sys.addaudithook(hook)


def at_write(root, event, number, do):
    """Do something before the `number`th time that this process comes to an event."""
    seen = Counter()

    def tell(kind, path):
        seen[written(kind, path)] += 1
        if written(kind, path) == event and seen[event] == number:
            do()

    on_write(root, tell)


def count_writes(root):
    """The events of this process from here on, counted."""
    seen = Counter()
    on_write(root, lambda kind, path: seen.update([written(kind, path)]))
    return seen


def written(event, path):
    """An event: its kind, and the file without numbers and what belongs to temporary names."""
    name = re.sub(r"^\.(.+)\.\d+\.[0-9a-f]{16}\.tmp$", r"\1", Path(path).name)
    return event, re.sub(r"[0-9a-f]{16,}|\d+", "#", name)


def wait(child, seconds, recorded=None):
    """Return after some time, which begins when `recorded` if that is given, or at the end."""
    while recorded is not None and not recorded() and not has_ended(child):
        time.sleep(0.002)
    until = time.monotonic() + seconds
    while time.monotonic() < until and not has_ended(child):
        time.sleep(min(0.005, max(until - time.monotonic(), 0.0)))


def has_ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def family(child):
    """A process and those that it has started."""
    first = psutil.Process(child)
    with contextlib.suppress(psutil.NoSuchProcess):
        return [first, *first.children(recursive=True)]
    return [first]
