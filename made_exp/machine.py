"""The machine and the checkout under a run, without torch: processes, CPUs, the commit."""

import math
import os
import subprocess
from pathlib import Path

JOBS_AT_ONCE = "MADE_JOBS_AT_ONCE"
"""Environment variable: how many jobs of a sweep run on this machine at a time."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def is_distributed() -> bool:
    """Whether torchrun started this process."""
    return "LOCAL_RANK" in os.environ


def is_main_process() -> bool:
    """Whether this process is the one that writes: the first of torchrun's, or one alone."""
    return not is_distributed() or int(os.environ.get("RANK") or os.environ["LOCAL_RANK"]) == 0


def num_cpus() -> int:
    """CPUs that this process may use: those it is bound to, or as many as its container has."""
    usable = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    try:
        quota, period = _QUOTA.read_text().split()
        return max(1, min(usable, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # not Linux, an older kernel, or "max"
        return usable


def jobs_at_once() -> int:
    """Jobs that share this machine at a time."""
    return int(os.environ.get(JOBS_AT_ONCE) or 1)


def cpus_per_job() -> int:
    """CPUs that a job may use beside the others."""
    if "RAY_JOB_ID" in os.environ:  # Ray says what it has given in this way alone
        return int(os.environ.get("OMP_NUM_THREADS") or 1)
    return max(1, num_cpus() // jobs_at_once())


def code_state() -> tuple[str | None, bytes]:
    """Commit of the checkout this package runs from, and what was edited since, as a patch.

    Returns:
        The commit; None outside of a checkout, and where git does not answer.
    """
    root = Path(__file__).resolve().parents[1]
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else b""
    if not commit:
        return None, b""
    diff = _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff")
    return commit.decode().strip(), diff


def git_commit() -> str | None:
    """Commit of the checkout this package runs from, with `+changes` if files were edited."""
    commit, diff = code_state()
    return commit and commit + ("+changes" if diff else "")


def _git(root: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return b""
