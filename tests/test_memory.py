"""What a run will need of memory is known before it is spent, and what cannot fit is refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from builders import binary_variables
from experiment_cases import make_settings

from made_exp import memory
from made_exp.datasets.base import Dataset
from made_exp.datasets.registry import load_dataset
from made_exp.experiments import memory_estimate
from made_exp.experiments.experiment import run
from made_exp.experiments.memory_estimate import check_memory, estimate_memory
from made_exp.memory import GIB, available_memory, in_words, refuse_too_large


def dataset_of(num_rows, num_dims):
    x = torch.zeros(num_rows, num_dims, dtype=torch.uint8)
    return Dataset("zeros", tuple(binary_variables(num_dims)), x, x[:100], x[:100])


def test_the_least_of_machine_container_and_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "memory").mkdir()
    for name, value in (("limit_in_bytes", 5000), ("usage_in_bytes", 3000)):
        (tmp_path / "memory" / f"memory.{name}").write_text(str(value))
    (tmp_path / "memory/memory.stat").write_text("cache 7\ntotal_inactive_file 500\n")
    (tmp_path / "memory.max").write_text("9000")
    (tmp_path / "memory.current").write_text("8000")
    (tmp_path / "memory.stat").write_text("inactive_file 100\n")
    groups = tmp_path / "cgroup"
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN_GROUPS", groups)
    groups.write_text("4:memory:/\n")
    assert available_memory() == 2500
    groups.write_text("0::/\n")
    assert available_memory() == 1100
    (tmp_path / "memory.max").write_text("max")
    assert available_memory() > 2500


def test_what_is_too_large_is_refused_with_what_to_change():
    refuse_too_large(1, "this", "less of it")
    with pytest.raises(ValueError, match=r"this needs about .* GiB .* available: less of it"):
        refuse_too_large(2.0**60, "this", "less of it")
    with pytest.raises(ValueError, match=r"dataset.size=1000000 .*: give fewer rows and columns"):
        load_dataset("smiley", size=1_000_000, num_examples=100, original=False)


@pytest.mark.parametrize(
    ("changes", "rows", "dims", "remedy"),
    [
        ({"model": {"hidden_sizes": [400_000] * 2}}, 200, 8, "smaller model.hidden_sizes"),
        (
            {"ordering": {"name": "ensemble", "num_orderings": 64}},
            200,
            3000,
            "fewer members",
        ),
        ({"model": {"direct_connections": True}}, 200, 9000, "direct_connections=false"),
        (
            {"model": {"hidden_sizes": [400]}, "trainer": {"batch_size": 10**5}},
            10**5,
            10,
            "batch_size",
        ),
    ],
)
def test_a_run_that_cannot_fit_is_refused_with_what_to_change(
    tmp_path, monkeypatch, changes, rows, dims, remedy
):
    settings = make_settings(tmp_path, **changes)
    dataset = dataset_of(rows, dims)
    monkeypatch.setattr(memory_estimate, "available_memory", lambda: GIB // 4)
    with pytest.raises(ValueError, match=remedy):
        check_memory(settings, dataset, 1)


def test_what_a_gpu_holds_is_not_asked_of_the_machine(tmp_path, monkeypatch, caplog):
    settings = make_settings(tmp_path, model={"hidden_sizes": [2000] * 2})
    dataset, gpu = dataset_of(200, 3000), torch.device("cuda", 0)
    free = {gpu: (GIB, GIB)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", free.get)
    here, there = (estimate_memory(settings, dataset, 1, x) for x in (torch.device("cpu"), gpu))
    assert there.gpu == here.parameters + here.optimizer + here.activations
    assert there.total == pytest.approx(here.total - there.gpu, rel=0.1)
    check_memory(settings, dataset, 1, gpu)
    free[gpu] = (1000, GIB)
    assert "free" not in caplog.text
    check_memory(settings, dataset, 1, gpu)  # is told, and tries
    assert f"of the GPU {in_words(there.gpu)} (parameters" in caplog.text
    assert "but cuda:0 has 0 MiB free" in caplog.text


def test_what_the_system_says_can_be_overruled(monkeypatch):
    monkeypatch.setenv("MADE_MEMORY_GIB", "0.001")
    with pytest.raises(ValueError, match=r"0 MiB are available: less; .* MADE_MEMORY_GIB=N says"):
        refuse_too_large(1, "this", "less")
    monkeypatch.setenv("MADE_MEMORY_GIB", "1e9")
    refuse_too_large(2.0**58, "this", "less")
    monkeypatch.setenv("MADE_MEMORY_GIB", "inf")
    refuse_too_large(2.0**70, "this", "less")
    monkeypatch.setenv("MADE_MEMORY_GIB", "much")
    with pytest.raises(ValueError, match="MADE_MEMORY_GIB: got 'much'; allowed: a number of GiB"):
        available_memory()


def test_a_weight_for_each_pair_of_thousands_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(memory_estimate, "MAX_DIRECT", 60)
    settings = make_settings(tmp_path)
    check_memory(settings, dataset_of(20, 8), 1)
    assert "direct" not in caplog.text
    settings.model = replace(settings.model, direct_connections=True)
    check_memory(settings, dataset_of(20, 8), 1)
    assert "model.direct_connections=true: 8 x 8 weights" in caplog.text


def test_an_estimate_grows_with_what_is_asked_for(tmp_path):
    dataset = dataset_of(200, 50)
    small = estimate_memory(make_settings(tmp_path), dataset, 1)
    wide = make_settings(tmp_path, model={"hidden_sizes": [300]})
    large = estimate_memory(wide, dataset, 1)
    assert large.parameters > 3 * small.parameters
    assert large.optimizer > 3 * small.optimizer
    assert estimate_memory(wide, dataset, 3).total > large.total
    assert estimate_memory(wide, dataset_of(20_000, 50), 1).data > 10 * large.data


def test_a_run_keeps_its_estimate(tmp_path):
    run(make_settings(tmp_path), tmp_path / "run")
    estimate = json.loads((tmp_path / "run/results.json").read_text())["memory_estimate"]
    assert estimate["total"] > estimate["program"] > 0


def test_reading_that_is_over_counts_for_the_peak_alone(tmp_path, monkeypatch):
    settings, dataset = make_settings(tmp_path), dataset_of(200, 8)
    read = replace(dataset, is_mapped=True, reading=3 * GIB)
    assert estimate_memory(settings, read, 1).total > 3 * GIB
    monkeypatch.setattr(memory_estimate, "available_memory", lambda: GIB)
    check_memory(settings, read, 1)  # it is not needed again
    monkeypatch.setattr(memory, "used_memory", lambda: 2**60)
    assert memory.held_memory() < 2**40  # no pages of files, or it would be asked


MEASURED = {
    "agnostic table": ["dataset=table", "dataset.path=TABLE", "ordering=agnostic"],
    "images": ["dataset=npz", "dataset.path=IMAGES", "model.hidden_sizes=[500,500]"],
    "wide": ["dataset=npz", "dataset.path=WIDE", "model.hidden_sizes=[500]"],
    "ensemble": [
        "dataset=npz",
        "dataset.path=NARROW",
        "ordering=ensemble",
        "trainer.processes=1",
        "model.hidden_sizes=[1000,1000]",
        "optimizer=adamw",
    ],
    "two categorical": ["dataset=smiley", "dataset.size=200"],
    "large batch": [
        "dataset=npz",
        "dataset.path=IMAGES",
        "trainer.batch_size=10000",
        "trainer.eval_batch_size=10000",
    ],
}
MAPPED = {
    "numbers": ["dataset=table", "dataset.path=LONG"],
    "codes": ["dataset=npz", "dataset.path=CODES"],
    "bits": ["dataset=npz", "dataset.path=BITS", "model.hidden_sizes=[500]"],
}
# The peak of what is no page of a file, which the system takes back where it needs it.
_RUN_MAPPED = """
import pathlib, subprocess, sys, time
process = subprocess.Popen([sys.executable, "-m", "made_exp.train", *sys.argv[1:]])
status, peak = pathlib.Path(f"/proc/{process.pid}/status"), 0
while process.poll() is None:
    lines = [line.split() for line in status.read_text().splitlines()]
    own = [int(line[1]) for line in lines if line[0] in ("RssAnon:", "RssShmem:")]
    peak = max(peak, sum(own))
    time.sleep(0.01)
print(process.returncode, peak)
"""
_RUN = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "made_exp.train", *sys.argv[1:]])
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def write_measured(folder):
    """The tables of MEASURED; their files by name."""
    rng = np.random.default_rng(0)
    files = {}
    for name, rows, dims in (
        ("IMAGES", 20_000, 784),
        ("WIDE", 1000, 5000),
        ("NARROW", 15_000, 100),
    ):
        shape = {"image_shape": np.array([28, 28])} if name == "IMAGES" else {}
        files[name] = folder / f"{name}.npz"
        splits = {"train": rows, "valid": rows // 10, "test": rows // 10}
        arrays = {s: rng.integers(0, 2, (n, dims), dtype=np.uint8) for s, n in splits.items()}
        np.savez(files[name], **arrays, **shape)
    files["TABLE"] = folder / "table.csv"
    numbers = rng.normal(size=(20_000, 6)).round(3)
    codes = rng.integers(0, [2, 3, 5, 8, 12, 20], (20_000, 6))
    lines = [
        ",".join(map(str, (*a, *(f"v{c}" for c in b)))) for a, b in zip(numbers, codes, strict=True)
    ]
    names = ",".join(f"c{i}" for i in range(12))
    files["TABLE"].write_text("\n".join([names, *lines]) + "\n")
    return files


def write_mapped(folder):
    """The tables of MAPPED; their files by name."""
    rng = np.random.default_rng(0)
    files = {"LONG": folder / "long.csv", "CODES": folder / "codes", "BITS": folder / "bits.npz"}
    shared = rng.normal(size=(3_000_000, 1))
    numbers = (shared + rng.normal(size=(3_000_000, 10))).round(3)
    codes = rng.integers(0, [2, 3, 5, 8, 12, 20, 2, 2, 40, 9], (3_000_000, 10))
    columns = {f"n{d}": numbers[:, d] for d in range(10)}
    columns |= {f"c{d}": codes[:, d] for d in range(10)}
    pl.DataFrame(columns).write_csv(files["LONG"])
    del numbers, columns
    files["CODES"].mkdir()
    np.save(files["CODES"] / "train.npy", codes * [1, 1, 1, 1, 99, 1, 1, 1, 31, 1])
    for split in ("valid", "test"):
        np.save(files["CODES"] / f"{split}.npy", codes[:100_000])
    bits = {
        s: rng.integers(0, 2, (n, 500), dtype=np.uint8)
        for s, n in (("train", 400_000), ("valid", 9000), ("test", 9000))
    }
    np.savez(files["BITS"], **bits)
    return files


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("name", MAPPED)
def test_the_estimate_of_data_on_disk_is_within_thirty_percent(tmp_path, name):
    ratio = measured(tmp_path, MAPPED[name], write_mapped(tmp_path), _RUN_MAPPED)
    assert 0.7 < ratio < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_the_estimate_is_within_thirty_percent_of_the_peak(tmp_path, name):
    ratio = measured(tmp_path, MEASURED[name], write_measured(tmp_path), _RUN)
    assert 0.7 < ratio < 1.3


def measured(folder, overrides, files, program):
    """A run's estimate over its peak."""
    words = [
        f"{key}={files.get(value, value)}"
        for key, _, value in (word.partition("=") for word in overrides)
    ]
    common = ["trainer.device=cpu", "trainer.max_steps=24", "trainer.num_threads=1"]
    if program is _RUN_MAPPED:
        common.append("dataset.streaming=true")
    done = subprocess.run(
        [sys.executable, "-c", program, *words, *common, f"hydra.run.dir={folder / 'run'}"],
        env=os.environ | {"MADE_DATA_DIR": str(folder / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    code, peak = map(int, done.stdout.split()[-2:])
    assert code == 0, done.stderr
    results = json.loads((folder / "run/results.json").read_text())
    ratio = results["memory_estimate"]["total"] / (1024 * peak)
    print(f"{overrides}: measured {peak // 1024} MiB, estimate {ratio:.2f} of it")
    return ratio
