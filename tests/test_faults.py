"""Real faults: kill -9 at random moments, signals, a disk that is full."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from experiment_cases import make_config, make_settings, read_metrics, read_results

from made_exp.errors import TrainingError
from made_exp.experiments.experiment import run

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("kills", "epochs"), [(4, 1000), pytest.param(50, 10_000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("ordering", "processes"), [("agnostic", 1), ("ensemble", 2)])
def test_nothing_is_lost_however_often_a_run_is_killed(
    tmp_path, kills, epochs, ordering, processes
):
    model = {"name": "made", "hidden_sizes": [12], "dropout": 0.2}
    trainer = {"epochs": epochs // processes, "eval_every": 5, "patience": None}
    trainer |= {"tensorboard": True, "processes": processes}
    ordering = {"name": ordering, "num_orderings": 5}
    config = make_config(
        tmp_path,
        model=model,
        ordering=ordering,
        trainer=trainer | {"checkpoint_every_seconds": 0.2},
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name, count in (("whole", 0), ("killed", kills)):
        command = [sys.executable, str(HERE / "kill_loop.py"), str(tmp_path / "config.json")]
        outcome = subprocess.run(
            [*command, str(tmp_path / name), str(count), "1"], capture_output=True, text=True
        )
        assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout.split()[-1]) >= kills // 2, "most lives must be cut before the end"
    assert read_results(tmp_path / "killed") == read_results(tmp_path / "whole")
    assert read_metrics(tmp_path / "killed") == read_metrics(tmp_path / "whole")
    assert_one_clean_curve(tmp_path / "killed", tmp_path / "whole")


def assert_one_clean_curve(folder, expected):
    """TensorBoard shows for `folder` what it shows for `expected`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = []
    for path in (folder, expected):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        curves.append([(event.step, event.value) for event in events.Scalars("valid/nll")])
    assert curves[0] == curves[1]


@pytest.mark.slow
def test_checkpoints_cost_less_than_three_percent_with_the_defaults(tmp_path):
    command = [sys.executable, "-m", "made_exp.train", "trainer.epochs=30", "trainer.device=cpu"]
    subprocess.run([*command, f"hydra.run.dir={tmp_path / 'run'}"], check=True)
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert 0 < results["checkpoint_seconds"] < 0.03 * results["train_seconds"]


@pytest.mark.parametrize(
    ("signum", "code", "ordering"),
    [(signal.SIGTERM, 143, "natural"), (signal.SIGINT, 130, "ensemble")],
)
def test_the_command_stops_on_a_signal_and_goes_on_later(tmp_path, signum, code, ordering):
    config = make_config(tmp_path)
    command = [
        sys.executable,
        "-m",
        "made_exp.train",
        "dataset=npz",
        f"dataset.path={config['dataset']['path']}",
        "model.hidden_sizes=[12]",
        "trainer.epochs=1000000",
        "trainer.patience=null",
        "trainer.device=cpu",
        f"ordering={ordering}",
        "trainer.processes=2",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    shown = tmp_path / "shown.txt"  # not a pipe, which would be full before it is read
    with shown.open("w") as file:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    metrics = tmp_path / "run" / "metrics.jsonl"
    give_up = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert process.poll() is None, shown.read_text()
        assert time.monotonic() < give_up
        time.sleep(0.05)
    others = psutil.Process(process.pid).children()
    assert len(others) == (ordering == "ensemble")
    os.killpg(process.pid, signum)  # as a terminal does
    assert process.wait(timeout=60) == code, shown.read_text()
    assert not any(other.is_running() for other in others)
    output = shown.read_text()
    assert "resume=true" in output
    assert "Traceback" not in output
    assert not (tmp_path / "run/results.json").exists()
    assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "stopped"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_training_and_leaves_what_was_there(tmp_path, small_disk):
    folder, ballast = small_disk / "run", small_disk / "ballast"
    run(make_settings(tmp_path), folder)
    ballast.write_bytes(bytes(100))
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast.write_bytes(bytes(max(free - 4096, 0)))
    before = (folder / "results.json").read_text()
    more = make_settings(tmp_path, resume=True, trainer={"epochs": 60})
    with pytest.raises((TrainingError, ValueError), match=r"cannot write|No space"):
        run(more, folder)
    kept = folder / "results.json"
    kept = kept if kept.exists() else folder / "results.previous.json"
    assert kept.read_text() == before
    ballast.unlink()
    run(more, folder)
    run(make_settings(tmp_path, trainer={"epochs": 60}), tmp_path / "whole")
    assert read_results(folder) == read_results(tmp_path / "whole")
