"""Examples that alone decide a likelihood, and splits of a single example."""

import json
import logging

import numpy as np
import pytest
import torch
from builders import tiny_made
from experiment_cases import evaluate_run, make_settings

from made_exp.datasets.base import Dataset
from made_exp.errors import TrainingError
from made_exp.experiments.experiment import run
from made_exp.experiments.outliers import outlier_in, refuse_impossible
from made_exp.model.evaluation import Evaluation, evaluate
from made_exp.reporting.records import read_run
from made_exp.runs.folder import RunDirectory, RunState
from made_exp.variables.variable import Kind, Variable


@pytest.fixture
def case():
    """A model of a category and a number, and data whose test holds what train cannot."""
    variables = (Variable("colour", Kind.CATEGORICAL, 3), Variable("weight", Kind.REAL))
    generator = torch.Generator().manual_seed(0)
    x = torch.stack(
        [
            torch.randint(3, (40,), generator=generator).double(),
            torch.randn(40, generator=generator, dtype=torch.float64),
        ],
        1,
    )
    return tiny_made(variables).double(), Dataset("t", variables, x, x, x.clone())


def found_in(model, dataset):
    return outlier_in(model, dataset, "test", evaluate(model, dataset.test))


def test_a_sound_split_has_no_outlier(case):
    assert found_in(*case) is None


def test_a_far_number_is_named_with_what_the_others_score(case):
    model, dataset = case
    dataset.test[7, 1] = 1e9
    outlier = found_in(model, dataset)
    assert (outlier.row, outlier.column, outlier.value, outlier.count) == (7, "weight", 1e9, 0)
    rest = evaluate(model, dataset.test[torch.arange(40) != 7])
    assert outlier.nll_of_others == pytest.approx(rest.nll)
    assert str(outlier).startswith(
        "test has an example that outweighs all others, row 7, column 'weight' (1000000000); NLL"
    )


def test_the_first_impossible_value_is_named(case):
    model, dataset = case
    dataset.test[[5, 9], 0] = 4.0
    evaluation = evaluate(model, dataset.test)
    assert evaluation.nll == torch.inf
    outlier = outlier_in(model, dataset, "test", evaluation)
    assert (outlier.row, outlier.column, outlier.count) == (5, "colour", 2)
    possible = (torch.arange(40) != 5) & (torch.arange(40) != 9)
    assert outlier.nll_of_others == pytest.approx(evaluate(model, dataset.test[possible]).nll)
    message = r"best model .* 2 example\(s\) with probability zero, the first in row 5, column 'co"
    with pytest.raises(TrainingError, match=message):
        refuse_impossible(model, dataset, "test", evaluation)
    next(model.parameters()).data.fill_(torch.nan)  # diverged: no fault of the data
    refuse_impossible(model, dataset, "test", evaluation)


def test_a_single_impossible_example_leaves_no_others(case):
    model, dataset = case
    one = Dataset("t", dataset.variables, dataset.train, dataset.valid, dataset.test[:1])
    assert found_in(model, one) is None
    one.test[0, 0] = -1.0
    outlier = found_in(model, one)
    assert (outlier.count, outlier.nll_of_others) == (1, None)


def impossible_test(monkeypatch, split="test"):
    """Let the model give the first example of `split` no probability."""
    original = Evaluation.from_log_probs.__func__
    size = {"valid": 40, "test": 50}[split]

    def from_log_probs(cls, log_probs, num_dims, num_orderings):
        log_probs = log_probs.clone()
        if len(log_probs) == size:
            log_probs[3] = -torch.inf
        return original(cls, log_probs, num_dims, num_orderings)

    monkeypatch.setattr(Evaluation, "from_log_probs", classmethod(from_log_probs))


def test_an_impossible_test_example_ends_no_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    impossible_test(monkeypatch)
    with caplog.at_level(logging.WARNING):
        run(make_settings(tmp_path), tmp_path / "run")
    assert "test has 1 example(s) with probability zero, the first in row 3, column" in caplog.text
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["status"] == "completed"
    assert results["test"]["nll"] is None
    assert results["outliers"]["test"]["row"] == 3
    assert results["outliers"]["test"]["nll_of_others"] < 8
    assert set(results["outliers"]) == {"test"}
    record = read_run(tmp_path / "run", "run")
    assert (record.status, record.test_nll) == ("completed", None)


def test_an_impossible_valid_example_is_named_at_once(tmp_path, monkeypatch):
    impossible_test(monkeypatch, "valid")
    with pytest.raises(TrainingError, match=r"valid has 1 example.* row 3, column 'x"):
        run(make_settings(tmp_path), tmp_path / "run")
    assert RunDirectory(tmp_path / "run").read_status()["state"] is RunState.FAILED


def test_a_split_of_one_example_has_no_standard_error(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    settings = make_settings(tmp_path, ordering={"name": "agnostic", "num_orderings": 3})
    with np.load(tmp_path / "table.npz") as archive:
        short = {split: archive[split][:1] for split in ("valid", "test")}
        np.savez(tmp_path / "table.npz", **{**archive, **short})
    with caplog.at_level(logging.INFO):
        run(settings, tmp_path / "run")
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["test"]["nll_stderr"] is None
    assert results["test"]["nll"] > 0
    assert f"test NLL {results['test']['nll']:.3f} nats" in caplog.text
    outcome = evaluate_run(tmp_path / "run", device="cpu")
    written = json.loads((tmp_path / "run/evaluation_test_3.json").read_text())
    assert written["nll_stderr_by_num_orderings"] == [None] * 3
    assert np.isnan(outcome["nll_stderr_by_num_orderings"]).all()
