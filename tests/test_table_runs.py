"""Tables from the command line: splits as people have them, and names as people give them."""

import csv
import json
import random
from pathlib import Path
from statistics import fmean, stdev

import pytest

from made_exp import eval as made_eval
from made_exp import report
from made_exp.cli.app import main

TINY = ("model.hidden_sizes=[8]", "trainer.max_steps=4", "trainer.tensorboard=false")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    for name in ("MADE_RUN_ID", "HYDRA_FULL_ERROR"):
        monkeypatch.delenv(name, raising=False)
    source = random.Random(0)
    rows = [f"{source.gauss(0, 1):.3f},{source.choice('abc')}" for _ in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["v,k", *rows]) + "\n")
    return tmp_path


def train(*overrides):
    return main(["dataset=table", "dataset.path=t.csv", *TINY, *overrides])


def test_a_run_without_test_says_so_everywhere(folder, capsys):
    assert train("dataset.test_fraction=0", "hydra.run.dir=run") == 0
    assert "there is no test split" in capsys.readouterr().out
    results = json.loads(Path("run/results.json").read_text())
    assert results["test"] is None
    assert results["valid"]["num_examples"] == 6
    assert results["note"] == "no test split"
    assert results["baselines"]["independent"] > 0
    assert made_eval.main(["run=run"]) == 2
    assert "split=test: run kept no rows for it; take split=valid" in capsys.readouterr().err
    assert made_eval.main(["run=run", "split=valid"]) == 0
    assert report.main(["path=run"]) == 0
    assert "damaged" not in (folder / "run" / "report.md").read_text()
    assert "completed" in (folder / "run" / "report.csv").read_text()


def test_folds_are_a_sweep_whose_report_gives_mean_and_spread(folder, capsys):
    sweep = ("-m", "dataset.fold=range(3)", "hydra.sweep.dir=sweep")
    assert train("dataset.folds=3", *sweep) == 0
    tests = [json.loads(path.read_text())["test"] for path in Path("sweep").glob("*/results.json")]
    assert [test["num_examples"] for test in tests] == [20, 20, 20]
    capsys.readouterr()
    assert report.main(["path=sweep", "group_by=dataset.fold"]) == 0
    with open("sweep/report.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    nll = [test["nll"] for test in tests]
    assert float(row["test_nll"]) == pytest.approx(fmean(nll))
    assert float(row["test_nll_stderr"]) == pytest.approx(stdev(nll) / 3**0.5)
    assert row["count"] == "3"
