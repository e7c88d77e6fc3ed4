"""A search whose process is killed: its trial fails, is tried again, and its run can go on."""

import json
import os
import signal
import subprocess
import sys

import pytest
from test_config_launchers import end, wait_for

from made_exp.cli.app import main

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("default")  # of Optuna, about itself
QUICK = """
import sys
from made_exp.cli import app, search
search.HEARTBEAT, search.GRACE = 1, 2
sys.exit(app.main(sys.argv[1:]))
"""
FAST = ["dataset=gaussian_1d", "model=histogram", "trainer=debug", "trainer.tensorboard=false"]


@pytest.mark.slow
def test_a_killed_trial_fails_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    long = ["trainer.epochs=1000000", "trainer.max_steps=1000000", "trainer.patience=null"]
    search = ["-m", *FAST, "hydra/sweeper=optuna", "hydra.sweeper.study_name=q"]
    search += ["hydra.sweeper.n_trials=1", "optimizer.lr=interval(1e-3,2e-3)"]
    search += ["hydra.sweeper.storage=sqlite:///studies.db"]
    command = [sys.executable, "-c", QUICK, *search]
    with subprocess.Popen([*command, *long, "hydra.sweep.dir=a"], stderr=subprocess.PIPE) as first:
        try:
            (run,) = wait_for(lambda: list(tmp_path.glob("a/000_*")))
            wait_for(lambda: (run / "checkpoints/last.pt").exists())
            os.kill(first.pid, signal.SIGKILL)
        finally:
            end(first.pid)
    wait_for(lambda: stale_for(tmp_path) > 3)
    subprocess.run([*command, "hydra.sweep.dir=b"], check=True, timeout=200)
    study = optuna.load_study(study_name="q", storage=f"sqlite:///{tmp_path}/studies.db")
    states = [trial.state.name for trial in study.trials]
    assert states == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params
    assert study.trials[0].system_attrs["job"].endswith("a: 0")
    assert main([f"resume={run}", "trainer.epochs=1", "trainer.max_steps=10"]) == 0
    assert json.loads((run / "results.json").read_text())["status"] == "completed"


def stale_for(folder):
    """Seconds since the last sign of life, by the clock of the database."""
    import sqlite3

    with sqlite3.connect(folder / "studies.db") as database:
        (age,) = database.execute(
            "select strftime('%s', current_timestamp) - strftime('%s', max(heartbeat))"
            " from trial_heartbeats"
        ).fetchone()
    database.close()
    return age
