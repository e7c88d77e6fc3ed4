"""Time and memory of whole runs against rows, columns, members and processes.

Each run is made-train in processes of its own, from the table on disk to results.json. What is too
large to be run is a straight line through the two largest that were, and is marked so.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import report
from benchmarks.measure import machine

ROOT = Path(__file__).resolve().parents[2]
ROWS, QUICK_ROWS = (10**4, 10**5, 10**6), (500, 1000, 2000)
ON_PAPER = (10**7, 10**8)
COLUMNS, QUICK_COLUMNS = (16, 256, 2048, 20_000), (16, 64)
MEMBERS, QUICK_MEMBERS = (1, 4, 16), (1, 2)
_WIDE_ROWS, _ENSEMBLE_ROWS = 1000, 20_000
_NUMBERS, _CODES = 8, (2, 2, 3, 5, 8, 12, 20, 50)
_CHUNK = 100_000
_SECONDS_BETWEEN_LOOKS = 0.1
_TIMEOUT_SECONDS = 900
_BEGIN, _END = "<!-- scale: begin -->", "<!-- scale: end -->"
_TITLES = ("run", "seconds", "of training, one epoch", "peak memory, MiB")


@dataclass(frozen=True)
class Case:
    """A run to measure.

    Attributes:
        kind: What grows: rows, columns, members or processes.
        size: To what.
        name: The run in words.
        overrides: What made-train is given.
    """

    kind: str
    size: int
    name: str
    overrides: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `scripts/benchmark scale`."""
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--only", nargs="+", choices=["rows", "columns", "members", "processes"])
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"), help="folder")
    parser.add_argument("--write", type=Path, metavar="PAGE",
                        help="put the table into a page, between its marks")  # fmt: skip


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every case; returns what is written as JSON.

    Raises:
        ValueError: A run failed, or the page has no marks.
    """
    if arguments.write:
        _page_with(arguments.write, "")
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="made-scale-") as folder:
        for case in cases(Path(folder), quick=arguments.quick):
            if arguments.only and case.kind not in arguments.only:
                continue
            records.append(measured(case, Path(folder)))
            print(_line(records[-1]), flush=True)
    records += on_paper([r for r in records if r["kind"] == "rows"])
    table = markdown(records)
    print(f"\n{table}")
    if arguments.write:
        arguments.write.write_text(_page_with(arguments.write, table))
    return {"machine": machine(torch.device("cpu")), "records": records}


def plot(records: list[dict[str, Any]], path: Path) -> Path | None:
    """Time against rows and against columns."""
    panels = []
    for kind in ("rows", "columns"):
        found = [
            {"name": "on paper" if r["on_paper"] else "measured", "size": r["size"],
             "milliseconds": 1000 * r["seconds"]}
            for r in records if r["kind"] == kind
        ]  # fmt: skip
        panels.append((kind, lambda r: r["size"], found))
    return report.save_panels(panels, path)


def cases(folder: Path, *, quick: bool) -> Iterator[Case]:
    """The runs, each with its table written when it is asked for."""
    for rows in QUICK_ROWS if quick else ROWS:
        table = _write_mixed(folder / f"rows{rows}.csv", rows)
        name = f"{rows:,} rows of {_NUMBERS + len(_CODES)} mixed columns"
        yield Case("rows", rows, name, ("dataset=table", f"dataset.path={table}"))
        table.unlink()
    for columns in QUICK_COLUMNS if quick else COLUMNS:
        table = _write_binary(folder / f"columns{columns}.npz", _WIDE_ROWS, columns)
        name = f"{_WIDE_ROWS:,} rows of {columns:,} binary columns"
        yield Case("columns", columns, name, ("dataset=npz", f"dataset.path={table}"))
        table.unlink()
    table = _write_binary(folder / "ensemble.npz", QUICK_ROWS[0] if quick else _ENSEMBLE_ROWS, 100)
    members = QUICK_MEMBERS if quick else MEMBERS
    ensemble = ("dataset=npz", f"dataset.path={table}", "ordering=ensemble")
    for count in members:
        several = (*ensemble, f"ordering.num_orderings={count}", "trainer.processes=1")
        yield Case("members", count, f"an ensemble of {count}, 100 binary columns", several)
    for count in sorted({2, min(4, os.cpu_count() or 1)}):
        options = (*ensemble, f"ordering.num_orderings={members[-1]}", f"trainer.processes={count}")
        name = f"the ensemble of {members[-1]} in {count} processes"
        yield Case("processes", count, name, options)


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of a run, all its processes together.

    Raises:
        ValueError: It failed.
    """
    place = folder / f"run-{case.kind}-{case.size}"
    common = ("trainer.epochs=1", "trainer.num_threads=1", "trainer.device=cpu")
    common += ("model.hidden_sizes=[500]", "trainer.tensorboard=false", "trainer.progress=off")
    command = [sys.executable, "-m", "made_exp.train", *case.overrides, *common]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, f"hydra.run.dir={place}"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "MADE_DATA_DIR": str(folder / "data")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = [0]
    watch = threading.Thread(target=_watch, args=(process, peak))
    watch.start()
    _, told = process.communicate(timeout=_TIMEOUT_SECONDS)
    seconds = time.perf_counter() - start
    watch.join()
    if process.returncode:
        raise ValueError(f"{case.name}: {told.strip().splitlines()[-1]}")
    results = json.loads((place / "results.json").read_text())
    return {
        "kind": case.kind,
        "size": case.size,
        "name": case.name,
        "seconds": seconds,
        "train_seconds": results["train_seconds"],
        "peak_bytes": peak[0],
        "on_paper": False,
    }


def on_paper(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The line through the two largest runs, at the sizes that are not run; [] without two."""
    if len(records) < 2:
        return []
    first, second = sorted(records, key=lambda r: r["size"])[-2:]
    found = []
    for size in ON_PAPER:
        far = (size - first["size"]) / (second["size"] - first["size"])
        name = second["name"].replace(f"{second['size']:,}", f"{size:,}")
        values = {
            key: first[key] + far * (second[key] - first[key])
            for key in ("seconds", "train_seconds", "peak_bytes")
        }
        found.append(second | values | {"size": size, "name": name, "on_paper": True})
    return found


def markdown(records: list[dict[str, Any]]) -> str:
    """The records as a table."""
    rows = [f"| {' | '.join(_TITLES)} |", "|" + " --- |" * len(_TITLES)]
    return "\n".join([*rows, *(_line(record) for record in records)])


def _line(record: dict[str, Any]) -> str:
    about = "about " if record["on_paper"] else ""
    name = record["name"] + (", on paper" if record["on_paper"] else "")
    values = (record["seconds"], record["train_seconds"], record["peak_bytes"] / 2**20)
    return f"| {name} | {' | '.join(f'{about}{value:,.0f}' for value in values)} |"


def _page_with(path: Path, table: str) -> str:
    text = path.read_text()
    if _BEGIN not in text or _END not in text:
        raise ValueError(f"--write: {path} has no {_BEGIN} and {_END}")
    return re.sub(f"{_BEGIN}.*{_END}", f"{_BEGIN}\n\n{table}\n\n{_END}", text, flags=re.S)


def _watch(process: subprocess.Popen[str], peak: list[int]) -> None:
    while process.poll() is None:
        first, *others = _family(process.pid)
        held = _held(first, "Rss") + sum(_held(pid, "Private_.*") for pid in others)
        peak[0] = max(peak[0], held)
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _family(pid: int) -> Iterator[int]:
    """A process and those that it has started."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                yield from _family(int(child))
        except OSError:
            continue


def _held(pid: int, kind: str) -> int:
    """Bytes of a process, of the kinds that /proc names so."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0
    return 1024 * sum(map(int, re.findall(rf"^{kind}:\s+(\d+) kB", text, re.M)))


def _write_mixed(path: Path, rows: int) -> Path:
    """A table of numbers and texts that depend on each other."""
    random = np.random.default_rng(0)
    names = [f"c{i}" for i in range(_NUMBERS + len(_CODES))]
    with path.open("w") as file:
        file.write(",".join(names) + "\n")
        for start in range(0, rows, _CHUNK):
            count = min(_CHUNK, rows - start)
            hidden = random.normal(size=(count, 1))
            numbers = np.round(hidden + random.normal(size=(count, _NUMBERS)), 2).astype(str)
            chance = np.clip(random.random((count, len(_CODES))) + 0.2 * hidden, 0, 0.999)
            codes = np.char.add("v", np.floor(chance * _CODES).astype(int).astype(str))
            lines = np.concatenate([numbers, codes], 1).tolist()
            file.write("\n".join(map(",".join, lines)) + "\n")
    return path


def _write_binary(path: Path, rows: int, columns: int) -> Path:
    """Binary columns, each a noisy copy of the one before; a tenth for valid and for test."""
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", rows), ("valid", rows // 10), ("test", rows // 10)):
        flips = random.random((count, columns)) < 0.2
        arrays[split] = (np.cumsum(flips, axis=1) % 2).astype(np.uint8)
    np.savez(path, **arrays)
    return path
