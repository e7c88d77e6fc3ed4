"""New rows scored by the command: what is written, what is told, what is refused."""

import csv
import json
import math

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from made_exp.cli.app import main as made_train
from made_exp.datasets.table import appending, pieces
from made_exp.datasets.table.text import TextStyle
from made_exp.eval import main as made_eval
from made_exp.experiments import train_scores
from made_exp.experiments.finished import FinishedRun
from made_exp.reporting.odd_rows import odd_rows_text
from made_exp.reporting.row_count import RowCount

SHORT = (
    "trainer.max_steps=4", "trainer.num_samples=4", "trainer.tensorboard=false",
    "trainer.progress=off", "trainer.device=cpu", "trainer.samples_every=0",
    "model.hidden_sizes=[8]",
)  # fmt: skip
COLUMNS = ("age", "town", "height")


def table(rows, seed=0):
    random = np.random.default_rng(seed)
    ages, towns = random.integers(18, 60, rows), random.choice(["Ulm", "Bonn", "Kiel"], rows)
    return pl.DataFrame({"age": ages, "town": towns, "height": random.normal(1.7, 0.1, rows)})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of any order and one of a fixed order of the same table, and the folder of both."""
    folder = tmp_path_factory.mktemp("runs")
    table(300).write_csv(folder / "people.csv")
    for ordering in ("agnostic", "natural"):
        typed = [f"ordering={ordering}", "dataset=table", f"dataset.path={folder}/people.csv"]
        more = ["ordering.num_orderings=3"] * (ordering == "agnostic")
        assert made_train([*typed, *more, *SHORT, f"hydra.run.dir={folder}/{ordering}"]) == 0
    return folder


@pytest.fixture
def ask(runs, capsys, monkeypatch, tmp_path):
    """Runs made-eval with a run; its exit code, its outcome, and what else was said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, ordering="agnostic"):
        capsys.readouterr()
        code = made_eval([f"run={runs}/{ordering}", "device=cpu", *arguments])
        out, err = capsys.readouterr()
        start = out.find("{")
        return code, json.loads(out[start:]) if code == 0 else None, out[:start] + err

    return run


def model_of(runs, ordering="agnostic"):
    return FinishedRun(runs / ordering, "cpu")


NEW = (
    "note,town,height,age\n"
    'a," Ulm",1.70,020\n'
    '"b, c",Bonn,1.8e0,59\n'
    ",,1.65,\n"
    "x,Kiel,1.75,30\n"
)  # fmt: skip


def test_cells_come_back_byte_for_byte_with_scores_beside_them(ask, runs, tmp_path):
    (tmp_path / "new.csv").write_text(NEW)
    code, outcome, _ = ask("data=new.csv", "path=scored.csv", "others=true")
    assert code == 0
    given = list(csv.DictReader(NEW.splitlines()))
    scored = list(csv.DictReader((tmp_path / "scored.csv").read_text().splitlines()))
    assert [{name: row[name] for name in given[0]} for row in scored] == given
    extra = [f"{what}.{n}" for what in ("surprise", "surprise_given_others") for n in COLUMNS]
    assert list(scored[0]) == ["note", "town", "height", "age", "log_prob", "rank", *extra]
    nan = math.nan
    x = torch.tensor([[20, 1.7], [59, 1.8], [nan, 1.65], [30, 1.75]], dtype=torch.float64)
    run = model_of(runs)
    codes = [run.schema.modelled[1].variable.categories.index(t) for t in ("Ulm", "Bonn", "Kiel")]
    towns = torch.tensor([codes[0], codes[1], nan, codes[2]], dtype=torch.float64)
    offset = run.schema.modelled[0].offset
    x = torch.stack([x[:, 0] - offset, towns, x[:, 1]], 1)
    for row, log_prob in zip(scored, run.model.log_prob(x).tolist(), strict=True):
        assert float(row["log_prob"]) == pytest.approx(log_prob, rel=1e-5)
        surprises = [row[f"surprise.{name}"] for name in COLUMNS]
        assert sum(float(s or 0) for s in surprises) == pytest.approx(-float(row["log_prob"]))
        assert 0 <= float(row["rank"]) <= 1
    assert scored[2]["surprise.town"] == scored[2]["surprise_given_others.age"] == ""
    assert outcome["rows"] == 4
    log_probs = [float(row["log_prob"]) for row in scored]
    assert outcome["mean_log_prob"] == pytest.approx(np.mean(log_probs))
    stderr = np.std(log_probs, ddof=1) / 2
    assert outcome["mean_log_prob_stderr"] == pytest.approx(stderr)
    assert "note" in outcome["notices"][0]


@pytest.mark.parametrize(
    "name", ["s.csv.gz", "s.tsv.zst", "s.csv.xz", "s.csv.bz2", "s.parquet", "s.feather"]
)
@pytest.mark.parametrize("source", ["new.csv", "new.parquet"])
def test_pieces_are_the_whole(name, source, ask, tmp_path, monkeypatch):
    frame = table(230, seed=1)
    (frame.write_csv if source == "new.csv" else frame.write_parquet)(tmp_path / source)
    assert ask(f"data={source}", f"path=whole_{name}", "num_orderings=2")[0] == 0
    monkeypatch.setattr(pieces.read_pieces, "__kwdefaults__", {"block": 900, "rows": 40})
    assert ask(f"data={source}", f"path={name}", "num_orderings=2")[0] == 0
    found, whole = (
        pl.concat([p.frame for p in pieces.read_pieces([tmp_path / n], TextStyle())])
        for n in (name, f"whole_{name}")
    )
    assert found.columns == whole.columns
    assert len(found) == 230
    scores = found.columns[3:]
    numbers = [one.select(pl.col(scores).cast(pl.Float64)) for one in (found, whole)]
    np.testing.assert_allclose(*numbers, rtol=1e-5, atol=1e-6)
    if source == "new.parquet" and name.endswith(("parquet", "feather")):
        assert found.select(COLUMNS).equals(frame)
    assert not list(tmp_path.glob(".*"))


def test_arrays_are_written_and_read(ask, runs, tmp_path):
    x = model_of(runs).dataset.test.numpy()
    np.savez(tmp_path / "new.npz", x=x)
    assert ask("data=new.npz", "path=out.npz", "others=true")[0] == 0
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["x"], x)
        assert found["columns"].tolist() == list(COLUMNS)
        np.testing.assert_allclose(-found["surprise"].sum(1), found["log_prob"])
        assert found["surprise_given_others"].shape == x.shape
        assert found["rank"].shape == (len(x),)


def test_the_rank_is_the_share_of_train_that_is_less_likely_and_is_kept(ask, runs, tmp_path):
    run = model_of(runs)
    table(20, seed=3).write_parquet(tmp_path / "new.parquet")
    assert ask("data=new.parquet", "path=s.parquet", "surprise=false")[0] == 0
    scored = pl.read_parquet(tmp_path / "s.parquet")
    assert scored.columns == [*COLUMNS, "log_prob", "rank"]
    train = run.model.log_prob(run.dataset.train).double().numpy()
    expected = [(train < score - 1e-5).mean() for score in scored["log_prob"]]
    np.testing.assert_allclose(scored["rank"], expected, atol=1.01 / len(train))
    kept = runs / "agnostic" / "train_scores.npz"
    with np.load(kept) as arrays:
        assert len(arrays["log_prob"]) == len(train)
    np.savez(kept, log_prob=np.zeros(3), model=np.array("other weights"))
    assert len(train_scores.train_scores(run)) == len(train)


def test_without_the_table_of_train_there_is_no_rank(ask, runs, tmp_path, monkeypatch):
    (runs / "agnostic" / "train_scores.npz").unlink(missing_ok=True)
    (runs / "people.csv").rename(runs / "away.csv")
    table(5).write_csv(tmp_path / "new.csv")
    try:
        code, _, _ = ask("data=new.csv", "path=s.csv")
    finally:
        (runs / "away.csv").rename(runs / "people.csv")
    assert code == 0
    assert "rank" not in pl.read_csv(tmp_path / "s.csv").columns
    code, _, _ = ask("data=new.csv", "path=s.csv")
    assert "rank" in pl.read_csv(tmp_path / "s.csv").columns


def test_the_oddest_rows_are_told_with_the_cells_that_make_them_odd(ask, tmp_path):
    frame = table(50, seed=2).with_columns(pl.col("height").round(2))
    frame[7, "height"] = 9.5
    frame.write_csv(tmp_path / "new.csv")
    code, outcome, shown = ask("data=new.csv", "top=3")
    assert code == 0
    first = shown[shown.index("line") :].splitlines()[0]
    assert first.startswith("line 9 ")
    assert "height = 9.5" in first
    assert "given all others" in first
    assert shown.count("line ") == 3
    assert "path" not in outcome
    assert list(tmp_path.iterdir()) == [tmp_path / "new.csv"]


def test_cells_that_are_not_there_are_never_odd(ask, tmp_path):
    nan = math.nan
    x = np.array([[nan, 99, nan], [nan, nan, nan], [20, 99, 1.7], [20, nan, 1.7]])
    np.savez(tmp_path / "new.npz", x=x)
    code, _, shown = ask("data=new.npz", "top=4")
    assert code == 0
    assert "(empty)" not in shown
    assert "nan" not in shown
    assert shown.count("town = 99.0  inf") == 2
    written = {}
    for ordering in ("agnostic", "natural"):
        asked = "data=new.npz", "path=s.npz", "surprise=true"
        code, _, said = ask(*asked, ordering=ordering)
        assert code == 0, said
        with np.load(tmp_path / "s.npz") as arrays:
            written[ordering] = arrays["surprise"]
    there = ~np.isnan(x)
    assert (np.isfinite(written["agnostic"]) == (there & (x != 99))).all()
    np.testing.assert_allclose(written["agnostic"][2, [0, 2]], written["agnostic"][3, [0, 2]])
    assert np.isnan(written["natural"][2]).tolist() == [False, False, True]
    assert np.isinf(written["natural"][2, 1])


def test_values_that_train_never_had_are_scored_and_said(ask, tmp_path):
    (tmp_path / "new.csv").write_text("age,town,height\n900,Ulm,1.7\n20,Rom,1.7\n950,Ulm,1.7\n")
    code, outcome, _ = ask("data=new.csv", "path=s.csv")
    assert code == 0
    notices = "\n".join(outcome["notices"])
    assert "new.csv, line 2, column 'age': '900' and 1 more cells: outside" in notices
    assert "line 3, column 'town': 'Rom': not in the training rows" in notices
    bad = outcome["rows_of_probability_0"]
    scores = pl.read_csv(tmp_path / "s.csv")["log_prob"].cast(pl.Float64)
    assert bad == scores.is_infinite().sum()
    assert outcome["rows_in_mean"] == 3 - bad
    if bad:
        assert "rows of probability 0" in outcome["notices"][0]
        row = outcome["first_of_probability_0"][0]
        assert (row["column"], row["value"]) == ("town", "Rom")
        assert row["row"].endswith("line 3")


def test_fixed_orders_leave_rows_out_whose_missing_cells_are_given_to_others(ask, tmp_path):
    (tmp_path / "new.csv").write_text("age,town,height\n20,Ulm,1.7\n,Ulm,1.7\n20,Ulm,\n")
    code, outcome, _ = ask("data=new.csv", "path=s.csv", ordering="natural")
    assert code == 0
    assert outcome["rows_not_scored"] == 1
    assert "fixed orders" in outcome["notices"][-1]
    scores = pl.read_csv(tmp_path / "s.csv")["log_prob"]
    assert scores.is_null().to_list() == [False, True, False]


def test_plots_are_drawn_into_the_run(ask, runs):
    code, outcome, _ = ask("plots=true")
    assert code == 0
    assert set(outcome["plots"]) == {"calibration", "pit", "nll"}
    for file in outcome["plots"].values():
        assert file.startswith(str(runs / "agnostic"))
        with Image.open(file) as picture:
            assert picture.width > 400
    code, _, said = ask("plots=true", "data=new.csv", "top=3")
    assert code == 2
    assert "plots" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["path=s.csv"], "data=FILE"),
        (["data=new.csv", "path=s.png"], "path must end in"),
        (["data=new.csv", "path=new.csv"], "is read from"),
        (["data=new.csv", "path=there"], "path must end in"),
        (["data=new.csv", "path=there.csv"], "is a folder"),
        (["data=new.csv", "path=nowhere/s.csv"], "does not exist"),
        (["data=none.csv", "path=s.csv"], "not found"),
        (["data=empty.csv", "path=s.csv"], "is empty"),
        (["data=header.csv", "path=s.csv"], "header but no rows"),
        (["data=lacks.csv", "path=s.csv"], "no column 'height'.*Is it 'Height'"),
        (["data=two.csv", "path=s.csv"], "no column 'height'.*; add it, empty, where nothing"),
        (["data=words.csv", "path=s.csv"], "line 3, column 'age': 'old' is not a number"),
        (["data=new.npz", "path=s.csv"], "cannot read array 'x'"),
        (["data=splits.npz", "path=s.csv"], "'x' of .*: it has train, test; rows to score are"),
        (["data=new.csv", "top=0"], "top"),
        (["data=new.csv", "top=3", "others=true"], "path=FILE"),
        (["data=new.csv", "path=s.csv", "num_orderings=9"], "num_orderings must be in 1..3"),
        (["data=new.csv"], "add path=OUT or top=N"),
        (["data=new.csv", "pat=s.csv"], "Did you mean 'path'"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(arguments, message, ask, tmp_path):
    (tmp_path / "new.csv").write_text("age,town,height\n20,Ulm,1.7\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("age,town,height\n")
    (tmp_path / "lacks.csv").write_text("age,town,Height\n20,Ulm,1.7\n")
    (tmp_path / "two.csv").write_text("age,town\n20,Ulm\n")
    (tmp_path / "words.csv").write_text("age,town,height\n20,Ulm,1.7\nold,Ulm,1.7\n")
    (tmp_path / "new.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "splits.npz", train=np.zeros((2, 3)), test=np.zeros((2, 3)))
    (tmp_path / "there.csv").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, _, said = ask(*arguments)
    assert code == 2
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert pl.Series([line]).str.contains(message).all(), line
    assert sorted(tmp_path.rglob("*")) == before


def test_given_all_others_is_refused_for_fixed_orders(ask, tmp_path):
    table(4).write_csv(tmp_path / "new.csv")
    code, _, said = ask("data=new.csv", "path=s.csv", "others=true", ordering="natural")
    assert code == 2
    assert "experiment=table" in said


def test_a_file_is_whole_or_not_there(tmp_path):
    for name in ("s.parquet", "s.csv.gz", "s.csv.xz", "s.csv.bz2"):
        with pytest.raises(KeyError):
            append(tmp_path / name, table(3), KeyError())
    with pytest.raises(ValueError, match=r"'a' holds List\(Int64\), for which text has no place"):
        append(tmp_path / "s.csv", pl.DataFrame({"a": [[1, 2]]}))
    assert not list(tmp_path.iterdir())
    append(tmp_path / "s.csv.xz", table(3))
    (piece,) = pieces.read_pieces([tmp_path / "s.csv.xz"], TextStyle())
    assert len(piece.raw) == 3


def append(path, frame, error=None):
    with appending.TableWriter(path, ",") as writer:
        writer.append(frame)
        if error is not None:
            raise error


def test_rows_are_counted_on_the_way(capsys):
    seconds = iter([0.0, 1.0, 12.0, 13.0])
    count = RowCount("scored", clock=lambda: next(seconds))
    for _ in range(3):
        count.add(6000)
    count.end()
    assert capsys.readouterr().err == "12 000 rows scored, 1,000 rows/s\n"


def test_odd_rows_fit_the_terminal():
    cell = {
        "column": "[b]age[/b]",
        "value": "",
        "surprise": 3.0,
        "usual": 1.0,
        "given_others": None,
    }
    row = {"place": "line 3", "log_prob": -math.inf, "rank": None, "cells": [cell] * 2}
    shown = odd_rows_text([row], width=60)
    assert max(map(len, shown.splitlines())) <= 60
    assert "[b]age[/b] = (empty)  3.0 (1.0)" in shown
    assert "-inf" in shown
    assert "rank" not in shown
