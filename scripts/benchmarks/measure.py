"""Timing of candidates that take turns, and the ceilings of the machine."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Step = Callable[[], object]
Clock = Callable[[], float]
WALL: Clock = time.perf_counter


def synchronize(device: torch.device) -> None:
    """Wait for a GPU; the CPU needs no waiting."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_calls(call: Step, count: int, device: torch.device, clock: Clock = WALL) -> float:
    """Seconds per call of `count` calls in a row."""
    synchronize(device)
    start = clock()
    for _ in range(count):
        call()
    synchronize(device)
    return (clock() - start) / count


def alternate(
    candidates: Mapping[str, Step],
    device: torch.device,
    *,
    rounds: int = 7,
    round_seconds: float = 0.2,
    warm_up: int = 5,
    clock: Clock = WALL,
) -> dict[str, list[float]]:
    """Seconds per call of each candidate, once per round, the candidates taking turns.

    Args:
        candidates: What to time, by name.
        device: Where they run.
        rounds: How many times each is timed.
        round_seconds: About how long one timing of the first candidate takes.
        warm_up: Calls before the clock starts.
        clock: In seconds; `time.process_time` leaves out what others do on the machine.
    """
    for call in candidates.values():
        time_calls(call, warm_up, device)
    first = next(iter(candidates.values()))
    count = max(1, min(500, round(round_seconds / time_calls(first, 1, device))))
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            seconds[name].append(time_calls(call, count, device, clock))
    return seconds


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int, clock: Clock = WALL) -> float:
    """Floating operations per second of a square matrix product; the best of several."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)

    def product() -> None:
        torch.mm(left, right, out=out)

    time_calls(product, 2, device)
    return 2 * size**3 / min(time_calls(product, 3, device, clock) for _ in range(5))


def copy_bandwidth(device: torch.device, size: int, clock: Clock = WALL) -> float:
    """Bytes read and written per second by a copy of `size` bytes; the best of several."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)

    time_calls(copy, 2, device)
    return 2 * size / min(time_calls(copy, 3, device, clock) for _ in range(5))


def ceilings(
    device: torch.device, precision: str, *, quick: bool = False, clock: Clock = WALL
) -> dict[str, float]:
    """What the machine can do at most, measured now on sizes too large for its caches.

    `quick` takes small ones, which tell less.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix, copied = (8192, 2**32) if device.type == "cuda" else (2048, 2**28)
    size = 512 if quick else matrix
    return {
        "matrix_flops_per_second": matrix_rate(device, dtype, size, clock),
        "bfloat16_flops_per_second": matrix_rate(device, torch.bfloat16, size, clock),
        "copy_bytes_per_second": copy_bandwidth(device, 2**24 if quick else copied, clock),
    }


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on."""
    is_cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else platform.processor() or "cpu",
        "device_type": device.type,
        "cpu_cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def median(values: list[float]) -> float:
    """The median, which a few disturbed timings do not move."""
    return statistics.median(values)
