"""The machine and the checkout under a run, without torch: processes, CPUs, the commit."""

import math
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

JOBS_AT_ONCE = "MADE_JOBS_AT_ONCE"
"""Environment variable: how many jobs of a sweep run on this machine at a time."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# How each says the rank of a process, how many there are, and its rank on its machine.
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SRUN = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
_SUBMITIT = ("SUBMITIT_LOCAL_GLOBALID", "SUBMITIT_LOCAL_NTASKS", "SUBMITIT_LOCAL_LOCALID")
_FIRST_PORT, _PORTS = 20_000, 10_000


class Rank(NamedTuple):
    """This process among those that an engine started for one run.

    Attributes:
        number: 0..size-1; the first one writes.
        size: How many there are.
        local: Its number on its machine.
        meeting: Where they meet, as `torch.distributed.rendezvous` takes it.
    """

    number: int
    size: int
    local: int
    meeting: str


def rank() -> Rank | None:
    """What torchrun, Ray Train, srun or submitit say of this process; None for one alone."""
    if _TORCHRUN[2] in os.environ:
        local = int(os.environ[_TORCHRUN[2]])
        number = int(os.environ.get(_TORCHRUN[0]) or local)
        return Rank(number, int(os.environ.get(_TORCHRUN[1]) or 1), local, "env://")
    for names in (_SRUN, _SUBMITIT):
        if int(os.environ.get(names[1]) or 1) > 1:
            number, size, local = (int(os.environ[name]) for name in names)
            place = f"tcp://{_first_host()}:{_port()}"
            return Rank(number, size, local, f"{place}?rank={number}&world_size={size}")
    return None


def _first_host() -> str:
    """The machine of the first process; the first of `node[07-12,20],other` is node07."""
    hosts = os.environ.get("SLURM_STEP_NODELIST") or "127.0.0.1"
    first = re.sub(r"\[([^],-]+)[^]]*\]", r"\1", hosts).split(",")[0]
    return os.environ.get("MASTER_ADDR") or first


def _port() -> str:
    """A port that other steps and jobs do not take."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SUBMITIT_LOCAL_JOB_ID")
    job, step, local = (int(os.environ.get(name) or 0) for name in names)
    return os.environ.get("MASTER_PORT") or str(_FIRST_PORT + (job + 7 * step + local) % _PORTS)


def is_distributed() -> bool:
    """Whether this process is one of several that an engine started for one run."""
    return rank() is not None


def is_main_process() -> bool:
    """Whether this process is the one that writes: the first of them, or one alone."""
    own = rank()
    return own is None or own.number == 0


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
