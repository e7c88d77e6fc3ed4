"""Peak memory of one candidate, in a process of its own: python -m benchmarks.memory NAME TASK."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks import candidates
from benchmarks.candidates import Task

_SCRIPTS = Path(__file__).resolve().parent.parent
_TIMEOUT_SECONDS = 300


def peak_memory(task: Task, name: str) -> float | None:
    """Megabytes that building the candidate and three steps add; None where that fails."""
    sizes = "x".join(str(size) for size in task.hidden_sizes)
    described = [str(task.num_dims), sizes, str(task.batch_size), str(task.device), task.precision]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", name, *described],
        env=os.environ | {"PYTHONPATH": f"{_SCRIPTS}{os.pathsep}{_SCRIPTS.parent}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def added_memory(task: Task, name: str) -> float:
    """Megabytes by which building the candidate and three steps raise this process's peak."""
    tiny = Task(4, (4,), 2, task.device, task.precision)
    candidates.builders(tiny)[name](tiny)()  # libraries and threads are there before the reading
    before = _start(task.device)
    step = candidates.builders(task)[name](task)
    for _ in range(3):
        step()
    return (_peak(task.device) - before) / 2**20


def _start(device: torch.device) -> int:
    """Forget earlier peaks; bytes in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: peak = current
    return _peak(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Print the megabytes for the task that the command line describes."""
    name, dims, sizes, batch, device, precision = sys.argv[1:]
    hidden = tuple(int(size) for size in sizes.split("x"))
    print(added_memory(Task(int(dims), hidden, int(batch), torch.device(device), precision), name))


if __name__ == "__main__":
    main()
