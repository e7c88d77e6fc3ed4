"""A process that the system kills is one failed job: the others finish, and all are counted."""

import json
import os
import signal
import subprocess
import sys
import tempfile

import pytest
from test_config_launchers import FAST, command, end, statuses, wait_for

__all__ = ["command"]  # a fixture

SHORT = [*FAST, "trainer.epochs=1000000", "trainer.max_steps=1000000", "trainer.patience=null"]
SHORT += ["trainer.max_minutes=0.05", "trainer.samples_every=0"]


def kill_one_job(sweep, number, times=1):
    """Kill the process of a job when it trains, as the system does that is out of memory."""
    killed = set()
    for _ in range(times):

        def process():
            found = next(iter(sweep.glob(f"{number:03d}_*")), None)
            if found is None or not (found / "metrics.jsonl").exists():
                return None
            pid = json.loads((found / "command.json").read_text())["pid"]
            return None if pid in killed else pid

        pid = wait_for(process, 120)
        killed.add(pid)
        os.kill(pid, signal.SIGKILL)


def sweep_with_a_kill(command, sweep, arguments, number=0, times=1):
    """The exit code of a sweep in which a job was killed, and what it said on stderr."""
    told = sweep.with_name("told.txt")
    with told.open("w") as stderr:
        process = subprocess.Popen(
            [*command, *arguments, f"hydra.sweep.dir={sweep}"], stderr=stderr
        )
        try:
            kill_one_job(sweep, number, times)
            return process.wait(200), told.read_text()
        finally:
            end(process.pid)


@pytest.mark.slow
def test_joblib_goes_on_with_the_others(command, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = tmp_path / "sweep"
    code, told = sweep_with_a_kill(
        command, sweep, [*SHORT, "seed=0,1,2,3", "hydra/launcher=joblib"]
    )
    assert code == 1, told
    completed = [(number, "completed") for number in (1, 2, 3)]
    assert statuses(sweep) == [(0, "lost"), *completed]
    assert f"error: 1 of 4 jobs failed in {sweep}\n    0  " in told
    assert "killed by SIGKILL" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("launcher", "times"),
    [
        pytest.param("submitit_local", 1, marks=[pytest.mark.slow]),
        pytest.param("ray", 4, marks=[pytest.mark.ray]),
    ],
)
def test_other_launchers_go_on_with_the_others(command, tmp_path, launcher, times):
    plugin = launcher.split("_")[0]
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    sweep = tmp_path / "sweep"
    arguments = [*SHORT, "seed=0,1", f"hydra/launcher={launcher}"]
    if launcher == "ray":
        arguments.append("hydra.launcher.ray.init.num_cpus=2")
    code, told = sweep_with_a_kill(command, sweep, arguments, times=times)
    assert code == 1, told
    assert statuses(sweep) == [(0, "lost"), (1, "completed")]
    assert "error: 1 of 2 jobs failed" in told


@pytest.mark.slow
def test_jobs_of_a_sweep_that_is_killed_end_too(command, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = tmp_path / "sweep"
    arguments = [
        *SHORT,
        "trainer.max_minutes=5",
        "optimizer.lr=1e-4",
        "seed=0,1",
        "hydra/launcher=joblib",
    ]
    process = subprocess.Popen(
        [*command, *arguments, f"hydra.sweep.dir={sweep}"], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(list(sweep.glob("*/metrics.jsonl"))) == 2)
    process.kill()
    process.wait()

    def states():
        return {json.loads(path.read_text())["state"] for path in sweep.glob("*/status.json")}

    assert wait_for(lambda: states() == {"stopped"})


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_ray_joins_a_cluster_that_runs(command, tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="made-exp[ray] is missing")
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    start = [*ray, "start", "--head", "--num-cpus=2", "--include-dashboard=false", "--port=0"]
    with tempfile.TemporaryDirectory(prefix="r") as short:  # for names of sockets
        monkeypatch.setenv("RAY_TMPDIR", short)
        run_on_a_cluster(command, tmp_path, ray, start)


def run_on_a_cluster(command, tmp_path, ray, start):
    subprocess.run(start, check=True, timeout=100)
    try:
        for name, more in (("a", ["hydra.launcher.ray.init.address=auto"]), ("b", [])):
            arguments = [*FAST, "seed=0,1", "hydra/launcher=ray", *more]
            arguments.append(f"hydra.sweep.dir={tmp_path / name}")
            answer = subprocess.run([*command, *arguments], capture_output=True, text=True)
            assert answer.returncode == 0, answer.stderr
            assert statuses(tmp_path / name) == [(0, "completed"), (1, "completed")]
    finally:
        subprocess.run([*ray, "stop", "--force"], check=True, timeout=100)
