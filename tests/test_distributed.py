"""Processes of torchrun give the run that one process gives, to rounding; members to the bit."""

import os
import subprocess
import sys

import pytest
import torch
from experiment_cases import read_metrics, read_results, write_table
from training_cases import make_case

from made_exp import load_run
from made_exp.train import main
from made_exp.training.distributed import Ranks
from made_exp.training.world import ALONE


def arguments(folder, run, *overrides):
    """Arguments of made-train for a small run on a table of one's own."""
    return [
        "dataset=npz",
        f"dataset.path={write_table(folder)}",
        "trainer.device=cpu",
        "trainer.batch_size=30",
        "trainer.epochs=4",
        "trainer.num_samples=9",
        "model.hidden_sizes=[12]",
        "model.dropout=0",  # several processes drop other units than one
        f"hydra.run.dir={run}",
        *overrides,
    ]


def torchrun(folder, run, *overrides, program=("-m", "made_exp.train")):
    """What two processes of `program`, made-train, say."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [sys.executable, *launcher, *program, *arguments(folder, run, *overrides)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# made-train, which then says its threads by the names that the kernel of Linux has for them.
NAMES_THREADS = """
import os, sys
from pathlib import Path
from made_exp.train import main
main(sys.argv[1:])
names = [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
print("threads of", os.environ["RANK"], *names)
"""


# Two groups one after the other, of which one process is late to join the second.
JOINS_TWICE = """
import os, time
import torch
from made_exp.training.distributed import join
for seconds in (0, 1):
    time.sleep(seconds * (os.environ["RANK"] == "0"))
    with join(torch.device("cpu")) as world:
        assert world.meet(world.rank) == [0, 1]
print("joined twice")
"""


def assert_equal_to_rounding(first, second):
    for one, two in zip(read_metrics(first), read_metrics(second), strict=True):
        assert one == pytest.approx(two, rel=1e-4)
    tests = [read_results(folder)["test"] for folder in (first, second)]
    assert tests[0]["nll"] == pytest.approx(tests[1]["nll"], rel=1e-4)
    states = [load_run(folder).state_dict() for folder in (first, second)]
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one_and_resume(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    # SGD, because adaptive rates magnify rounding where a gradient is almost zero.
    options = ["optimizer=sgd", "ordering=agnostic", "ordering.num_orderings=3"]
    assert main(arguments(tmp_path, tmp_path / "one", *options)) == 0
    half = torchrun(tmp_path, tmp_path / "two", *options, "trainer.epochs=2")
    assert half.count("\ntest NLL") == 1  # one process speaks
    torchrun(tmp_path, tmp_path / "two", *options, "resume=true")
    assert_equal_to_rounding(tmp_path / "one", tmp_path / "two")
    events = list((tmp_path / "two").glob("events*"))
    assert len(events) == 2  # one a session
    assert not list(tmp_path.glob("outputs"))


def test_two_processes_train_an_ensemble_to_the_bits_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    options = ["ordering=ensemble", "ordering.num_orderings=3", "model.dropout=0.2"]
    assert main(arguments(tmp_path, tmp_path / "one", *options, "trainer.processes=1")) == 0
    torchrun(tmp_path, tmp_path / "two", *options)
    assert read_metrics(tmp_path / "one") == read_metrics(tmp_path / "two")
    assert read_results(tmp_path / "one") == read_results(tmp_path / "two")
    states = [load_run(tmp_path / name).state_dict() for name in ("one", "two")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_run_after_another_meets_no_process_of_that_one(tmp_path):
    """As where a run beside the one on all rows finds its length."""
    program = tmp_path / "joins_twice.py"
    program.write_text(JOINS_TWICE)
    assert torchrun(tmp_path, tmp_path / "run", program=[str(program)]).count("joined twice") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_processes_end_without_threads_that_could_abort_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    program = tmp_path / "names_threads.py"
    program.write_text(NAMES_THREADS)
    often = ["trainer.batch_size=2", "trainer.checkpoint_every_seconds=0.001"]  # agree on each
    said = torchrun(tmp_path, tmp_path / "run", "trainer.epochs=1", *often, program=[str(program)])
    assert said.count("threads of") == 2
    assert "gloo" not in said


def test_what_processes_cannot_share_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be shared by 3 processes"):
        make_case(tmp_path / "a", world=Ranks(0, 3))


def test_one_process_agrees_with_itself():
    assert ALONE.is_main
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.from_main({"a": [1, None]}) == {"a": [1, None]}
    assert float(ALONE.mean(torch.tensor(2.0))) == 2.0
