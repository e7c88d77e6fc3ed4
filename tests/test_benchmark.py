"""The benchmark runs with torch and numpy alone and says what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from made_exp.kernels.bfloat16 import has_bfloat16_products

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
HEAVY = ("hydra", "omegaconf", "tensorboard", "rich", "requests", "matplotlib")
WITHOUT_HEAVY = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({HEAVY!r}))
sys.argv = ["benchmark", *sys.argv[1:]]
runpy.run_path({str(SCRIPTS / "benchmark")!r}, run_name="__main__")
"""


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_HEAVY, *arguments, "--threads", "1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarks import candidates, measure, report, training

    return {"candidates": candidates, "measure": measure, "report": report, "training": training}


@pytest.mark.parametrize("command", ["kernels", pytest.param("training", marks=pytest.mark.slow)])
def test_runs_without_the_packages_of_the_command_line(command, tmp_path):
    sizes = ["--dims", "12", "--sizes", "8", "20x20@3", "--quick", "--out", str(tmp_path)]
    done = benchmark(
        command, *sizes, *(["--no-memory", "--cpu-time"] if command == "training" else [])
    )
    assert done.returncode == 0, done.stderr
    assert "of the limit" in done.stdout
    result = json.loads((tmp_path / f"{command}.json").read_text())
    timed = [r for r in result["records"] if "milliseconds" in r]
    assert {tuple(r["hidden_sizes"])[-1] for r in timed} == {8, 20}
    assert all(r["milliseconds"] > 0 and r["times_faster"] > 0 for r in timed)
    assert any("staircase" in r["name"] for r in timed)
    if command == "training" and has_bfloat16_products():
        assert any(r["name"] == "ours, bf16" for r in timed)
    assert result["ceilings"]["matrix_flops_per_second"] > 1e8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training", "--sizes", "5y5"], "error: --sizes: got '5y5'; allowed: e.g. 500"),
        (["training", "--precision", "tf32"], "error: --precision: got tf32"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    done = benchmark(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_plain_network_is_autoregressive(modules, dtype):
    candidates = modules["candidates"]
    task = candidates.Task(6, (9, 7), 2, torch.device("cpu"))
    network = candidates.plain_network(task).to(dtype)
    x = torch.zeros(6, dtype=dtype)
    jacobian = torch.autograd.functional.jacobian(lambda v: network(v[None])[0], x)
    assert not jacobian.triu().any()


def test_bounds_count_visible_weights_only(modules):
    task = modules["candidates"].Task(3, (2,), 5, torch.device("cpu"))
    limits = {"matrix_flops_per_second": 1.0, "copy_bytes_per_second": 1.0}
    # Degrees 1 2 3 -> 1 2 -> 0 1 2: three visible weights below, three above.
    bounds = modules["training"].step_bounds(task, limits)
    assert bounds == {"arithmetic_bound": 2 * 5 * (3 * 6 - 3), "traffic_bound": 40 * 6}
    faster = modules["training"].step_bounds(
        task, limits | {"bfloat16_flops_per_second": 5.0}, bfloat16=True
    )
    assert faster == {"arithmetic_bound": 2 * (3 * 6 - 3), "traffic_bound": 40 * 6}


def test_what_is_not_run_is_on_a_line_through_the_largest_runs(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarks import scale

    sizes = {1000: (9, 1, 900), 10_000: (10, 4, 1000), 100_000: (20, 40, 3000)}
    keys = ("seconds", "train_seconds", "peak_bytes")
    runs = [
        {"kind": "rows", "size": size, "name": f"{size:,} rows", "on_paper": False}
        | dict(zip(keys, values, strict=True))
        for size, values in sizes.items()
    ]
    far, _ = scale.on_paper(runs)
    assert (far["size"], far["name"]) == (10**7, "10,000,000 rows")
    assert far["seconds"] == pytest.approx(10 + 10 / 90_000 * (10**7 - 10_000))
    assert scale.on_paper(runs[:1]) == []
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- scale: begin -->\nold\n<!-- scale: end -->\nb\n")
    written = scale._page_with(page, scale.markdown([runs[0], far]))
    assert "old" not in written
    assert "| 1,000 rows | 9 | 1 | 0 |" in written
    assert "| 10,000,000 rows, on paper | about 1,120 | about" in written
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no <!-- scale: begin -->"):
        scale._page_with(page, "")


@pytest.mark.slow
def test_scale_measures_whole_runs(tmp_path):
    arguments = ["--quick", "--only", "rows", "processes", "--out", str(tmp_path)]
    command = [sys.executable, str(SCRIPTS / "benchmark"), "scale", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "scale.json").read_text())["records"]
    assert [r["on_paper"] for r in records if r["kind"] == "rows"] == [False] * 3 + [True] * 2
    runs = [r for r in records if not r["on_paper"]]
    assert all(r["seconds"] > r["train_seconds"] for r in runs)
    assert all(2**30 > r["peak_bytes"] > 2**27 for r in runs)
