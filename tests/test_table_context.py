"""Tables given some of their columns, from the command line to numbers, draws and reports."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from builders import load_dataset

from made_exp import eval as made_eval
from made_exp import load_run
from made_exp import sample as made_sample
from made_exp.cli.app import main
from made_exp.datasets.description import MAX_GIVEN_ROWS, describe_data
from made_exp.datasets.table.context import as_given
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.text import TextStyle
from made_exp.variables.conditionals.base import conditional_for
from made_exp.variables.conditionals.given import Given

TINY = ("model.hidden_sizes=[24]", "trainer.tensorboard=false", "optimizer.lr=0.02")
RUN = (
    "ordering=agnostic",
    "ordering.num_orderings=4",
    "trainer.max_steps=150",
    "trainer.epochs=90",
)


def rows(count=400, seed=0):
    """Class and size are given; colour follows the class, weight both."""
    source = random.Random(seed)
    for _ in range(count):
        kind = source.choices(["cat", "dog", "owl"], [5, 3, 2])[0]
        size = source.choice([1.5, 2.5, ""])
        colour = kind[0] if source.random() < 0.9 else source.choice("cdo")
        weight = source.gauss({"cat": 4, "dog": 12, "owl": 1}[kind], 0.5)
        yield f"{colour},{kind},{weight:.2f},{size},{source.choice('xy')}"


HEADER = "colour,class,weight,size,mark"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the table t.csv and a finished run given class and size."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "t.csv").write_text("\n".join([HEADER, *rows()]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        assert train("dataset.context=[class,size]", *RUN, "hydra.run.dir=run") == 0
        yield folder


def train(*overrides):
    return main(["dataset=table", "dataset.path=t.csv", *TINY, *overrides])


def drawn(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_only_modelled_columns_are_scored(run):
    results = json.loads((run / "run" / "results.json").read_text())
    test, baselines = results["test"], results["baselines"]
    modelled = {"colour", "weight", "mark"}
    assert set(test["columns"]) == set(baselines["columns"]) == modelled
    assert test["nll"] == pytest.approx(sum(test["columns"].values()), abs=1e-4)
    assert test["nll_per_dim"] == pytest.approx(test["nll"] / 3)
    assert test["nll"] < baselines["independent"] - 0.5  # which ignores what is given
    assert set(baselines) >= {"independent", "gaussian_mixture"}
    assert all(check["passed"] for check in results["checks"].values())
    given = {one["column"] for one in results["columns"] if "given" in one["decided"]}
    assert given == {"class", "size"}


def test_a_loaded_run_is_a_density_of_the_others(run):
    model = load_run(run / "run")
    assert model.groups.given == (1, 3)
    x = model.sample(4000, seed=0, codes=True)
    shares = Counter(x[:, 1].tolist())
    train_rows = describe_data(load(run, context=["class", "size"]))["given"]
    counts = Counter()
    for (kind, _), count in zip(train_rows["rows"], train_rows["counts"], strict=True):
        counts[kind] += count / 320
    for kind, share in counts.items():
        assert shares[kind] / 4000 == pytest.approx(share, abs=0.03)
    own = (x[:, 0] == x[:, 1]).double()  # both are sorted by their first letter
    assert float(own.mean()) > 0.7
    with pytest.raises(ValueError, match=r"x\[0, 1\] is missing: .* given 'class'"):
        model.log_prob(x.masked_fill(torch.tensor([False, True, False, False, False]), torch.nan))
    missing = x.clone()
    missing[:, 3] = torch.nan  # of a given column missing is a value
    assert torch.isfinite(model.log_prob(missing)).all()


def load(folder, **options):
    return load_dataset("table", seed=0, data_dir=folder, path=str(folder / "t.csv"), **options)


def test_given_columns_lead_every_order_and_have_no_output(run):
    dataset = load(run, context=["size", "class"])
    assert dataset.given == (1, 3)
    assert dataset.variables[3].may_be_missing
    assert not dataset.variables[3].echoes
    assert isinstance(conditional_for("auto", dataset.variables[3], 4), Given)
    model = load_run(run / "run")
    assert sum(model.groups.param_widths[d] for d in (1, 3)) == 0
    assert {
        tuple(sorted(model.made.component(m).masks.ordering[:2].tolist())) for m in range(4)
    } == {(1, 3)}


def test_draws_have_the_values_that_are_chosen(run, capsys):
    given = "given={class: dog, size: 2.5}"
    assert made_sample.main(["run=run", given, "num_samples=300", "path=dogs.csv"]) == 0
    dogs = drawn(run / "dogs.csv")
    assert {(row["class"], row["size"]) for row in dogs} == {("dog", "2.5")}
    assert Counter(row["colour"] for row in dogs)["d"] > 200
    assert np.mean([float(row["weight"]) for row in dogs]) == pytest.approx(12, abs=1)
    # What is not given by the model can be chosen too, and an empty text is a missing cell.
    more = "given={class: cat, size: '', mark: y}"
    assert made_sample.main(["run=run", more, "num_samples=20", "path=cats.csv"]) == 0
    assert {(r["class"], r["size"], r["mark"]) for r in drawn(run / "cats.csv")} == {
        ("cat", "", "y")
    }
    assert made_sample.main(["run=run", "given=null", "num_samples=400", "path=all.csv"]) == 0
    shares = Counter(row["class"] for row in drawn(run / "all.csv"))
    assert 140 < shares["cat"] < 260


def test_rows_with_the_given_columns_alone_are_completed(run):
    (run / "new.csv").write_text("class,size\nowl,1.5\ncat,\n")
    assert made_sample.main(["run=run", "observed=new.csv", "path=done.csv"]) == 0
    rows = drawn(run / "done.csv")
    assert [(row["class"], row["size"]) for row in rows] == [("owl", "1.5"), ("cat", "")]
    assert all(row["colour"] and row["weight"] and row["mark"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["given={class: dog, mark: ''}"],
            "given: 'size' is missing; the model is of the other columns given class, size; "
            'where="class = dog" takes the others from train',
        ),
        (["given={clas: dog}"], "given: the model has no column 'clas'. Did you mean 'class'?"),
        (["given={class: dgo, size: 1.5}"], "'dgo' is no value of 'class' in train. Did you mean"),
        (["given={class: '', size: 1.5}"], "given 'class', which has no value there"),
        (["given=dog"], "given must be {NAME: VALUE, ...}, got 'dog'"),
        (["given={class: dog}", "observed=bad.csv"], "both say what is known"),
        (["observed=bad.csv"], "bad.csv, line 3, column 'class': the model is of the other"),
        (["observed=half.csv"], "half.csv has no column 'size'; .*add it, empty, where nothing"),
        (["observed=other.csv"], "no column 'class'; .*add it, with a value in each row"),
    ],
)
def test_what_a_draw_needs_is_said(run, capsys, arguments, message):
    (run / "bad.csv").write_text("class,size\nowl,1.5\n,2.5\n")
    (run / "half.csv").write_text("class\nowl\n")
    (run / "other.csv").write_text("size\n1.5\n")
    assert made_sample.main(["run=run", *arguments, "path=none.csv"]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in message.split(".*")), error
    assert not (run / "none.csv").exists()


def test_classes_that_are_given_are_balanced(run):
    assert made_sample.main(["run=run", "balance=class", "num_samples=60", "path=even.csv"]) == 0
    rows = drawn(run / "even.csv")
    assert Counter(row["class"] for row in rows) == {"cat": 20, "dog": 20, "owl": 20}
    assert Counter(row["colour"] for row in rows if row["class"] == "owl")["o"] > 12
    where = "where=size = 1.5 and (class = owl or class = cat)"
    arguments = ["run=run", "balance=class", where, "num_samples=20", "path=even.csv"]
    assert made_sample.main(arguments) == 0
    rows = drawn(run / "even.csv")
    pairs = Counter((row["class"], row["size"]) for row in rows)
    assert pairs == {("cat", "1.5"): 10, ("owl", "1.5"): 10}


def test_rows_without_what_is_given_are_not_scored_and_why_is_said(run, capsys):
    cells = ["c,cat,4.0,1.5,x", "c,,4.0,1.5,x", "c,cat,4.0,,x", "c,emu,4.0,99,x"]
    (run / "gaps.csv").write_text("\n".join([HEADER, *cells]) + "\n")
    assert made_eval.main(["run=run", "data=gaps.csv", "path=scores.csv"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows_in_mean"] + told["rows_not_scored"] == 4
    notices = " ".join(told["notices"])
    assert "in which 'class' is empty: this column is given" in notices
    assert "fixed orders" not in notices
    assert "probability" not in notices
    assert "likely" not in notices
    assert "share" not in notices


def test_a_frame_without_what_is_given_is_not_completed(run):
    model = load_run(run / "run")
    frame = pl.DataFrame({"class": ["cat", None], "size": [1.5, 2.5], "mark": ["x", "y"]})
    with pytest.raises(ValueError, match=r"x\[1, 1\] is missing: .* given 'class'"):
        model.complete(frame, seed=0)


def test_a_finished_run_is_scored_anew(run, capsys):
    assert made_eval.main(["run=run", "split=test"]) == 0
    told = json.loads(capsys.readouterr().out)
    results = json.loads((run / "run" / "results.json").read_text())
    assert told["nll"] == pytest.approx(results["test"]["nll"], abs=1e-5)
    assert told["bits_per_dim"] == pytest.approx(results["test"]["bits_per_dim"], abs=1e-5)
    assert set(told["columns"]) == set(told["counting"]) == {"colour", "weight", "mark"}


@pytest.mark.slow
def test_a_run_with_given_columns_resumes_bit_for_bit(run):
    options = ("dataset.context=[class,size]", *RUN, "trainer.epochs=30")
    assert train(*options, "hydra.run.dir=whole") == 0
    assert train(*options, "trainer.max_steps=20", "hydra.run.dir=parts") == 0
    Path("parts/results.json").unlink()
    assert train(*options, "resume=true", "hydra.run.dir=parts") == 0
    results = [json.loads(Path(f"{name}/results.json").read_text()) for name in ("whole", "parts")]
    assert results[0]["test"] == results[1]["test"]


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("[clas]", "t.csv has no column 'clas'. Did you mean 'class'?"),
        ("[colour,class,weight,size,mark]", "t.csv: none is left to be modelled given them"),
        ("[class] dataset.drop=[class]", "dataset.context: column 'class' is left out"),
    ],
)
def test_a_context_that_cannot_be_is_refused(run, capsys, context, message):
    assert train(*f"dataset.context={context}".split(), "hydra.run.dir=refused") == 2
    assert message in capsys.readouterr().err
    assert not Path("refused").exists()


def test_a_column_that_says_nothing_of_a_row_cannot_be_given(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,one,y\n" + "".join(f"k{n}x{n * 7},same,{n % 3}\n" for n in range(60)))
    raw = read_tables([path], TextStyle())
    split = {"train": np.arange(60)}
    with pytest.raises(ValueError, match=r"'id' holds identifier .*kinds=\{id: categorical\}"):
        fit_table(raw, split, context=["id"])
    with pytest.raises(ValueError, match="'one' holds constant values"):
        fit_table(raw, split, context=["one"])
    with pytest.raises(ValueError, match=r"no column is left to be modelled: .*'y' \(given\)"):
        fit_table(raw, split, context=["y"], columns=["one", "y"])
    schema = fit_table(raw, split).schema
    (column,) = schema.modelled
    assert as_given(column, np.array([0.0, np.nan])).variable.may_be_missing


def test_of_very_many_given_rows_some_are_kept(tmp_path):
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=20_000), "y": [0, 1] * 10_000})
    frame.write_parquet(tmp_path / "t.parquet")
    dataset = load_dataset(
        "table", seed=0, data_dir=tmp_path, path=str(tmp_path / "t.parquet"), context=["x"]
    )
    kept = describe_data(dataset)["given"]
    assert len(kept["rows"]) == MAX_GIVEN_ROWS == sum(kept["counts"])
