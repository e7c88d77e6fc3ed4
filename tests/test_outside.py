"""Datasets and experiments of the user's own, as docs/adding.md has them."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from made_exp.cli.app import main
from made_exp.datasets import outside
from made_exp.datasets.registry import load_dataset

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


def test_dataset_of_an_entry_point_is_an_option(mine):
    """In a process of its own: entry points are read when it begins."""
    facts = mine.parent / "tosses-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: tosses\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[made_exp.datasets]\ntosses = mine.tosses:load\n")
    code = (
        "import sys; sys.path[:0] = ['.', sys.argv.pop(1)]; from made_exp.cli.app import main;"
        " sys.exit(main())"
    )
    arguments = ["dataset=tosses", "dataset.arguments.num_tosses=5", "model.hidden_sizes=[16]"]
    command = [sys.executable, "-c", code, str(ROOT), *arguments, *SHORT]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert num_variables("run") == 5


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


def test_loader_is_checked_before_anything_runs(mine, capsys):
    for loader, message in (("tosses", "loader must be FILE.py"), ("no.py:load", "file not found")):
        assert main(["dataset=python", f"dataset.loader={loader}"]) == 2
        assert message in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_what_is_no_dataset_is_refused(mine):
    (mine / "odd.py").write_text("def load(**options):\n    return 1\n")
    with pytest.raises(ValueError, match="must return a Dataset, got int"):
        outside.load("mine/odd.py", "load", seed=0, data_dir=mine, arguments={})
