"""What is done with finished runs: loading, scoring, comparing, sampling, completing."""

import json
import os

import numpy as np
import pytest
import torch
from experiment_cases import NUM_DIMS, evaluate_run, make_settings, sample_run

from made_exp import load_run
from made_exp.errors import CheckpointError, ConfigError
from made_exp.experiments.experiment import run
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.given import given_examples
from made_exp.experiments.scoring import difference_of
from made_exp.model.evaluation import evaluate
from made_exp.runs.folder import RunDirectory
from made_exp.settings.commands import SampleSettings
from made_exp.variables.variable import Kind, Variable


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Three finished runs: `fixed` and `short` of one fixed ordering, and `agnostic`."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        run(make_settings(folder), folder / "fixed")
        run(make_settings(folder, trainer={"epochs": 1}), folder / "short")
        agnostic = {"name": "agnostic", "num_orderings": 4}
        run(make_settings(folder, ordering=agnostic), folder / "agnostic")
        yield folder


def split(folder, name):
    return torch.from_numpy(np.load(folder / "table.npz")[name])


def test_any_split_and_number_of_orderings_is_scored(folder):
    outcome = evaluate_run(folder / "agnostic", split="valid", num_orderings=3, device="cpu")
    assert (outcome["num_orderings"], outcome["num_examples"]) == (3, 40)
    assert len(outcome["nll_by_num_orderings"]) == 3
    assert outcome["nll_by_num_orderings"][-1] == pytest.approx(outcome["nll"])
    model = load_run(folder / "agnostic").made
    expected = evaluate(model, split(folder, "valid"), num_orderings=3).nll
    assert outcome["nll"] == pytest.approx(expected)
    assert json.loads((folder / "agnostic/evaluation_valid_3.json").read_text()) == outcome
    assert (folder / "agnostic/evaluation_valid_3.png").exists()
    with pytest.raises(ValueError, match=r"num_orderings must be in 1\.\.4"):
        evaluate_run(folder / "agnostic", num_orderings=5, device="cpu")


def test_two_runs_are_compared_on_the_same_examples(folder):
    outcome = evaluate_run(folder / "fixed", compare=folder / "short", device="cpu")
    x, models = split(folder, "test"), [load_run(folder / name) for name in ("fixed", "short")]
    first, second = (model.log_prob(x).detach().double() for model in models)
    difference = second - first
    comparison = outcome["comparison"]
    assert comparison["nll_difference"] == pytest.approx(difference.mean().item())
    expected = difference.std().item() / len(x) ** 0.5
    assert comparison["nll_difference_stderr"] == pytest.approx(expected)


def test_runs_on_different_data_are_not_compared(folder, tmp_path):
    settings = make_settings(tmp_path)
    with np.load(tmp_path / "table.npz") as archive:
        np.savez(tmp_path / "table.npz", **{**archive, "test": archive["valid"]})
    run(settings, tmp_path / "other")
    with pytest.raises(ValueError, match=r"cannot be compared: their test examples differ in numb"):
        evaluate_run(folder / "fixed", compare=tmp_path / "other", device="cpu")


def test_columns_are_named_in_which_examples_differ():
    a, b, c = (Variable(name, Kind.BINARY, 2) for name in "abc")
    x = np.array([[0.0, 1.0], [np.nan, 0.0]])
    y = np.array([[0.0, 1.0], [np.nan, 1.0]])
    assert difference_of((a, b), x, (a, b), x) == ""
    assert difference_of((a, b), x, (a, b), y) == "columns b"
    assert difference_of((a, b), x, (Variable("a", Kind.CATEGORICAL, 3), b), y) == "columns a, b"
    assert difference_of((a, b), x, (b, a), x) == "the order of their columns"
    assert difference_of((a, b), x, (a,), x[:, :1]) == "columns that one has alone: b"
    assert difference_of((a, c), x, (a, b), x) == "columns that one has alone: c, b"
    assert difference_of((a, b), x, (a, b), x[:1]) == "number: 2 and 1"


def test_samples_are_written_in_every_format(folder, tmp_path):
    assert sample_run(folder / "fixed", num_samples=4).suffix == ".png"
    path = sample_run(folder / "fixed", num_samples=20, path=tmp_path / "s.npz", seed=1)
    with np.load(path) as archive:
        samples = archive["samples"]
    assert samples.shape == (20, NUM_DIMS)
    assert samples.dtype == np.uint8
    generator = torch.Generator().manual_seed(1)
    expected = load_run(folder / "fixed").sample(20, generator=generator)
    assert np.array_equal(samples, expected.numpy())
    text = sample_run(folder / "fixed", num_samples=3, path=tmp_path / "s.csv").read_text()
    lines = text.splitlines()
    assert len(lines) == 4
    assert set("".join(lines[1:])) <= set("01,")
    with pytest.raises(ValueError, match="does not exist"):
        sample_run(folder / "fixed", path=tmp_path / "no" / "s.png")


@pytest.mark.parametrize("pattern", ["top_half", "left_half", "random_half"])
def test_completions_keep_what_was_given(folder, tmp_path, pattern):
    path = sample_run(
        folder / "agnostic",
        observed=pattern,
        num_samples=3,
        num_examples=5,
        path=tmp_path / "c.npz",
    )
    with np.load(path) as archive:
        x, known, drawn = archive["x"], archive["observed"], archive["completions"]
    assert drawn.shape == (5, 3, NUM_DIMS)
    assert (known.sum(1) == NUM_DIMS // 2).all()
    for draw in np.moveaxis(drawn, 1, 0):
        assert np.array_equal(draw[known], x[known])
    assert sample_run(folder / "agnostic", observed=pattern, num_examples=4).exists()


def test_a_fixed_ordering_completes_only_what_comes_first(folder, tmp_path):
    sample_run(folder / "fixed", observed="top_half", path=tmp_path / "c.png")
    with pytest.raises(ValueError, match="completes exactly only where"):
        sample_run(folder / "fixed", observed="bottom_half", path=tmp_path / "c.png")
    with pytest.raises(ValueError, match="is not one of top_half"):
        sample_run(folder / "fixed", observed="middle", path=tmp_path / "c.png")


def test_your_own_examples_are_completed(folder, tmp_path):
    x = np.full((2, NUM_DIMS), np.nan)
    x[:, :3] = [[1, 0, 1], [0, 0, 1]]
    np.savez(tmp_path / "mine.npz", x=x)
    path = sample_run(
        folder / "fixed",
        observed=str(tmp_path / "mine.npz"),
        num_samples=2,
        path=tmp_path / "o.npz",
    )
    with np.load(path) as archive:
        drawn = archive["completions"]
    assert drawn[:, :, :3].tolist() == [[[1, 0, 1]] * 2, [[0, 0, 1]] * 2]
    np.savez(tmp_path / "bad.npz", x=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        sample_run(folder / "fixed", observed=str(tmp_path / "bad.npz"))


def test_a_finished_run_knows_its_data_and_its_labels(folder, tmp_path):
    finished = FinishedRun(folder / "fixed", "cpu")
    assert torch.equal(finished.examples("valid")[0], split(folder, "valid"))
    assert finished.class_number(None) is None
    with pytest.raises(ConfigError, match="this model has no classes"):
        finished.class_number(3)
    with pytest.raises(ConfigError, match=r"no CUDA device|does not exist"):
        FinishedRun(folder / "fixed", "cuda:99")
    settings = make_settings(tmp_path)
    run(settings, tmp_path / "run")
    np.savez(tmp_path / "table.npz", train=np.eye(NUM_DIMS, dtype=np.uint8))
    with pytest.raises(ConfigError, match="the data have changed since it was trained"):
        FinishedRun(tmp_path / "run", "cpu").dataset  # noqa: B018


def test_half_of_each_example_is_given_at_random(folder, generator):
    asked = SampleSettings(run=str(folder / "fixed"), observed="random_half", num_examples=7)
    given = given_examples(FinishedRun(folder / "fixed", "cpu"), asked, generator)
    assert torch.equal(given.x, split(folder, "test")[:7])
    assert (given.known.sum(1) == NUM_DIMS // 2).all()
    assert len(given.known.unique(dim=0)) > 1
    assert given.repeated(3).x.shape == (21, NUM_DIMS)


def test_a_folder_without_a_model_is_one_error(tmp_path):
    with pytest.raises(CheckpointError, match="holds no trained model"):
        load_run(tmp_path)
    (tmp_path / "people.csv").write_text("a,b\n")
    with pytest.raises(CheckpointError, match=r"neither the folder of a run nor a .safetensors"):
        load_run(tmp_path / "people.csv")
    empty = RunDirectory(tmp_path)
    empty.start({}, "")
    empty.best.write_bytes(os.urandom(500))
    with pytest.raises(CheckpointError, match="damaged"):
        load_run(tmp_path)
