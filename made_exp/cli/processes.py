"""Which of several processes this one is, and how many share the machine."""

import os

JOBS_AT_ONCE = "MADE_JOBS_AT_ONCE"
"""Environment variable: how many jobs of a sweep run on this machine at a time."""


def rank() -> int:
    """Number of this process among those of torchrun; 0 where it was not used."""
    if not is_distributed():
        return 0
    return int(os.environ.get("RANK") or os.environ["LOCAL_RANK"])


def is_distributed() -> bool:
    """Whether torchrun started this process."""
    return "LOCAL_RANK" in os.environ


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def num_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_per_job() -> int | None:
    """CPU threads of a job that shares the machine with others; None = no limit."""
    jobs = int(os.environ.get(JOBS_AT_ONCE) or 1)
    return max(1, num_cpus() // jobs) if jobs > 1 else None
