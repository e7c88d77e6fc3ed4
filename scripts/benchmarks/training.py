"""Time, memory and distance from the machine's limit of one training step."""

import argparse
import time
from itertools import pairwise
from typing import Any

import torch

from benchmarks import candidates, report
from benchmarks.candidates import OURS_BFLOAT16, PLAIN, Task
from benchmarks.measure import WALL, Clock, alternate, ceilings, machine, median
from benchmarks.memory import peak_memory

SIZES = ["32", "64", "128", "250", "500", "1000", "2000", "4000", "8000"]
SIZES += ["500x500", "2000x2000", "4000x4000@200"]
SIZES += ["500@20", "500@200", "500@500", "500@1000"]
QUICK_SIZES = ["32", "500"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `scripts/benchmark training`."""
    report.add_common_arguments(parser)
    parser.add_argument("--no-memory", action="store_true", help="do not measure peak memory")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="processor time instead of the clock's, for a machine that others use too",
    )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every size; returns what is written as JSON."""
    device = report.prepare(arguments)
    named = arguments.sizes or (QUICK_SIZES if arguments.quick else SIZES)
    sizes = {name: report.parse_size(name) for name in named}
    if arguments.cpu_time and (device.type, torch.get_num_threads()) != ("cpu", 1):
        raise ValueError("--cpu-time: needs --device cpu and --threads 1")
    clock = time.process_time if arguments.cpu_time else WALL
    limits = ceilings(device, arguments.precision, quick=arguments.quick, clock=clock)
    print(
        f"matrices are multiplied at {limits['matrix_flops_per_second'] / 1e9:.0f} GFLOP/s, in "
        f"bfloat16 at {limits['bfloat16_flops_per_second'] / 1e9:.0f}, and copied at "
        f"{limits['copy_bytes_per_second'] / 1e9:.0f} GB/s"
    )
    records: list[dict[str, Any]] = []
    for size, (hidden, batch) in sizes.items():
        task = Task(arguments.dims, hidden, batch, device, arguments.precision)
        found = measure_task(task, limits, arguments, clock)
        report.print_table(found, title=f"D={task.num_dims} hidden={size} batch={batch}")
        records += found
    return {"machine": machine(device), "ceilings": limits, "records": records}


def measure_task(
    task: Task, limits: dict[str, float], arguments: argparse.Namespace, clock: Clock
) -> list[dict[str, Any]]:
    """Records of all candidates at one size, timed by `clock`."""
    steps, refused = build_all(task)
    rounds = 3 if arguments.quick else arguments.rounds
    timings = alternate(steps, task.device, rounds=rounds, clock=clock)
    reference = median(timings[PLAIN])
    records: list[dict[str, Any]] = []
    for name, seconds in timings.items():
        typical = median(seconds)
        bounds = step_bounds(task, limits, bfloat16=name == OURS_BFLOAT16)
        records.append(
            _size(task)
            | {
                "name": name,
                "milliseconds": 1e3 * typical,
                "fastest_milliseconds": 1e3 * min(seconds),
                "examples_per_second": task.batch_size / typical,
                "times_faster": reference / typical,
                "fraction_of_limit": max(bounds.values()) / typical,
                "peak_memory_mb": None if arguments.no_memory else peak_memory(task, name),
                **bounds,
            }
        )
    return records + [_size(task) | {"name": n, "refused": why} for n, why in refused.items()]


def build_all(task: Task) -> tuple[dict[str, Any], dict[str, str]]:
    """Steps of the candidates that accept the task, and why the others do not."""
    steps, refused = {}, {}
    for name, build in candidates.builders(task).items():
        try:
            step = build(task)
            step()
        except (ImportError, ValueError, RuntimeError) as error:
            lines = str(error).splitlines()
            refused[name] = lines[0] if lines else type(error).__name__
        else:
            steps[name] = step
    return steps, refused


def step_bounds(
    task: Task, limits: dict[str, float], *, bfloat16: bool = False
) -> dict[str, float]:
    """Seconds that arithmetic and traffic of the visible weights take at least.

    Three products per layer, two for the first, whose input needs no gradient. Each weight is read
    by both of the first products and its gradient written; Adam reads weight, gradient and two
    moments and writes weight and moments: ten times four bytes, also where products are taken in
    bfloat16.
    """
    degrees = candidates.degree_vectors(task.num_dims, task.hidden_sizes)
    visible = [int((above[:, None] >= below).sum()) for below, above in pairwise(degrees)]
    products = 3 * sum(visible) - visible[0]
    rate = limits["bfloat16_flops_per_second" if bfloat16 else "matrix_flops_per_second"]
    return {
        "arithmetic_bound": 2 * task.batch_size * products / rate,
        "traffic_bound": 10 * 4 * sum(visible) / limits["copy_bytes_per_second"],
    }


def _size(task: Task) -> dict[str, Any]:
    return {
        "num_dims": task.num_dims,
        "hidden_sizes": list(task.hidden_sizes),
        "batch_size": task.batch_size,
        "precision": task.precision,
    }
