"""Sweeps and single runs with an experiment that takes no time: what is skipped, told, kept."""

import gc
import json
import re
import sys
import types
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from made_exp.cli import job, sweeps
from made_exp.cli.app import main
from made_exp.cli.command_line import command_for, parse_command_line
from made_exp.errors import ConfigError, TrainingError
from made_exp.runs.folder import RunDirectory, RunState
from made_exp.settings.fingerprint import fingerprint


class FakeExperiment:
    """Takes the place of made_exp.experiments.experiment; fails where `fail` says so."""

    def __init__(self):
        self.calls = []
        self.fail = lambda settings: None

    def run(self, settings, run_dir, overrides):
        self.calls.append((settings, Path(run_dir), list(overrides)))
        run = RunDirectory(run_dir)
        run.start(asdict(settings), fingerprint(settings))
        error = self.fail(settings)
        if error:
            raise error
        objective = 10.0 + settings.seed
        run.results.write_text("{}")
        run.write_status(RunState.COMPLETED, fingerprint(settings), objective=objective)
        return objective


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def experiment(monkeypatch):
    fake = FakeExperiment()
    module = types.ModuleType("made_exp.experiments.experiment")
    module.run = fake.run
    monkeypatch.setitem(sys.modules, "made_exp.experiments.experiment", module)
    return fake


def only_folder(pattern):
    folders = list(Path("outputs").glob(pattern))
    assert len(folders) == 1
    return folders[0]


def test_single_run_keeps_what_is_needed_to_understand_it(experiment):
    assert main(["seed=4", "notes.why=test"]) == 0
    run = only_folder("runs/*")
    assert run.name.endswith("_seed-4")
    names = {path.name for path in run.iterdir()}
    assert {".hydra", "config.resolved.yaml", "command.json", "git.json"} <= names
    assert {"config.yaml", "overrides.yaml"} <= {path.name for path in (run / ".hydra").iterdir()}
    command = json.loads((run / "command.json").read_text())
    assert command["command"] == "made-train seed=4 ++notes.why=test"
    settings, run_dir, _ = experiment.calls[0]
    assert settings.seed == 4
    assert run_dir == run.absolute()


def test_a_start_is_known_by_its_launch_and_repeated_by_its_command(experiment):
    overrides = ["seed=4", "notes.why=a b", "resume=false"]
    assert main(overrides) == 0
    run = only_folder("runs/*")
    assert re.fullmatch("[0-9a-f]{16}", job.launch_of(run))
    assert job.launch_of(run / "checkpoints") is None
    assert command_for(overrides, None) == "made-train seed=4 'notes.why=a b'"


def test_one_failing_job_stops_no_other(experiment, capsys):
    experiment.fail = lambda settings: TrainingError("boom") if settings.seed == 1 else None
    assert main(["-m", "seed=0,1,2"]) == 1
    sweep = only_folder("sweeps/*")
    entries = {entry["number"]: entry for entry in sweeps.read(sweep)}
    assert [entries[number]["status"] for number in range(3)] == [
        "completed",
        "failed",
        "completed",
    ]
    assert entries[2]["objective"] == 12.0
    said, text = capsys.readouterr()
    assert f"best validation NLL 10.0000 nats in {sweep.absolute()}/000_seed-0" in said
    assert f"made-report path={sweep}\n" in said
    assert f"tensorboard --logdir {sweep}\n" in said
    assert "error: 1 of 3 jobs failed" in text
    assert "seed=1" in text
    assert str(sweep / "001_seed-1" / "train.log") in text
    assert "Traceback" not in text
    assert "boom" in (sweep / "001_seed-1/train.log").read_text()
    assert "Traceback" in (sweep / "001_seed-1/train.log").read_text()


def test_reentered_sweep_skips_what_is_finished(experiment):
    experiment.fail = lambda settings: RuntimeError("boom") if settings.seed == 1 else None
    again = ["-m", "seed=0,1", "hydra.sweep.dir=here"]
    assert main(again) == 1
    experiment.fail = lambda settings: None
    experiment.calls.clear()
    assert main([*again, "resume=true"]) == 0
    assert [settings.seed for settings, _, _ in experiment.calls] == [1]
    assert {path.name for path in Path("here").glob("0*")} == {"000_seed-0", "001_seed-1"}


def test_names_of_jobs_begin_with_what_differs(experiment):
    constants = ["experiment=made_shapes", "trainer.max_minutes=0.15", "model.hidden_sizes=[77,77]"]
    assert main(["-m", *constants, "optimizer.lr=0.1,0.2", "hydra.sweep.dir=s", "seed=1,2"]) == 0
    names = sorted(path.parent.name for path in Path("s").glob("*/config.json"))
    varied = ["lr-0.1_seed-1", "lr-0.1_seed-2", "lr-0.2_seed-1", "lr-0.2_seed-2"]
    begin = [f"{number:03d}_{text}_experiment-" for number, text in enumerate(varied)]
    assert [name[: len(start)] for name, start in zip(names, begin, strict=True)] == begin
    assert not any(set("=,") & set(name) for name in names)


def test_overrides_whose_order_may_matter_keep_it():
    for typed in (["seed=1", "seed=2,3"], ["notes={a: 1}", "notes.a=2,3"]):
        command = parse_command_line(["-m", *typed])
        assert command.with_varied_first() == command


def test_extended_sweep_finds_finished_jobs_under_other_numbers(experiment):
    assert main(["-m", "seed=1,2", "hydra.sweep.dir=here"]) == 0
    experiment.calls.clear()
    assert main(["-m", "seed=0,1,2", "hydra.sweep.dir=here", "resume=true"]) == 0
    assert [settings.seed for settings, _, _ in experiment.calls] == [0]
    names = {path.name for path in Path("here").glob("0*")}
    assert names == {"000_seed-0", "000_seed-1", "001_seed-2"}


def test_sweep_folder_is_not_used_twice_by_accident(experiment, capsys):
    assert main(["-m", "seed=0,1", "hydra.sweep.dir=here"]) == 0
    assert main(["-m", "seed=0,1", "hydra.sweep.dir=here"]) == 2
    assert "already holds a sweep; resume=true" in capsys.readouterr().err


def test_run_folder_is_not_used_twice_by_accident(experiment, capsys):
    arguments = ["hydra.run.dir=here", "seed=1"]
    assert main(arguments) == 0
    before = {path: path.read_bytes() for path in Path("here").rglob("*") if path.is_file()}
    assert main(["hydra.run.dir=here", "seed=2"]) == 2
    assert "already holds a run: here. Give resume=true" in capsys.readouterr().err
    assert before == {p: p.read_bytes() for p in Path("here").rglob("*") if p.is_file()}
    assert main([*arguments, "resume=true"]) == 0
    assert len(experiment.calls) == 1


def test_resume_with_other_settings_names_them(experiment, capsys):
    assert main(["hydra.run.dir=here"]) == 0
    assert main(["hydra.run.dir=here", "resume=true", "optimizer.lr=0.5"]) == 2
    assert (
        "cannot resume here: the config differs from that of the run in optimizer.lr: 0.001 -> 0.5"
        in capsys.readouterr().err
    )


def test_resume_with_many_other_settings_names_a_few_and_what_was_typed(experiment, capsys):
    assert main(["hydra.run.dir=here", "model.hidden_sizes=[7]"]) == 0
    assert main(["hydra.run.dir=here", "resume=true", "dataset=mnist", "ordering=agnostic"]) == 2
    said = capsys.readouterr().err
    assert " more. Resume with the same settings (made-train 'model.hidden_sizes=[7]'), or" in said
    assert len(said) < 700
    assert "mnist" not in Path("here/.hydra/config.yaml").read_text()


@pytest.mark.parametrize("start", [["resume=here"], ["resume=true", "hydra.run.dir=here"]])
def test_resume_goes_on_with_the_settings_of_the_run(experiment, folder, monkeypatch, start):
    np.savez("table.npz", train=np.zeros((9, 2), np.uint8))
    typed = ["dataset=npz", "dataset.path=table.npz", "model.hidden_sizes=[7]", "notes.why=a b"]
    assert main([*typed, "trainer.epochs=5", "hydra.run.dir=here"]) == 0
    before = asdict(experiment.calls[0][0])
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    there = [text.replace("here", str(folder / "here")) for text in start]
    assert main([*there]) == 0
    assert len(experiment.calls) == 1  # it is finished
    assert main([*there, "trainer.epochs=9"]) == 0
    before["trainer"]["epochs"] = 9
    assert asdict(experiment.calls[1][0]) == before | {"resume": True}
    assert experiment.calls[1][1] == folder / "here"
    assert main([*there, "trainer.epochs=12"]) == 0  # as typed the last time
    assert experiment.calls[2][0].model.hidden_sizes == [7]
    assert main([*there, "model.hidden_sizes=[8]"]) == 2


def test_a_budget_may_change_and_what_was_chosen_by_it_stays(experiment):
    np.savez("table.npz", train=np.zeros((9, 2), np.uint8))
    typed = ["experiment=density", "dataset.path=table.npz", "trainer.max_minutes=2"]
    assert main([*typed, "hydra.run.dir=here"]) == 0
    assert main(["resume=here", "trainer.max_minutes=30"]) == 0
    before, after = (call[0] for call in experiment.calls)
    assert (before.trainer.max_minutes, after.trainer.max_minutes) == (2, 30)
    assert after.ordering == before.ordering
    assert before.ordering.num_orderings == 10
    assert main(["resume=here", "trainer.max_minutes=9", "ordering.num_orderings=12"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["resume=nowhere"], "resume: 'nowhere' is neither true nor false nor a folder of a run"),
        (["resume=her"], "nor a folder of a run. Did you mean 'here'?"),
        (["resume=tru"], "nor a folder of a run. Did you mean 'true'?"),
        (["resume=here", "hydra.run.dir=x"], "resume=here and hydra.run.dir both name a run"),
        (["-m", "resume=here", "seed=1,2"], "with -m: resume=true hydra.sweep.dir=DIR"),
    ],
)
def test_what_cannot_be_resumed_is_told(experiment, arguments, told, capsys):
    assert main(["hydra.run.dir=here"]) == 0
    assert main(arguments) == 2
    assert told in capsys.readouterr().err
    assert len(experiment.calls) == 1


def test_resume_may_train_longer(experiment):
    assert main(["hydra.run.dir=here"]) == 0
    assert main(["hydra.run.dir=here", "resume=true", "trainer.epochs=300"]) == 0
    assert len(experiment.calls) == 2


def test_conf_changed_during_a_sweep_is_noticed(experiment, capsys, monkeypatch):
    def edit(settings):
        monkeypatch.setattr(job, "conf_hash", lambda: "another")

    experiment.fail = edit
    assert main(["-m", "seed=0,1"]) == 1
    assert "conf/ changed since this sweep started" in capsys.readouterr().err
    assert [settings.seed for settings, _, _ in experiment.calls] == [0]


@pytest.mark.parametrize(
    "error",
    [ConfigError("train holds 7 in row 3"), FileNotFoundError(2, "No such file", "table.npz")],
)
def test_mistake_found_late_leaves_nothing(experiment, error, capsys):
    experiment.fail = lambda settings: error
    assert main([]) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert "Traceback" not in text
    assert not Path("outputs").exists()
    Path("outputs").mkdir()
    assert main(["hydra.run.dir=outputs/mine/run"]) == 2
    assert list(Path("outputs").iterdir()) == []


@pytest.mark.parametrize("error", [KeyError("bug"), ValueError("bug")])
def test_defect_shows_its_traceback_and_keeps_the_folder(experiment, error, capsys):
    experiment.fail = lambda settings: error
    assert main([]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert "bug" in (only_folder("runs/*") / "train.log").read_text()


def test_a_folder_with_files_of_somebody_else_is_left_alone(experiment, folder, capsys):
    (folder / "mine").mkdir()
    (folder / "mine/config.json").write_text('{"mine": 1}')
    assert main(["hydra.run.dir=mine"]) == 2
    assert (
        "'mine' holds no run, but files that one would write (config.json)"
        in capsys.readouterr().err
    )
    assert [path.name for path in (folder / "mine").iterdir()] == ["config.json"]
    assert (folder / "mine/config.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize("option", ["disabled", "stdout", "none", "default", "made"])
def test_any_logging_of_hydra_may_be_chosen(experiment, option):
    assert main([f"hydra/job_logging={option}"]) == 0
    assert len(experiment.calls) == 1


def test_divergence_is_one_line_and_exit_code_one(experiment, capsys):
    experiment.fail = lambda settings: TrainingError("the loss is nan at step 3")
    assert main([]) == 1
    assert capsys.readouterr().err == "error: the loss is nan at step 3\n"


def test_ctrl_c_and_termination_pass_their_codes_on(experiment, capsys):
    experiment.fail = lambda settings: KeyboardInterrupt()
    assert main([]) == 130
    experiment.fail = lambda settings: SystemExit(143)
    assert main([]) == 143


@pytest.mark.filterwarnings("default")  # of Optuna, about itself
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "seed=0,1"], "n_jobs == 0 in"),
        (["hydra/sweeper=optuna", "optimizer.lr=interval(2,1)"], "The `low` value must be"),
    ],
)
def test_what_a_launcher_or_sweeper_refuses_is_one_line(experiment, arguments, told, capsys):
    assert main(["-m", *arguments, "hydra.sweep.dir=sweep"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {told}")
    assert experiment.calls == []


def test_second_process_of_torchrun_writes_nothing_of_its_own(experiment, monkeypatch):
    monkeypatch.setenv("MADE_RUN_ID", "shared")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "1")
    assert main([]) == 0
    run = only_folder("runs/*")
    assert run.name == "shared_default"
    names = {path.name for path in run.iterdir()}
    assert names.isdisjoint({".hydra", "train.log", "config.resolved.yaml", "git.json"})


def test_damaged_results_lines_are_passed_over(folder):
    sweeps.append(folder, {"folder": "000_a", "number": 0, "status": "completed"})
    with open(folder / sweeps.RESULTS_FILE, "ab") as file:
        file.write(b'{"folder": "001_')
    assert [entry["folder"] for entry in sweeps.read(folder)] == ["000_a"]


def test_job_that_was_killed_is_in_the_table(folder):
    sweeps.append(folder, {"folder": "000_a", "number": 0, "status": "completed"})
    (folder / "000_a").mkdir()
    (folder / "001_b").mkdir()
    entries = sweeps.read(folder)
    lost = sweeps.unanswered(folder, entries)
    assert [entry["folder"] for entry in lost] == ["001_b"]
    table = sweeps.failure_table(folder, entries + lost)
    assert table.startswith(f"error: 1 of 2 jobs failed in {folder}")


@pytest.mark.filterwarnings("default")  # of Optuna, about itself
def test_search_survives_failures_and_prints_the_best(experiment, capsys):
    experiment.fail = lambda settings: (
        TrainingError("x") if settings.trainer.batch_size > 60 else None
    )
    space = "trainer.batch_size=choice(50,100)"
    arguments = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=6", space]
    arguments += ["hydra.sweeper.sampler.seed=1", "hydra.sweeper.storage=null"]
    code = main(arguments)
    captured = capsys.readouterr()
    failed = sum(settings.trainer.batch_size > 60 for settings, _, _ in experiment.calls)
    assert len(experiment.calls) == 6, captured.err
    assert code == (1 if failed else 0)
    assert "best validation NLL 10.0000 nats" in captured.out
    assert "made-train trainer.batch_size=50" in captured.out


def test_the_best_job_is_run_again_without_its_search(tmp_path):
    def best(*overrides):
        entry = {"folder": "000_a", "overrides": [*overrides], "objective": 1.0}
        sweeps.append(tmp_path, entry | {"status": "completed"})
        return re.search(r"best job +(made-train .*)", sweeps.what_next(tmp_path))[1]

    found = best("optimizer.lr=0.1", "search=resmade", "dataset=mnist")
    assert found == "made-train model=resmade optimizer.lr=0.1 dataset=mnist"
    found = best("search=histogram", "dataset=bimodal_1d")
    assert found == "made-train model=histogram dataset=bimodal_1d"
    assert best("search=my_own", "seed=1") == "made-train search=my_own seed=1"


def test_later_jobs_set_nothing_aside_from_the_search_for_garbage():
    import made_exp.experiments.experiment  # noqa: F401
    from made_exp.cli.job import import_experiment

    before = gc.get_freeze_count()
    import_experiment()
    assert gc.get_freeze_count() == before
    assert gc.isenabled()
