"""Datasets and experiments of the user's own, as docs/adding.md has them."""

import json
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from made_exp.cli.app import main
from made_exp.datasets import outside
from made_exp.datasets.registry import load_dataset
from made_exp.variables.conditionals.base import conditional_for
from made_exp.variables.variable import (
    ALLOWED_CONDITIONALS,
    CONDITIONALS,
    ConditionalEntry,
    Kind,
    Variable,
)

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "docs/adding.md").read_text().split("## From outside")[1].split("\n## ")[0]
SHORT = ("trainer=debug", "trainer.device=cpu", "trainer.tensorboard=false", "hydra.run.dir=run")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with the files of the guide."""
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(r"Your file `(\S+)`:\n\n((?:(?:    .*)?\n)+)", SECTION):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path / "mine"


def num_variables(run):
    test = json.loads(Path(run, "results.json").read_text())["test"]
    return round(test["nll"] / test["nll_per_dim"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config-dir=mine", "experiment=tosses"],
        [
            "dataset=python", "dataset.loader=mine/tosses.py:load",
            "dataset.arguments={num_tosses: 6}", "model.hidden_sizes=[16]",
        ],
    ],
)  # fmt: skip
def test_dataset_of_a_file_of_ones_own_trains(mine, arguments):
    assert main([*arguments, *SHORT]) == 0
    assert num_variables("run") == 6
    saved = json.loads(Path("run/config.json").read_text())
    assert saved["dataset"]["loader"] == f"{mine / 'tosses.py'}:load"  # found from anywhere


def test_a_run_of_ones_own_options_goes_on_by_its_name_alone(mine, monkeypatch, capsys):
    """From anywhere, without --config-dir; and the command of the best job has that flag."""
    assert main(["--config-dir=mine", "experiment=tosses", *SHORT]) == 0
    elsewhere = mine.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["resume=../run", "trainer.max_steps=4"]) == 0
    assert json.loads(Path("../run/config.json").read_text())["trainer"]["max_steps"] == 4
    monkeypatch.chdir(mine.parent)
    own = ["--config-dir=mine", "-m", "experiment=tosses", "seed=0", *SHORT[:-1]]
    assert main([*own, "hydra.sweep.dir=sweep"]) == 0
    best = re.search("best job +(.*)", capsys.readouterr().out)
    assert best
    words = shlex.split(best[1])
    assert words[:3] == ["made-train", f"--config-dir={mine}", "experiment=tosses"]
    assert main([*words[1:], "trainer.max_steps=1"]) == 0


def install(folder, group, entry):
    """What a package that is installed says of itself."""
    facts = folder / "mine-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[made_exp.{group}]\n{entry}\n")


def train(*arguments):
    """In a process of its own: entry points are read when it begins."""
    code = (
        "import sys; sys.path[:0] = ['.', sys.argv.pop(1)]; from made_exp.cli.app import main;"
        " sys.exit(main())"
    )
    command = [sys.executable, "-c", code, str(ROOT), *arguments, *SHORT]
    return subprocess.run(command, capture_output=True, text=True)


def test_dataset_of_an_entry_point_is_an_option(mine):
    install(mine.parent, "datasets", "tosses = mine.tosses:load")
    answer = train("dataset=tosses", "dataset.arguments.num_tosses=5", "model.hidden_sizes=[16]")
    assert answer.returncode == 0, answer.stderr
    assert num_variables("run") == 5


def test_conditional_of_an_entry_point_is_an_option(mine):
    text = (ROOT / "docs/adding.md").read_text()
    (mine / "tilted.py").write_text(
        re.findall(r"tilted.py`:\n\n```python\n(.*?)```", text, re.DOTALL)[0]
    )
    install(mine.parent, "conditionals", "tilted = mine.tilted:Tilted")
    own = ("dataset=smiley", "model.hidden_sizes=[16]")
    answer = train(*own, "model.conditional=tilted")
    assert answer.returncode == 0, answer.stderr
    answer = train(*own, "model.conditional=tilled", "hydra.run.dir=other")
    assert answer.returncode == 2
    assert "Did you mean 'tilted'" in answer.stderr


def test_what_is_no_conditional_is_refused(monkeypatch):
    entry = ConditionalEntry("Path", suits=tuple(Kind), module="pathlib")
    monkeypatch.setitem(CONDITIONALS, "odd", entry)
    monkeypatch.setitem(ALLOWED_CONDITIONALS, Kind.BINARY, ("bernoulli", "odd"))
    with pytest.raises(ValueError, match="'odd': pathlib:Path must be a class of Conditional"):
        conditional_for("odd", Variable("x", Kind.BINARY, 2), 1)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ("mine/tosses.py:laod", "no function 'laod'. Did you mean 'load'"),
        ("no_such_module:load", "no module 'no_such_module'"),
    ],
)
def test_wrong_loaders_are_explained(mine, loader, message):
    with pytest.raises(ValueError, match=message):
        load_dataset("python", loader=loader, arguments={})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("num_toses: 3", r"unexpected keyword argument 'num_toses'. Did you mean 'num_tosses'\?"),
        ("seed: 3", "dataset.arguments: 'seed' is given by the program"),
    ],
)
def test_arguments_that_a_loader_does_not_take_are_named(mine, capsys, arguments, message):
    own = ["dataset=python", "dataset.loader=mine/tosses.py:load"]
    assert main([*own, f"dataset.arguments={{{arguments}}}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert re.search(message, told)


def test_loader_is_checked_before_anything_runs(mine, capsys):
    for loader, message in (("tosses", "loader must be FILE.py"), ("no.py:load", "file not found")):
        assert main(["dataset=python", f"dataset.loader={loader}"]) == 2
        assert message in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_what_is_no_dataset_is_refused(mine):
    (mine / "odd.py").write_text("def load(**options):\n    return 1\n")
    with pytest.raises(ValueError, match="must return a Dataset, got int"):
        outside.load("mine/odd.py", "load", seed=0, data_dir=mine, arguments={})


def test_values_that_are_none_of_their_variable_are_named(mine):
    (mine / "odd.py").write_text(
        "import torch\n"
        "from made_exp.datasets.base import Dataset\n"
        "from made_exp.variables.variable import binary_variables\n"
        "def load(**options):\n"
        "    rows = torch.zeros(9, 2)\n"
        "    rows[4, 1] = 3\n"
        "    splits = {'train': torch.zeros(9, 2), 'valid': rows, 'test': rows}\n"
        "    return Dataset('odd', binary_variables(2), **splits)\n"
    )
    message = r"valid\[4, 1\], of binary 'x1', must be one of 0..1, got 3"
    with pytest.raises(ValueError, match=message):
        outside.load("mine/odd.py", "load", seed=0, data_dir=mine, arguments={})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trainer: [", r"preset.yaml, line \d: not YAML: expected the node content"),
        ("trainer:\n  epochs: 3", "begin with '# @package _global_'"),
        ("defaults:\n  - override /dataset: shapes", "begin with '# @package _global_'"),
    ],
)
def test_a_preset_that_cannot_be_read_is_explained(mine, capsys, content, message):
    (mine / "experiment/preset.yaml").write_text(content + "\n")
    assert main(["--config-dir=mine", "experiment=preset"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert re.search(message, told)
