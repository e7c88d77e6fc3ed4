"""A Ray cluster of two machines, one of which is lost in the middle: what ran goes on."""

import json
import subprocess
import sys
import tempfile

import pytest
from test_config_launchers import end, statuses, wait_for
from test_distributed import assert_equal_to_rounding
from test_several_machines import (
    ENSEMBLE,
    SINGLE,
    TRAIN,
    arguments,
    assert_equal_to_the_bit,
)

from made_exp.train import main

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
# Long enough that the machine is gone in the middle.
LONG = ["trainer.epochs=1200", "trainer.eval_every=1"]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Two machines, the first of which can do the work of both."""
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="made-exp[ray] is missing")
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="r") as short:  # for names of sockets
        monkeypatch.setenv("RAY_TMPDIR", short)
        head = {"num_cpus": 2, "include_dashboard": False}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster
        finally:
            cluster.shutdown()


def run_and_lose_a_machine(cluster, begun, *overrides):
    """What made-train says when a machine is lost after `begun()`; its exit code is 0."""
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    with tempfile.TemporaryFile("w+") as told:
        command = [sys.executable, *TRAIN, "-m", *overrides]
        process = subprocess.Popen(command, stdout=told, stderr=told)
        try:
            assert wait_for(begun, 200)
            cluster.remove_node(node, allow_graceful=False)
            code = process.wait(300)
        finally:
            end(process.pid)
        told.seek(0)
        said = told.read()
    assert code == 0, said
    return said


def job(sweep, number):
    return next(iter(sweep.glob(f"{number:03d}_*")), None)


def has_evaluated(sweep, number):
    folder = job(sweep, number)
    path = folder and folder / "metrics.jsonl"
    return path and path.exists() and path.read_text().count("\n") > 3


@pytest.mark.parametrize("options", [ENSEMBLE, SINGLE], ids=["ensemble", "single"])
def test_one_run_goes_on_from_its_last_checkpoint(cluster, tmp_path, options):
    sweep, one = tmp_path / "sweep", tmp_path / "one"
    typed = [text for text in arguments(tmp_path, one, *options, *LONG) if "run.dir" not in text]
    run_and_lose_a_machine(
        cluster,
        lambda: has_evaluated(sweep, 0),
        *typed,
        "hydra/launcher=ray_train",
        f"hydra.launcher.init.address={cluster.address}",
        f"hydra.sweep.dir={sweep}",
    )
    two = job(sweep, 0)
    # What was lost answers "failed" before it, and Ray may ask again after it: "skipped".
    assert (0, "completed") in statuses(sweep)
    assert json.loads((two / "status.json").read_text())["state"] == "completed"
    assert "resumed at step" in (two / "train.log").read_text()
    assert main([*typed, f"hydra.run.dir={one}", "trainer.processes=1"]) == 0
    is_shared = options is ENSEMBLE
    (assert_equal_to_the_bit if is_shared else assert_equal_to_rounding)(one, two)


def test_a_sweep_goes_on_with_the_jobs_of_the_machine_that_was_lost(cluster, tmp_path):
    sweep, one = tmp_path / "sweep", tmp_path / "one"
    typed = [text for text in arguments(tmp_path, one, *ENSEMBLE, *LONG) if "run.dir" not in text]
    run_and_lose_a_machine(
        cluster,
        lambda: all(has_evaluated(sweep, number) for number in range(4)),
        *typed,
        "seed=0,1,2,3",
        "hydra/launcher=ray",
        f"hydra.launcher.ray.init.address={cluster.address}",
        f"hydra.sweep.dir={sweep}",
    )
    assert {(number, "completed") for number in range(4)} <= set(statuses(sweep))
    logs = [(job(sweep, number) / "train.log").read_text() for number in range(4)]
    assert sum("resumed at step" in log for log in logs) == 2
    assert main([*typed, "seed=3", f"hydra.run.dir={one}", "trainer.processes=1"]) == 0
    assert_equal_to_the_bit(one, job(sweep, 3))
