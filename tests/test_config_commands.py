"""Arguments of made-eval, made-sample and made-report."""

import os
import subprocess
import sys
import types
from dataclasses import dataclass

import pytest

from made_exp import __version__
from made_exp import eval as eval_command
from made_exp import export as export_command
from made_exp import query as query_command
from made_exp import report as report_command
from made_exp import sample as sample_command
from made_exp.cli.app import main as train_main
from made_exp.cli.key_value import Command
from made_exp.cli.version import version_text
from made_exp.errors import CheckpointError, ConfigError
from made_exp.settings.base import CheckedSettings, setting

MAINS = {
    "made-eval": eval_command.main,
    "made-sample": sample_command.main,
    "made-report": report_command.main,
    "made-export": export_command.main,
    "made-query": query_command.main,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run=1, odd/checkpoints").mkdir(parents=True)
    (tmp_path / "given.npz").write_bytes(b"")
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    seen = {}
    scoring = types.ModuleType("made_exp.experiments.scoring")
    scoring.evaluate_run = lambda settings: seen.update(vars(settings)) or {"nll": 1.0}
    drawing = types.ModuleType("made_exp.experiments.drawing")
    drawing.sample_run = lambda settings: seen.update(vars(settings)) or "grid.png"
    monkeypatch.setitem(sys.modules, "made_exp.experiments.scoring", scoring)
    monkeypatch.setitem(sys.modules, "made_exp.experiments.drawing", drawing)
    return seen


def test_eval_passes_typed_values_on(calls, capsys):
    assert MAINS["made-eval"](["run=run=1, odd", "num_orderings=32", "split=valid"]) == 0
    assert (
        calls.items()
        >= {
            "run": "run=1, odd",
            "split": "valid",
            "num_orderings": 32,
            "compare": None,
            "batch_size": 4000,
            "data": None,
            "device": "auto",
        }.items()
    )
    assert '"nll": 1.0' in capsys.readouterr().out


def test_sample_passes_typed_values_on(calls, capsys):
    arguments = ["run=run=1, odd", "temperature=0.5", "observed=given.npz", "path=a b.csv"]
    assert MAINS["made-sample"](arguments) == 0
    assert calls["temperature"] == 0.5
    assert calls["observed"] == "given.npz"
    assert calls["path"] == "a b.csv"
    assert capsys.readouterr().out == "grid.png\n"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("no such class"), 2, "error: no such class\n"),
        (CheckpointError("damaged"), 1, "error: damaged\n"),
        (ValueError("defect"), 1, "Traceback"),
    ],
)
def test_mistakes_are_one_line_and_defects_a_traceback(calls, capsys, error, code, told):
    def fail(settings):
        raise error

    sys.modules["made_exp.experiments.scoring"].evaluate_run = fail
    assert MAINS["made-eval"](["run=run=1, odd"]) == code
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize("command", ["train", "eval", "report"])
def test_a_reader_that_leaves_is_no_error(command):
    arguments = [sys.executable, "-m", f"made_exp.{command}", "--help"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@dataclass
class Tea(CheckedSettings):
    """Makes tea."""

    kind: str = setting("black", "leaves", choices=("black", "green"))
    minutes: float = setting(3.0, "how long", above=0)


def test_a_command_is_a_class_of_settings_and_a_function(capsys):
    tea = Command("made-tea", Tea, lambda settings: settings.minutes * 2, ("minutes=5",))
    assert tea.parse(["kind=green"]) == Tea("green", 3.0)
    assert tea(["minutes=5"]) == 0
    assert capsys.readouterr().out == "10.0\n"
    assert tea(["kind=red"]) == 2
    assert capsys.readouterr().err.startswith("error: kind: 'red' is not one of black, green")
    assert tea(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("made-tea: Makes tea.")
    assert "how long" in text
    assert text.endswith("Examples:\n  made-tea minutes=5\n")


@pytest.mark.parametrize("main", [train_main, *MAINS.values()])
def test_each_command_says_the_version_of_this_package(main, capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{version_text()}\n"
    assert version_text().startswith(f"made-exp {__version__} (hydra 1.")


@pytest.mark.parametrize("command", MAINS)
def test_help_is_short_and_complete(command, capsys):
    assert MAINS[command](["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{command}: ")
    assert "Examples:" in text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("made-eval", [], "missing value(s): run"),
        (
            "made-eval",
            ["run=nope"],
            "run: 'nope' is neither the folder of a run nor a .safetensors file",
        ),
        (
            "made-eval",
            ["run=run=2, odd"],
            "run: 'run=2, odd' is neither the folder of a run nor a .safetensors file. "
            "Did you mean 'run=1, ",
        ),
        ("made-eval", ["run=."], "run: '.' holds no trained model"),
        ("made-eval", ["rum=x"], "unknown setting 'rum' (run, split, num_orderings,"),
        ("made-eval", ["run=.", "split=tset"], "split: 'tset' is not one of train, valid, test."),
        ("made-eval", ["run=.", "batch_size=many"], "batch_size: 'many' is not an integer"),
        ("made-eval", ["run=.", "num_orderings=0"], "num_orderings must be >= 1, got 0"),
        ("made-eval", ["run=.", "device=gpu"], "device must be auto, cpu, cuda"),
        ("made-eval", ["run"], "cannot parse 'run': write run=value"),
        ("made-eval", ["."], "cannot parse '.': write run=."),
        ("made-report", ["."], "cannot parse '.': write path=."),
        (
            "made-eval",
            ["run=run=1, odd", "compare=x"],
            "compare: 'x' is neither the folder of a run nor a .safetensors file",
        ),
        ("made-eval", ["run=${oc.env:HOME}"], "run: '${oc.env:HOME}' is not a value"),
        ("made-sample", ["run=.", "temperature=0"], "temperature must be > 0, got 0.0"),
        ("made-sample", ["run=.", "seed=-1"], "seed must be >= 0, got -1"),
        ("made-sample", ["run=run=1, odd", "path=a.xlsx"], "path must end in .png, .npz, .csv"),
        ("made-sample", ["run=run=1, odd", "observed=top"], "observed: 'top' is not one of top_h"),
        ("made-sample", ["run=run=1, odd", "observed=x.npz"], "observed: file not found: x.npz"),
        ("made-sample", ["run=a.safetensors"], "run: file not found: a.safetensors"),
        ("made-export", ["run=run=1, odd"], "missing value(s): path; see made-export --help"),
        ("made-query", [".", "a > 1"], "missing value(s): run; write run=."),
        ("made-export", ["run=run=1, odd", "path=a.onx"], "path must end in .safetensors, .onnx,"),
        (
            "made-export",
            ["run=run=1, odd", "path=a.safetensors", "num_orderings=2"],
            "num_orderings=2: a .safetensors file holds the whole model",
        ),
        ("made-report", ["path=nope"], "path: 'nope' is not a folder"),
        ("made-eval", ["./run=1, odd"], "cannot parse './run=1, odd': write run=./run=1, odd"),
        (
            "made-report",
            ["--group-by=seed"],
            "unknown setting '--group-by' (path, group_by, sort, output); settings have no dashes: "
            "write group_by=seed",
        ),
        (
            "made-eval",
            ["--run", "nope", "--plots"],
            "unknown setting '--run' (run, split, num_orderings, compare, plots, batch_size, data, "
            "path, top, surprise, others, device); settings have no dashes: write run=nope",
        ),
    ],
)
def test_mistakes(command, arguments, message, capsys):
    assert MAINS[command](arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
