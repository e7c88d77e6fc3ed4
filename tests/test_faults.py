"""Real faults: kill -9 at random moments, signals, a disk that is full."""

import contextlib
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
from experiment_cases import make_config, make_settings, read_results

from made_exp.errors import TrainingError
from made_exp.experiments.experiment import run

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kills", "cases"),
    [(3, ["agnostic", "density"]), pytest.param(100, [], marks=pytest.mark.slow)],
)
def test_nothing_is_lost_however_often_a_run_is_killed(tmp_path, kills, cases):
    command = [sys.executable, str(HERE / "kill_loop.py"), f"--kills={kills}", *cases]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert sum(int(line.split()[1]) for line in outcome.stdout.splitlines()) >= kills


@pytest.mark.slow
def test_checkpoints_cost_less_than_three_percent_with_the_defaults(tmp_path):
    command = [sys.executable, "-m", "made_exp.train", "trainer.epochs=30", "trainer.device=cpu"]
    subprocess.run([*command, f"hydra.run.dir={tmp_path / 'run'}"], check=True)
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert 0 < results["checkpoint_seconds"] < 0.03 * results["train_seconds"]


@pytest.mark.parametrize(
    ("signum", "code", "ordering"),
    [
        (signal.SIGTERM, 143, "natural"),
        pytest.param(signal.SIGINT, 130, "ensemble", marks=pytest.mark.slow),
    ],
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
    assert f"made-train resume={tmp_path / 'run'} goes on" in output
    assert "Traceback" not in output
    assert not (tmp_path / "run/results.json").exists()
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert status["state"] == "stopped"
    assert status["error"] == "interrupted; made-train resume=RUN goes on"  # as made-report says


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


COMMAND = ["dataset=gaussian_1d", "model=histogram", "trainer=debug", "trainer.device=cpu"]


def told_by(*arguments, module="train"):
    """The exit code of a command, and what it said on stderr."""
    answer = subprocess.run(
        [sys.executable, "-m", f"made_exp.{module}", *arguments], capture_output=True, text=True
    )
    return answer.returncode, answer.stderr


def test_a_disk_that_is_full_at_the_start_is_one_line(small_disk):
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(2**21))
    code, told = told_by(*COMMAND, f"hydra.run.dir={small_disk / 'run'}")
    assert code == 1, told
    assert told.startswith("error: ")
    assert told.count("\n") == 1, told
    assert str(small_disk / "run") in told


@pytest.mark.slow
def test_a_disk_that_fills_up_and_a_folder_that_is_removed_are_one_line(small_disk, tmp_path):
    long = ["trainer.epochs=1000000", "trainer.max_steps=1000000", "trainer.patience=null"]
    for name in ("fills", "removed"):
        folder, shown = small_disk / name, tmp_path / name
        command = [sys.executable, "-m", "made_exp.train", *COMMAND, *long, "trainer.progress=off"]
        with shown.open("w") as file:
            process = subprocess.Popen([*command, f"hydra.run.dir={folder}"], stderr=file)
        give_up = time.monotonic() + 100
        while not (folder / "metrics.jsonl").exists():
            assert process.poll() is None, shown.read_text()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        if name == "fills":
            with contextlib.suppress(OSError):
                (small_disk / "ballast").write_bytes(bytes(2**21))
            code = process.wait(100)
            (small_disk / "ballast").unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            code = process.wait(100)
        told = shown.read_text()
        assert code == 1, told
        assert "Traceback" not in told
        assert "Logging error" not in told
        assert told.splitlines()[-1].startswith("error: cannot write"), told
        assert ("Earlier checkpoints are intact" in told) <= (name == "fills")


def test_a_run_on_a_disk_that_cannot_be_written_is_scored_and_not_resumed(small_disk):
    run = small_disk / "run"
    assert told_by(*COMMAND, f"hydra.run.dir={run}")[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, told = told_by(*COMMAND, f"hydra.run.dir={run}", "resume=true", "trainer.epochs=9")
    assert (code, told) == (2, f"error: hydra.run.dir: '{run}' cannot be written\n")
    command = [sys.executable, "-m", "made_exp.eval", f"run={run}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["num_examples"] == 200
    assert "not written" in answer.stderr


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
