"""One process at a time in a run folder, on a file system without locks too."""

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest
from experiment_cases import make_settings, read_metrics, read_results

from made_exp.errors import RunError, TrainingError
from made_exp.experiments.experiment import run
from made_exp.runs.folder import RunDirectory
from made_exp.runs.holding import OWNER
from made_exp.training.loop import Trainer

WITHOUT_LOCKS = """
import errno, fcntl, os, sys
def flock(*_):
    raise OSError(getattr(errno, sys.argv[2]), "no locks")
fcntl.flock = flock
from made_exp.runs.folder import RunDirectory, RunError
try:
    with RunDirectory(sys.argv[1]).locked():
        print("got it", flush=True)
        exec(sys.argv[3])
except RunError as error:
    print(error)
"""


@pytest.fixture(params=["ENOLCK", "ENOTSUP"])
def no_locks(request, monkeypatch):
    """A file system without locks; the name of what it answers."""

    def flock(*_):
        raise OSError(getattr(errno, request.param), "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


@pytest.fixture
def folder(tmp_path):
    found = RunDirectory(tmp_path / "run")
    found.create()
    return found


def other_process(path, answer, does=""):
    command = [sys.executable, "-c", WITHOUT_LOCKS, str(path), answer, does]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_second_process_is_refused(folder, no_locks):
    with folder.locked():
        told = other_process(folder.path, no_locks)
        assert told.stdout == f"another process is working in the run folder {folder.path}\n"
    assert other_process(folder.path, no_locks).stdout == "got it\n"
    assert [path.name for path in folder.path.iterdir()] in ([], [".lock"])


def test_what_a_killed_process_held_is_free(folder, no_locks):
    assert other_process(folder.path, no_locks, "os.kill(os.getpid(), 9)").returncode == -9
    with folder.locked():
        folder.check_held()


def be_silent(folder):
    """Let the holder be one of another machine that has not been heard of for some minutes."""
    owner = folder / OWNER
    owner.write_text(json.dumps(json.loads(owner.read_text()) | {"host": "elsewhere"}))
    os.utime(owner, (0, 0))


def test_who_is_heard_of_keeps_it_on_another_machine(folder, no_locks):
    other_process(folder.path, no_locks, "os.kill(os.getpid(), 9)")
    be_silent(folder.path)
    (folder.path / OWNER).touch()
    with pytest.raises(RunError, match="another process is working"), folder.locked():
        pass


def test_a_run_that_was_taken_over_ends_and_destroys_nothing(tmp_path, no_locks, monkeypatch):
    monkeypatch.setattr("made_exp.runs.holding._MOMENT", 0.0)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    run(make_settings(tmp_path), tmp_path / "whole")
    one_step, steps = Trainer._one_step, []

    def interrupted(trainer, index):
        steps.append(trainer.state.step)
        if len(steps) == 5:
            be_silent(tmp_path / "run")
            run(make_settings(tmp_path, resume=True), tmp_path / "run")
            (tmp_path / "run" / OWNER).write_text("{}")
        one_step(trainer, index)

    monkeypatch.setattr(Trainer, "_one_step", interrupted)
    with pytest.raises(TrainingError, match="has taken over the run folder"):
        run(make_settings(tmp_path, resume=True), tmp_path / "run")
    assert len(steps) > 9, "both have trained"
    assert RunDirectory(tmp_path / "run").read_status()["state"] == "completed"
    assert read_results(tmp_path / "run") == read_results(tmp_path / "whole")
    assert read_metrics(tmp_path / "run") == read_metrics(tmp_path / "whole")
