"""Whole runs whose mixture holds simple densities: as good as these, resumable, by column."""

import json
import logging

import pytest
import torch
from experiment_cases import evaluate_run, make_settings, read_metrics, read_results, sample_run
from test_tables import blanked, wine_rows, write

from made_exp import load_run
from made_exp.datasets.base import Dataset
from made_exp.errors import ConfigError
from made_exp.experiments.by_column import ColumnScores, Moments, score_columns
from made_exp.experiments.experiment import run
from made_exp.experiments.finished import FinishedRun
from made_exp.settings.model import BASELINES
from made_exp.variables.variable import Kind, Variable

AGNOSTIC = {"name": "agnostic", "num_orderings": 4, "valid_orderings": 2}
ENSEMBLE = {"name": "ensemble", "num_orderings": 2}


def settings(path, ordering, **trainer):
    return make_settings(
        path.parent,
        dataset={"name": "csv", "path": str(path)},
        model={
            "name": "made",
            "hidden_sizes": [20],
            "baselines": list(BASELINES),
        },
        ordering=ordering,
        trainer={"epochs": 4, "samples_every": 0, **trainer},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """wine.csv with empty cells, full.csv without, and finished runs of both."""
    folder = tmp_path_factory.mktemp("wine")
    write(folder / "full.csv", wine_rows())
    write(folder / "wine.csv", blanked(wine_rows()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        run(settings(folder / "wine.csv", AGNOSTIC), folder / "agnostic")
        run(settings(folder / "full.csv", ENSEMBLE), folder / "ensemble")
        yield folder


@pytest.mark.parametrize("name", ["agnostic", "ensemble"])
def test_no_table_ends_much_worse_than_its_best_baseline(folder, name):
    results = read_results(folder / name)
    nlls = [nll for nll in results["baselines"].values() if isinstance(nll, float)]
    assert results["test"]["nll"] < min(nlls) + 0.3  # the networks are hardly trained
    assert results["baselines"].keys() >= {*BASELINES, "stderr", "columns"}
    assert all(check["passed"] for check in results["checks"].values())


@pytest.mark.parametrize("name", ["agnostic", "ensemble"])
def test_columns_add_up_to_the_likelihood(folder, name):
    results = read_results(folder / name)
    columns = results["test"]["columns"]
    assert sum(columns.values()) == pytest.approx(results["test"]["nll"], rel=1e-5)
    assert columns.keys() == results["test"]["columns_stderr"].keys()
    assert columns.keys() == results["baselines"]["columns"].keys()
    outcome = evaluate_run(folder / name, device="cpu")
    assert outcome["columns"] == pytest.approx(columns, rel=1e-5)
    assert outcome["counting"] == pytest.approx(results["baselines"]["columns"])
    assert outcome["baselines"]["stderr"] == results["baselines"]["stderr"]
    assert outcome["nll"] == pytest.approx(results["test"]["nll"], rel=1e-5)
    first = evaluate_run(folder / name, device="cpu", num_orderings=1, split="valid")
    assert sum(first["columns"].values()) == pytest.approx(first["nll"], rel=1e-5)
    assert "baselines" not in first


def test_a_loaded_model_holds_its_simple_densities(folder):
    for name in ("agnostic", "ensemble"):
        model, data = load_run(folder / name), FinishedRun(folder / name, "cpu").dataset
        nll = -model.log_prob(data.test).mean().item()
        assert nll == pytest.approx(read_results(folder / name)["test"]["nll"], rel=1e-5)
        assert len(model.made.mixture.log_weights()) == model.num_orderings + len(BASELINES)
    path = sample_run(folder / "agnostic", num_samples=200, path=folder / "new.csv")
    assert len(path.read_text().splitlines()) == 201
    completed = sample_run(
        folder / "agnostic", observed=folder / "wine.csv", path=folder / "completed.csv"
    )
    assert ",," not in completed.read_text()
    header, *rows = (folder / "wine.csv").read_text().splitlines()
    lacks = folder / "lacks.csv"
    lacks.write_text("\n".join(line.partition(",")[2] for line in [header, *rows[:9]]) + "\n")
    completed = sample_run(folder / "agnostic", observed=lacks, path=folder / "completed.csv")
    lines = completed.read_text().splitlines()
    assert lines[0] == header
    assert not any(line.startswith(",") for line in lines)


@pytest.mark.parametrize(
    "ordering",
    [pytest.param(AGNOSTIC, marks=pytest.mark.slow), ENSEMBLE],
    ids=["agnostic", "ensemble"],
)
def test_interrupted_and_resumed_equals_uninterrupted(folder, tmp_path, ordering):
    path = folder / "full.csv"
    run(settings(path, ordering, max_steps=12), tmp_path / "whole")
    run(settings(path, ordering, max_steps=5), tmp_path / "parts")
    (tmp_path / "parts/results.json").unlink()
    resumed = settings(path, ordering, max_steps=12)
    resumed.resume = True
    run(resumed, tmp_path / "parts")
    whole, parts = (read_results(tmp_path / name) for name in ("whole", "parts"))
    assert whole == parts
    last = [read_metrics(tmp_path / name)[-1] for name in ("whole", "parts")]
    assert last[0] == last[1]
    one, two = (torch.load(tmp_path / name / "checkpoints/best.pt") for name in ("whole", "parts"))
    assert one["model"].keys() == two["model"].keys()
    assert all(torch.equal(value, two["model"][name]) for name, value in one["model"].items())


def test_labels_and_grey_levels_are_refused(tmp_path):
    labelled = make_settings(
        tmp_path, labels=True, model={"name": "made", "baselines": ["independent"]}
    )
    with pytest.raises(ConfigError, match="they know no class labels"):
        run(labelled, tmp_path / "run")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["gausian_mixture"], "Did you mean 'gaussian_mixture'"),
        (["independent", "independent"], "each name once"),
    ],
)
def test_wrong_names_are_refused(tmp_path, names, message):
    with pytest.raises(ValueError, match=message):
        make_settings(tmp_path, model={"name": "made", "baselines": names})


def test_a_column_worse_than_counting_is_named(generator):
    counted = torch.rand(200, 8, generator=generator, dtype=torch.float64)
    parts = counted + 0.01 * torch.randn(200, 8, generator=generator, dtype=torch.float64)
    parts[:, 3] += 0.5
    names = tuple(f"c{d}" for d in range(8))
    parts[:, 0] -= 0.5
    chance = torch.tensor([-0.1, 0.1], dtype=torch.float64).repeat(100)
    parts[:, 5] = counted[:, 5] + chance + 1.5 * chance.std() / 200**0.5  # one and a half errors
    halves = [Moments.of(half) for half in parts.split(70)]
    assert torch.allclose(Moments.joined(halves).stderr, parts.std(0) / 200**0.5)
    scores = ColumnScores(
        names, Moments.joined(halves), Moments.of(parts - counted), counted.mean(0)
    )
    lines = scores.warnings()
    assert lines[0].startswith("column 'c3' has an NLL of ")
    assert "+- 0.001 more than counting" in lines[0]
    assert not any("'c0'" in line or "'c5'" in line for line in lines)
    worse = Moments.of(torch.ones_like(counted))
    many = ColumnScores(names, Moments.of(counted + 1), worse, counted.mean(0)).warnings()
    assert len(many) == 6
    assert many[-1] == "... and 3 more columns"
    assert json.dumps(scores.as_dict()["columns"])
    assert scores.counting()["c1"] == pytest.approx(counted[:, 1].mean().item())


def test_a_run_warns_of_such_a_column(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    bad = make_settings(tmp_path, image=False, optimizer={"lr": 3.0}, trainer={"epochs": 1})
    bad.trainer.weight_averaging = 0.0
    bad.model.baselines = ["independent", "chow_liu"]
    monkeypatch.setattr(
        ColumnScores, "warnings", lambda self: [f"column '{self.names[0]}' has an NLL of"]
    )
    with caplog.at_level(logging.WARNING):
        run(bad, tmp_path / "run")
    assert "column 'x0' has an NLL of" in caplog.text
    assert read_results(tmp_path / "run")["best_epoch"] == 0
    assert "the network added nothing in 1 epoch(s)" in caplog.text


def test_images_have_no_columns():
    x = torch.zeros(4, 4, dtype=torch.uint8)
    variables = tuple(Variable(f"x{d}", Kind.BINARY, 2) for d in range(4))
    assert score_columns(None, Dataset("i", variables, x, x, x, image_shape=(2, 2)), "test") is None
