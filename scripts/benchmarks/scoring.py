"""Rows that `made-eval data=FILE path=OUT` scores a second of the processor, on one thread."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.measure import machine

ROOT = Path(__file__).resolve().parent.parent.parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `scripts/benchmark scoring`."""
    report.add_common_arguments(parser)
    parser.add_argument("--run", required=True, nargs="+", help="folders of runs on tables")
    parser.add_argument("--data", required=True, type=Path, help="a file of rows, not a folder")
    parser.add_argument("--copies", type=int, default=4, help="the file so many times over (4)")
    parser.add_argument("--options", nargs="*", default=[], help="more of made-eval's, key=value")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Score the file once and several times over; returns what is written as JSON."""
    if arguments.copies < 2 or not arguments.data.is_file():
        raise ValueError(f"--data: needs a file and --copies 2 or more, got {arguments.data}")
    rounds, threads = 1 if arguments.quick else arguments.rounds, arguments.threads or 1
    options = [f"device={arguments.device}", *arguments.options]
    records = []
    with tempfile.TemporaryDirectory() as scratch:
        once, often = (_copies(arguments.data, Path(scratch), n) for n in (1, arguments.copies))
        for folder in arguments.run:
            pairs = [
                [score(folder, data, options, threads) for data in (once, often)]
                for _ in range(rounds)
            ]
            records.append({"name": folder, **rates(pairs), "threads": threads})
    print_rates(records)
    return {"machine": machine(torch.device(arguments.device)), "records": records}


def score(run: str, data: Path, options: list[str], threads: int) -> tuple[int, float]:
    """Rows that the command scored, and seconds of the processor that it took, all told."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": str(threads),
        "POLARS_MAX_THREADS": str(threads),
    }
    target = data.parent / "scored.parquet"
    command = [sys.executable, "-m", "made_exp.eval", f"run={run}", f"data={data}"]
    before = _seconds()
    done = subprocess.run(
        [*command, f"path={target}", *options], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(f"{run}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)["rows"], _seconds() - before


def rates(pairs: list[list[tuple[int, float]]]) -> dict[str, Any]:
    """Of (rows, seconds) of one copy and of several, in rounds: the fastest of each."""
    (few, short), (many, long) = (
        min(one, key=lambda own: own[1]) for one in zip(*pairs, strict=True)
    )
    each = (long - short) / (many - few)
    return {
        "rows": many,
        "seconds": long,
        "start_seconds": short - few * each,
        "microseconds_a_row": 1e6 * each,
        "rows_per_second": 1 / each,
        "rows_per_second_with_start": many / long,
    }


def print_rates(records: list[dict[str, Any]]) -> None:
    """Print a line for each run."""
    print(
        f"\n{'':40} {'rows':>9} {'us a row':>9} {'rows/s':>9} {'start s':>8} {'rows/s with it':>15}"
    )
    for one in records:
        print(
            f"{Path(one['name']).name:40} {one['rows']:9,} {one['microseconds_a_row']:9.1f} "
            f"{one['rows_per_second']:9,.0f} {one['start_seconds']:8.2f} "
            f"{one['rows_per_second_with_start']:15,.0f}"
        )


def plot(records: list[dict[str, Any]], path: Path) -> Path | None:
    """No picture: the table says it."""
    return None


def _copies(data: Path, scratch: Path, count: int) -> Path:
    folder = scratch / f"{count}"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}{''.join(data.suffixes)}").symlink_to(data.resolve())
    return folder


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
