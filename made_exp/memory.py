"""How much memory this process has and may have; what cannot fit is refused before it is spent."""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MIB, GIB = 2**20, 2**30
GIVEN = "MADE_MEMORY_GIB"
"""Environment variable: GiB that this process may hold, whatever the system says."""
WAY_OUT = f"; if there is more, {GIVEN}=N says how much"
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_NO_LIMIT = 2**60  # what an older kernel calls no limit is about 2^63


def used_memory() -> int:
    """Bytes that this process holds; 0 where the system does not say."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0


def held_memory() -> int:
    """Bytes that this process holds and that are no pages of files, which the system takes back."""
    with suppress(OSError, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        sizes = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))]
        if sizes:
            return 1024 * sum(sizes)
    return used_memory()


def available_memory() -> int | None:
    """Bytes that this process may still take, by the machine, its container and its limits.

    None where the system does not say, and where MADE_MEMORY_GIB=inf does.

    Raises:
        ValueError: If MADE_MEMORY_GIB is no number above 0.
    """
    if text := os.environ.get(GIVEN):
        given = _number(text) * GIB
        return None if given == math.inf else max(int(given) - used_memory(), 0)
    found = [*_of_machine(), *_of_container(), *_of_process()]
    return max(min(found), 0) if found else None


def refuse_too_large(wanted: float, what: str, remedy: str) -> None:
    """Raise ValueError if `wanted` more bytes, for `what`, are more than there are."""
    available = available_memory()
    if available is not None and wanted > available:
        raise ValueError(
            f"{what} needs about {in_words(wanted)} of memory, {in_words(available)} are "
            f"available: {remedy}{WAY_OUT}"
        )


def in_words(size: float) -> str:
    """Bytes as people say them.

    >>> in_words(3 * 2**30), in_words(2**20)
    ('3.0 GiB', '1 MiB')
    """
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


def _number(text: str) -> float:
    with suppress(ValueError):
        if (number := float(text)) > 0:
            return number
    raise ValueError(f"{GIVEN}: got {text!r}; allowed: a number of GiB above 0, or inf")


def _of_machine() -> Iterator[int]:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        yield int(next(x for x in lines if x.startswith("MemAvailable")).split()[1]) * 1024


def _of_container() -> Iterator[int]:
    """What each limit of the groups of this process leaves, pages of files not counted."""
    with suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, kinds, own = line.split(":", 2)
            if kinds == "":
                names, base, inactive = ("memory.max", "memory.current"), _CGROUPS, "inactive_file"
            elif "memory" in kinds.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
                base, inactive = _CGROUPS / "memory", "total_inactive_file"
            else:
                continue
            for folder in {base, base / own.lstrip("/")}:
                with suppress(OSError, ValueError):
                    limit, used = (int((folder / name).read_text()) for name in names)
                    if limit < _NO_LIMIT:
                        yield limit - used + _stat(folder, inactive)


def _stat(folder: Path, name: str) -> int:
    lines = (folder / "memory.stat").read_text().splitlines()
    return next((int(x.split()[1]) for x in lines if x.split()[0] == name), 0)


def _of_process() -> Iterator[int]:
    """What `ulimit -v` leaves."""
    if sys.platform != "linux":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            yield limit - pages * os.sysconf("SC_PAGESIZE")
