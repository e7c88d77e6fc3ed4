"""One run over several machines: agents of torchrun, and tasks with the variables of a queue."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from experiment_cases import read_metrics, read_results, write_table
from test_config_launchers import wait_for
from test_distributed import assert_equal_to_rounding

from made_exp import load_run, machine
from made_exp.train import main

TRAIN = ["-m", "made_exp.train"]
ENSEMBLE = ["ordering=ensemble", "ordering.num_orderings=3", "model.dropout=0.2"]
# SGD, because adaptive rates magnify rounding where a gradient is almost zero.
SINGLE = ["optimizer=sgd", "model.dropout=0"]


def write_csv(folder):
    """The binary table, whose last column is text, as a file of text."""
    path = folder / "table.csv"
    rows = np_rows(write_table(folder))
    lines = [",".join([*map(str, row[:-1]), "yes" if row[-1] else "no"]) for row in rows]
    path.write_text("\n".join([",".join("abcdefgh"), *lines]) + "\n")
    return path


def np_rows(path):
    with np.load(path) as arrays:
        return np.concatenate([arrays["train"], arrays["valid"], arrays["test"]]).tolist()


def arguments(folder, run, *overrides):
    return [
        "dataset=table",
        f"dataset.path={write_csv(folder)}",
        "trainer.device=cpu",
        "trainer.batch_size=36",
        "trainer.epochs=3",
        "trainer.patience=null",
        "trainer.samples_every=0",
        "trainer.tensorboard=false",
        "model.hidden_sizes=[12]",
        f"hydra.run.dir={run}",
        *overrides,
    ]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def agent(number, port, command, *options):
    """The processes of one machine."""
    options = [
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{port}",
        f"--rdzv-conf=is_host={int(number == 0)}",
        *options,
    ]
    return started([sys.executable, "-m", "torch.distributed.run", *options, *command], {})


def started(command, variables):
    # Sharing the store of the agents, torch finds no new agent in place of one that was lost.
    alone = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    environment = os.environ | alone | variables
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def kill(process):
    """A machine, as it loses its power."""
    if process.poll() is None:
        family = psutil.Process(process.pid)
        for one in [*family.children(recursive=True), family]:
            one.kill()
    process.communicate()


@contextmanager
def killed_at_the_end():
    processes = []
    try:
        yield processes
    finally:
        for one in processes:
            kill(one)


def finish(processes):
    for one in processes:
        _, told = one.communicate(timeout=200)
        assert one.returncode == 0, told


def assert_equal_to_the_bit(first, second):
    assert read_metrics(first) == read_metrics(second)
    assert read_results(first) == read_results(second)
    states = [load_run(folder).state_dict() for folder in (first, second)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node7", "node7"),
        ("a,b[1-2]", "a"),
        ("node[07-12,20],other", "node07"),
        ("rack[1,3]-gpu", "rack1-gpu"),
    ],
)
def test_tasks_of_srun_meet_on_the_first_machine(monkeypatch, hosts, first):
    variables = {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
    variables |= {"SLURM_STEP_NODELIST": hosts, "SLURM_JOB_ID": "123456", "SLURM_STEP_ID": "2"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert machine.rank() is None  # one task, as every job of a sweep is
    assert machine.is_main_process()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    assert machine.rank() == (3, 4, 1, f"tcp://{first}:23470?rank=3&world_size=4")
    assert not machine.is_main_process()
    monkeypatch.setenv("MASTER_ADDR", "there")
    monkeypatch.setenv("MASTER_PORT", "99")
    assert machine.rank().meeting.startswith("tcp://there:99?")
    monkeypatch.setenv("LOCAL_RANK", "0")  # torchrun, started by srun on each machine
    assert machine.rank() == (0, 1, 0, "env://")


def by_srun(folder, run, number, port, *overrides):
    """A task of two."""
    variables = {"SLURM_PROCID": str(number), "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    variables |= {"SLURM_STEP_NODELIST": "localhost", "MASTER_PORT": str(port)}
    return started([sys.executable, *TRAIN, *arguments(folder, run, *overrides)], variables)


# Starts two tasks as srun does, on two machines that are this one.
SRUN = f"""#!{sys.executable}
import os, subprocess, sys
command = [{sys.executable!r}, *{TRAIN!r}, *sys.argv[sys.argv.index("made-train") + 1:]]
said = {{"SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost,b"}}
said |= {{"SLURM_STEP_ID": "0"}}
tasks = [
    subprocess.Popen(command, env=os.environ | said | {{"SLURM_PROCID": str(number)}})
    for number in range(2)
]
sys.exit(max(task.wait() for task in tasks))
"""


@pytest.mark.slow
def test_the_script_for_slurm_trains_an_ensemble_to_the_bits_of_one(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs/machines.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "run.sbatch").write_text(script)
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    one = tmp_path / "one"
    typed = [text for text in arguments(tmp_path, one, *ENSEMBLE) if "run.dir" not in text]
    variables = {
        "SLURM_JOB_ID": "1234",
        "SLURM_CPUS_PER_TASK": "1",
        "MASTER_PORT": str(free_port()),
    }
    variables["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    with killed_at_the_end() as steps:
        steps.append(started(["bash", "run.sbatch", *typed], variables))
        assert main([*typed, f"hydra.run.dir={one}", "trainer.processes=1"]) == 0
        finish(steps)
    (two,) = tmp_path.glob("outputs/runs/1234*")
    assert_equal_to_the_bit(one, two)


@pytest.mark.slow
def test_submitit_trains_a_job_by_two_tasks(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    one, sweep = tmp_path / "one", tmp_path / "sweep"
    typed = [text for text in arguments(tmp_path, one, *ENSEMBLE) if "run.dir" not in text]
    queue = ["-m", "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2"]
    queue.append(f"hydra.sweep.dir={sweep}")
    with killed_at_the_end() as sweeps:
        command = [sys.executable, *TRAIN, *queue, *typed]
        sweeps.append(started(command, {"MASTER_PORT": str(free_port())}))
        assert main([*typed, f"hydra.run.dir={one}", "trainer.processes=1"]) == 0
        finish(sweeps)
    (two,) = sweep.glob("000_*")
    assert_equal_to_the_bit(one, two)
    log = (two / "train.log").read_text()
    assert log.count("connectivity:") == 1  # one process speaks
    said = [path.read_text() for path in sweep.glob(".submitit/*/*log.out")]
    assert len(said) == 2, "two tasks"


@pytest.mark.slow
def test_tasks_with_other_settings_are_refused(tmp_path):
    with killed_at_the_end() as tasks:
        port = free_port()
        tasks += [by_srun(tmp_path, tmp_path / "run", n, port, f"seed={n}") for n in (0, 1)]
        for one in tasks:
            _, told = one.communicate(timeout=100)
            assert one.returncode == 2
            assert "error: the processes of one run were started with different settings" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("options", [ENSEMBLE, SINGLE], ids=["ensemble", "single"])
def test_a_machine_that_is_lost_costs_what_came_after_the_last_checkpoint(tmp_path, options):
    one, two = tmp_path / "one", tmp_path / "two"
    long = [*options, "trainer.epochs=300", "trainer.eval_every=1"]
    command = [*TRAIN, *arguments(tmp_path, two, *long, "resume=true")]
    with killed_at_the_end() as agents:
        port = free_port()
        agents += [agent(n, port, command, "--max-restarts=3") for n in (0, 1)]
        metrics = two / "metrics.jsonl"
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 3)
        kill(agents.pop())
        agents.append(agent(1, port, command, "--max-restarts=3"))  # it is there again
        finish(agents)
    assert main(arguments(tmp_path, one, *long, "trainer.processes=1")) == 0
    assert "resumed at step" in (two / "train.log").read_text()
    assert json.loads((two / "status.json").read_text())["state"] == "completed"
    is_shared = options is ENSEMBLE
    (assert_equal_to_the_bit if is_shared else assert_equal_to_rounding)(one, two)
