"""Tables from the command line: splits as people have them, and names as people give them."""

import csv
import json
import math
import random
import re
from pathlib import Path
from statistics import fmean, stdev

import polars as pl
import pytest
import torch

from made_exp import eval as made_eval
from made_exp import report
from made_exp import sample as made_sample
from made_exp.cli.app import main
from made_exp.errors import CheckpointError
from made_exp.experiments.all_rows import Length
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.settings.training import TrainerSettings

TINY = ("model.hidden_sizes=[8]", "trainer.max_steps=4", "trainer.tensorboard=false")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
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


def test_all_rows_are_trained_on_for_as_long_as_a_run_beside_it_found(folder, capsys):
    """The last steps anneal as they did there; weights of the mixture and valid are of there."""
    settings = (
        "experiment=table",
        "dataset.valid_fraction=0",
        "hydra.run.dir=run",
        "ordering.fixed=1",
        "trainer.max_steps=80",
        "trainer.batch_size=10",
        "trainer.samples_every=0",
        "scheduler.patience=1",
        "trainer.num_threads=1",
    )
    assert main(["dataset=table", "dataset.path=t.csv", TINY[0], TINY[2], *settings]) == 0
    beside, whole = (
        json.loads(Path(folder, "results.json").read_text()) for folder in ("run/length", "run")
    )
    assert beside["test"] is None
    assert whole["test"]["num_examples"] == beside["valid"]["num_examples"] == 6
    assert whole["valid"] == beside["valid"]
    assert whole["steps"] <= beside["steps"]
    ends = [
        load_checkpoint(Path(folder, "checkpoints/last.pt")) for folder in ("run/length", "run")
    ]
    found, own = (end["scheduler"] for end in ends)
    assert whole["steps"] == own["start"] + own["length"]
    if 0 <= found["start"] < beside["steps"]:
        assert own["start"] == found["best_step"]
        assert own["length"] == beside["steps"] - found["start"]
    else:
        assert (whole["steps"], own["length"]) == (80, 19)  # 0.3 of what comes before
    best = [
        load_checkpoint(Path(folder, "checkpoints/best.pt")) for folder in ("run/length", "run")
    ]
    weights = [one["model"]["mixture._log_weights"] for one in best]
    assert torch.equal(*weights)
    assert best[1]["state"]["step"] == whole["steps"]
    capsys.readouterr()
    assert (
        main(["dataset=table", "dataset.path=t.csv", TINY[0], TINY[2], *settings, "resume=true"])
        == 0
    )
    assert "already finished, skipped" in capsys.readouterr().out


def test_a_run_beside_it_that_fails_is_no_mistake_of_the_user(folder, capsys, monkeypatch):
    def full(path, content):
        raise CheckpointError(f"cannot write checkpoint {path}: no space")

    monkeypatch.setattr("made_exp.training.keeper.save_checkpoint", full)
    assert train("dataset.valid_fraction=0", "hydra.run.dir=run") == 1
    assert f"error: cannot write checkpoint {folder}/run/length" in capsys.readouterr().err


def test_what_was_found_replaces_every_limit_of_a_training():
    asked = TrainerSettings(epochs=3, max_minutes=2.0, min_steps=4000, eval_every=1)
    trainer = Length(50, None, {}, {}).trainer(asked)
    assert trainer.total_steps(num_batches=7) == 50
    assert (trainer.max_minutes, trainer.patience) == (None, None)
    assert trainer.epochs_between(num_batches=7) > 50


def test_a_split_column_without_valid_needs_rows_for_it(folder, capsys):
    rows = Path("t.csv").read_text().splitlines()
    Path("t.csv").write_text("\n".join([f"{rows[0]},s", *(f"{row},train" for row in rows[1:])]))
    assert train("dataset.split_column=s", "dataset.valid_fraction=0") == 2
    assert "column 's' says valid of no row, and valid_fraction=0" in capsys.readouterr().err


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


GOOD = [f"{i}.5,{'abc'[i % 3]}" for i in range(40)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["v,k", *GOOD, "1.2.3,a"], "line 42, column 'v': '1.2.3' is not a number"),
        (["v,k", *GOOD, "1,2,3"], "line 42 has 3 fields, the header has 2"),
        (["v,k", *GOOD, '1,"a'], 'line 42: a quote (") is opened here'),
        (["v,k", "1.5,a"], "too few rows (1) for the splits train, valid, test"),
        (["v,k", *[","] * 30], "no rows but such whose cells are all empty"),
        (["v,k"], "has a header but no rows"),
    ],
)
def test_a_bad_table_is_one_line_and_nothing_is_written(folder, capsys, lines, message):
    (folder / "bad.csv").write_text("\n".join([*lines, ""]))
    before = sorted(path.name for path in folder.iterdir())
    assert train("dataset.path=bad.csv") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_bad_table_leaves_a_folder_of_somebody_as_it_was(folder):
    (folder / "bad.csv").write_text("v,k\n1,2,3\n")
    (folder / "mine/.hydra").mkdir(parents=True)
    (folder / "mine/notes.txt").write_text("keep")
    (folder / "mine/.hydra/own").write_text("keep")
    before = {path: path.is_file() and path.read_text() for path in (folder / "mine").rglob("*")}
    assert train("dataset.path=bad.csv", "hydra.run.dir=mine") == 2
    there = {path: path.is_file() and path.read_text() for path in (folder / "mine").rglob("*")}
    assert there == before


def test_odd_tables_are_trained_on(folder, caplog):
    wide = [",".join(f"{i * d % 7}.{d}" for d in range(12)) for i in range(1, 9)]
    (folder / "wide.csv").write_text("\n".join([",".join(f"c{d}" for d in range(12)), *wide, ""]))
    assert train("dataset.path=wide.csv") == 0
    odd = [f"{i},{row},," for i, row in enumerate(GOOD)]
    (folder / "odd.csv").write_text("\n".join([",v,v,empty,", *odd, ""]))
    assert train("dataset.path=odd.csv", "dataset.drop=[column_1]") == 0


def test_real_values_also_count_as_the_masses_of_their_last_digit(capsys):
    assert train("hydra.run.dir=run") == 0
    test = json.loads(Path("run/results.json").read_text())["test"]
    # v is real, written with three decimals and never missing; k is categorical.
    assert test["nll_as_written"] == pytest.approx(test["nll"] + 3 * math.log(10))
    assert re.search(rf"as written +{test['nll_as_written']:.3f} nats", capsys.readouterr().out)
    assert made_eval.main(["run=run"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["nll_as_written"] == pytest.approx(test["nll_as_written"])
    assert train("hydra.run.dir=mass", "dataset.kinds.v=decimal") == 0
    test = json.loads(Path("mass/results.json").read_text())["test"]
    assert "nll_as_written" not in test  # masses as they are


def test_a_run_that_is_given_more_of_what_did_not_end_it_is_told(capsys):
    assert train("hydra.run.dir=run", "trainer.epochs=50") == 0
    capsys.readouterr()
    assert train("hydra.run.dir=run", "resume=true", "trainer.epochs=60") == 0
    assert re.search(
        r"resumed at step 4 .*, the last by trainer\.max_steps=4\n", capsys.readouterr().out
    )
    settings = TrainerSettings(epochs=2, max_steps=500)
    assert settings.ending(187, 94) == ""
    assert settings.ending(188, 94) == ", the last by trainer.epochs=2"


def test_no_cell_comes_out_empty_where_missing_is_a_value(folder):
    rows = [f"{i % 3 or ''},{i % 2 or ''}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["k,l", *rows, ""]))
    kinds = "dataset.kinds={k: categorical, l: categorical}"
    assert train("dataset.missing=model", kinds, "ordering=agnostic", "hydra.run.dir=run") == 0
    Path("asked.csv").write_text("k,l\n" + "1,\n,\n" * 40)
    for name in ("done.csv", "done.parquet"):
        assert made_sample.main(["run=run", "observed=asked.csv", f"path={name}"]) == 0
    done = pl.read_csv("done.csv"), pl.read_parquet("done.parquet")
    assert not any(frame.null_count().sum_horizontal().item() for frame in done)


def test_rows_to_complete_are_read_as_the_table_was(folder):
    rows = [f"{i}.5,{'äö'[i % 2]}" for i in range(60)]
    Path("t.csv").write_bytes("\n".join(["größe,städt", *rows, ""]).encode("latin-1"))
    settings = ("dataset.encoding=latin-1", "ordering=agnostic", "hydra.run.dir=run")
    assert train(*settings) == 0
    Path("asked.csv").write_bytes("größe,städt\n,ö\n7.5,\n".encode("latin-1"))
    assert made_sample.main(["run=run", "observed=asked.csv", "path=done.csv"]) == 0
    done = pl.read_csv("done.csv")
    assert (done["städt"][0], done["größe"][1]) == ("ö", 7.5)
    assert done["städt"][1] in ("ä", "ö")
    assert made_sample.main(["run=run", "observed=done.csv", "path=again.csv"]) == 0
    assert Path("again.csv").read_bytes() == Path("done.csv").read_bytes()
    assert made_eval.main(["run=run", "data=done.csv", "path=scored.csv"]) == 0
