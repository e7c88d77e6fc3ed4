"""Real launchers: jobs in processes of their own, one failing, one preempted."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from made_exp.cli.app import main as train
from made_exp.report import main

FAST = ["dataset=gaussian_1d", "model=histogram", "trainer=debug", "trainer.tensorboard=false"]


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return [sys.executable, "-m", "made_exp.train", "-m"]


def only_sweep(folder):
    (sweep,) = (folder / "outputs/sweeps").iterdir()
    return sweep


def statuses(sweep):
    """What became of each job, by its number; several answers where it was started again."""
    entries = [json.loads(line) for line in (sweep / "results.jsonl").read_text().splitlines()]
    return sorted((entry["number"], entry["status"]) for entry in entries)


def test_joblib_runs_reports_and_resumes_a_sweep_though_jobs_fail(command, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = tmp_path / "sweep"
    arguments = [*FAST, "optimizer.lr=1e-3,1e300", "hydra/launcher=joblib"]
    arguments += [f"hydra.sweep.dir={sweep}"]
    first = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=250)
    assert first.returncode == 1, first.stderr
    expected = [(0, "completed"), (1, "failed")]
    assert statuses(sweep) == expected
    assert "error: 1 of 2 jobs failed" in first.stderr
    pids = {json.loads(path.read_text())["pid"] for path in sweep.glob("*/command.json")}
    assert len(pids) == 2  # a process each, so that one that is killed costs no other
    assert os.getpid() not in pids
    kept = {path: path.stat().st_mtime_ns for path in sweep.glob("000*/results.json")}
    assert len(kept) == 1
    here = [text for text in arguments if not text.startswith("hydra/launcher")]
    assert train(["-m", *here, "resume=true"]) == 1
    skipped = [(0, "skipped"), (1, "failed")]
    assert statuses(sweep) == sorted(expected + skipped)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert main([f"path={sweep}"]) == 0
    table = (sweep / "report.csv").read_text()
    assert all(table.count(status) == 1 for status in ("completed", "failed")), table


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_job_costs_less_than_three_seconds_beside_its_training(command, tmp_path, launcher):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ["seed=range(6)", "trainer.epochs=1", f"hydra/launcher={launcher}"]
    subprocess.run([*command, *arguments], check=True, timeout=280)
    costs = {}
    for line in (only_sweep(tmp_path) / "results.jsonl").read_text().splitlines():
        entry = json.loads(line)
        folder = only_sweep(tmp_path) / entry["folder"]
        trained = json.loads((folder / "results.json").read_text())["train_seconds"]
        process = json.loads((folder / "command.json").read_text())["pid"]
        costs.setdefault(process, []).append(entry["seconds"] - trained)
    # The first job of a process imports torch and loads the data for all that follow it there.
    assert all(cost < 3 for _, *later in costs.values() for cost in later), costs


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_ray_runs_two_jobs(command, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="made-exp[ray] is missing")
    arguments = [*FAST, "seed=0,1", "hydra/launcher=made_ray", "hydra.launcher.ray.init.num_cpus=2"]
    answer = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=500)
    assert answer.returncode == 0, answer.stderr
    sweep = only_sweep(tmp_path)
    assert statuses(sweep) == [(0, "completed"), (1, "completed")]
    assert len(list(sweep.glob("*/results.json"))) == 2
    pids = {json.loads(path.read_text())["pid"] for path in sweep.glob("*/command.json")}
    assert os.getpid() not in pids


@pytest.mark.slow
def test_preempted_job_is_started_again_and_continues(command, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    arguments = [*FAST, "seed=0", "hydra/launcher=submitit_local", "trainer.epochs=100000"]
    arguments += ["trainer.max_steps=100000", "trainer.max_minutes=0.05", "trainer.patience=null"]
    arguments += ["trainer.samples_every=0"]
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as parent:
        try:
            job = wait_for(lambda: next(iter(tmp_path.glob("outputs/sweeps/*/000_*")), None))
            wait_for(lambda: (job / "checkpoints/last.pt").exists())
            first = json.loads((job / "command.json").read_text())["pid"]
            os.kill(first, signal.SIGUSR2)
            assert parent.wait(200) == 0, parent.stderr.read()
        finally:
            end(parent.pid)
    assert json.loads((job / "results.json").read_text())["status"] == "completed"
    assert json.loads((job / "command.json").read_text())["pid"] != first
    assert "resumed at step" in (job / "train.log").read_text()
    assert len(list(job.parent.glob("0*"))) == 1


def wait_for(found, seconds=100):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise TimeoutError


def end(pid):
    if psutil.pid_exists(pid):
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            one.kill()
