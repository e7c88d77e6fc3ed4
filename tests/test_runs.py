"""The run folder: one owner, one config, one state."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict

import pytest

from made_exp.errors import RunError
from made_exp.runs.folder import RunDirectory, RunState, finished_sibling
from made_exp.settings.experiment import Settings
from made_exp.settings.training import AdamSettings

AS_TEXT = {"capture_output": True, "text": True, "check": True}


@pytest.fixture
def run(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.create()
    return run


def test_paths_are_those_of_the_contract(run):
    names = {
        "results.json": run.results,
        "metrics.jsonl": run.metrics,
        "checkpoints/last.pt": run.last,
        "checkpoints/best.pt": run.best,
        "samples/epoch_0007.png": run.epoch_samples(7),
        "samples/final.png": run.final_samples,
    }
    for name, path in names.items():
        assert path == run.path / name


def test_state_follows_the_run(run):
    assert run.read_status()["state"] is RunState.NEW
    run.start({"seed": 0}, "abc")
    started = {"state": RunState.RUNNING, "fingerprint": "abc", "host": platform.node()}
    assert run.read_status() == started
    assert run.saved_config() == {"seed": 0}
    run.write_status(RunState.COMPLETED, "abc", objective=1.5)
    assert run.finished_objective("abc") is None  # results.json is the proof
    run.results.write_text("{}")
    assert run.finished_objective("abc") == 1.5
    assert run.finished_objective("other") is None


def test_a_damaged_status_counts_as_running(run):
    for text in ("", "{", "[]", '{"state": "asleep"}'):
        run.status.write_text(text)
        assert run.read_status()["state"] is RunState.RUNNING
    run.config.write_text("{")
    assert run.saved_config() is None


def test_a_folder_with_a_run_is_refused_unless_resumed(run):
    new, same = Settings(), Settings(resume=True)
    other = Settings(resume=True, optimizer=AdamSettings(lr=2.0))
    run.check(new)
    run.start(asdict(Settings(optimizer=AdamSettings(lr=1.0))), "abc")
    with pytest.raises(RunError, match=r"already holds a run.*resume=true"):
        run.check(new)
    same.optimizer = AdamSettings(lr=1.0)
    run.check(same)
    with pytest.raises(RunError, match=r"optimizer\.lr: 1\.0 -> 2\.0"):
        run.check(other)


def test_results_of_a_finished_run_are_kept_when_it_goes_on(run):
    run.start({}, "abc")
    run.results.write_text("old")
    run.start({}, "def")
    assert not run.results.exists()
    assert run.previous_results.read_text() == "old"


def test_two_processes_cannot_share_a_folder(run):
    code = (
        "import sys\n"
        "from made_exp.runs.folder import RunDirectory, RunError\n"
        "try:\n"
        "    with RunDirectory(sys.argv[1]).locked(): print('got it')\n"
        "except RunError as error: print(error)\n"
    )

    def other_process():
        command = [sys.executable, "-c", code, str(run.path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with run.locked():
        assert "another process is working in the run folder" in other_process()
    assert other_process() == "got it\n"


def test_the_lock_of_a_killed_process_is_free(run):
    code = (
        "import os, sys\n"
        "from made_exp.runs.folder import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).locked(): os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(run.path)]).returncode == -9
    with run.locked():
        pass


def test_what_a_killed_process_had_begun_is_removed_and_nothing_else(run):
    run.start({}, "abc")
    begin = (
        "import os, sys\n"
        "from made_exp.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path:\n"
        "    print(path.name, flush=True)\n"
        "    os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", begin, "last.pt"], capture_output=True, text=True
    )
    name = killed.stdout.strip().removeprefix(".")
    ours = [run.checkpoints / f".{name}", run.samples / f".{name}", run.path / f".{name}"]
    living = name.replace(name.split(".")[2], str(os.getppid()))
    ours.append(run.checkpoints / f".{living}")
    others = [run.path / name, run.checkpoints / ".last.pt.1.tmp", run.path / f".{living}"]
    for path in ours + others:
        path.write_text("begun")
    with run.locked():
        pass
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)


def test_a_place_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write the run folder"):
        RunDirectory(tmp_path / "file" / "run").create()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_error(run):
    run.path.chmod(0o500)
    with pytest.raises(RunError, match="cannot write the run folder"):
        run.start({}, "")


def test_a_finished_job_is_found_when_a_sweep_has_grown(tmp_path):
    for number, (key, state) in enumerate([("a", "completed"), ("b", "failed"), ("c", "running")]):
        run = RunDirectory(tmp_path / f"{number}_job")
        run.create()
        run.status.write_text(json.dumps({"state": state, "fingerprint": key, "objective": 1.0}))
        run.results.write_text("{}")
    assert finished_sibling(tmp_path / "7_job", "a").path.name == "0_job"
    assert finished_sibling(tmp_path / "7_job", "b") is None
    assert finished_sibling(tmp_path / "7_job", "z") is None
