"""Options that all benchmarks share, and their table, JSON and plot."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

COLUMNS = (
    ("name", "{}"),
    ("milliseconds", "{:.2f}"),
    ("times_faster", "{:.2f}x"),
    ("examples_per_second", "{:.0f}"),
    ("fraction_of_limit", "{:.0%}"),
    ("peak_memory_mb", "{:.0f}"),
)
TITLES = {
    "name": "",
    "milliseconds": "ms",
    "times_faster": "against plain",
    "examples_per_second": "examples/s",
    "fraction_of_limit": "of the limit",
    "peak_memory_mb": "peak MB",
}


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --device, --sizes and so on."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--sizes", nargs="+", metavar="H[xH...][@BATCH]", help="hidden layers and batch (100)"
    )
    parser.add_argument("--dims", type=int, default=784, help="number of variables D (784)")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--rounds", type=int, default=7, help="timings of each candidate (7)")
    parser.add_argument("--quick", action="store_true", help="few sizes, few timings")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"), help="folder")


def prepare(arguments: argparse.Namespace) -> torch.device:
    """The device, with threads and precision set.

    Raises:
        ValueError: A device that is not there, or that cannot compute in the precision.
    """
    device = torch.device(arguments.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"--device: got {arguments.device}; this machine has "
            f"{torch.cuda.device_count()} CUDA devices"
        )
    if arguments.precision == "tf32":
        if device.type != "cuda":
            raise ValueError("--precision: got tf32; it needs --device cuda")
        torch.set_float32_matmul_precision("high")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # as made-train does; every candidate gains alike
    return device


def parse_size(text: str) -> tuple[tuple[int, ...], int]:
    """(hidden sizes, batch size) of e.g. 500x500@200.

    Raises:
        ValueError: If the text has another form.
    """
    hidden, _, batch = text.partition("@")
    try:
        return tuple(int(size) for size in hidden.split("x")), int(batch or 100)
    except ValueError:
        raise ValueError(
            f"--sizes: got {text!r}; allowed: e.g. 500, 500x500, 4000x4000@200"
        ) from None


def print_table(records: list[dict[str, Any]], *, title: str) -> None:
    """Print one row per record; refused candidates say why."""
    columns = [c for c in COLUMNS if any(r.get(c[0]) is not None for r in records)]
    rows = [
        [form.format(r[key]) if r.get(key) is not None else "-" for key, form in columns]
        for r in records
        if "refused" not in r
    ]
    table = [[TITLES[key] for key, _ in columns], *rows]
    widths = [max(len(row[c]) for row in table) for c in range(len(columns))]
    print(f"\n{title}")
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(cells).rstrip())
    for record in records:
        if "refused" in record:
            print(f"  {record['name']}: {record['refused']}")


def save(
    result: dict[str, Any],
    folder: Path,
    name: str,
    plot: Callable[[list[dict[str, Any]], Path], Path | None],
) -> list[Path]:
    """Write NAME.json and, where matplotlib is there, NAME.png; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    picture = plot(result["records"], folder / f"{name}.png")
    return [path, *([picture] if picture else [])]


def plot(records: list[dict[str, Any]], path: Path) -> Path | None:
    """Cost against width at batch 100 and against batch at the width measured most often."""
    timed = [r for r in records if "milliseconds" in r and len(r["hidden_sizes"]) == 1]
    widths = [r["hidden_sizes"][0] for r in timed]
    common = max(set(widths), key=widths.count, default=0)
    return save_panels(
        [
            ("width (batch 100)", width, [r for r in timed if r["batch_size"] == 100]),
            (
                f"batch (width {common})",
                lambda r: r["batch_size"],
                [r for r in timed if r["hidden_sizes"] == [common]],
            ),
        ],
        path,
    )


def width(record: dict[str, Any]) -> int:
    """Units of the first hidden layer."""
    return record["hidden_sizes"][0]


def save_panels(
    panels: list[tuple[str, Callable[[dict[str, Any]], int], list[dict[str, Any]]]], path: Path
) -> Path | None:
    """Draw milliseconds against something, a line per name; None where matplotlib is missing.

    Args:
        panels: Label of the horizontal axis, its value in a record, and the records.
        path: Where the PNG is written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (label, value, records) in zip(figure.subplots(1, 2), panels, strict=True):
        for name in dict.fromkeys(r["name"] for r in records):
            points = sorted((value(r), r["milliseconds"]) for r in records if r["name"] == name)
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="milliseconds")
        axes.grid(alpha=0.3)
        if records:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    return path
