"""What a run proves before and after training, and every kind of ordering from the command line."""

import itertools
import logging
import re

import numpy as np
import pytest
import torch
from experiment_cases import NUM_DIMS, make_settings, read_metrics, read_results, write_table
from kill_cases import tensorboard_curve

from made_exp import load_run
from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config
from made_exp.cli.validate import settings_from
from made_exp.errors import TrainingError
from made_exp.experiments.experiment import run
from made_exp.model.checks import Check
from made_exp.reporting.records import read_run
from made_exp.runs.folder import RunDirectory, RunState

FEW_STEPS = ["trainer=debug", "trainer.progress=off", "trainer.tensorboard=false"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path, image=True)


def trained(tmp_path, *overrides):
    """The results and the model of `made-train dataset=npz ...`."""
    data = ["dataset=npz", "dataset.path=table.npz"]
    is_given = any(override.startswith("dataset=") for override in overrides)
    arguments = [*([] if is_given else data), *FEW_STEPS, *overrides]
    command = parse_command_line(arguments)
    run(settings_from(compose_config(command, command.overrides)), tmp_path / "run")
    return read_results(tmp_path / "run"), load_run(tmp_path / "run").made


def test_the_masks_of_every_mask_set_are_proven_and_so_is_the_sum(tmp_path):
    results, _ = trained(tmp_path, "ordering=agnostic", "ordering.num_orderings=5")
    assert results["checks"]["masks"] == {
        "passed": True,
        "detail": "5 mask sets, no path to a later variable",
    }
    assert results["checks"]["normalisation"]["detail"].startswith("sum over 256 inputs: 1 ")
    assert results["checks"]["samples"]["passed"]


def test_nothing_is_said_of_masks_where_there_are_none(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        trained(tmp_path, "model=histogram", "dataset=gaussian_1d")
    assert "memory: " in caplog.text
    assert "connectivity" not in caplog.text


def test_what_the_masks_connect_is_said_at_the_start(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        results, _ = trained(
            tmp_path, "model.hidden_sizes=[50,4]", "model.direct_connections=false"
        )
    assert "dependencies lost; dead units in each hidden layer: 7, 0; " in caplog.text
    warning = next(r.message for r in caplog.records if r.levelname == "WARNING")
    assert warning.startswith("hidden layer 2 (4 units) is too narrow: ")
    measured = results["connectivity"]
    assert measured["lost_by_layer"] == [0, measured["lost_pairs"]]
    assert 0 < measured["lost_pairs"] < measured["num_pairs"] == 28
    assert measured["visible_weights"] < measured["num_weights"] == 8 * 50 + 50 * 4 + 4 * 8


@pytest.mark.parametrize("check", ["check_normalisation", "check_samples"])
def test_a_failed_check_fails_the_run(tmp_path, monkeypatch, check):
    failed = Check("numbers", False, "they are wrong")
    monkeypatch.setattr(f"made_exp.experiments.proofs.{check}", lambda *arguments: failed)
    with pytest.raises(TrainingError, match=r"does not prove .* \(numbers: they are wrong\)"):
        run(make_settings(tmp_path), tmp_path / "run")
    status = RunDirectory(tmp_path / "run").read_status()
    assert status["state"] is RunState.FAILED
    assert "they are wrong" in status["error"]
    assert not (tmp_path / "run/results.json").exists()


def broken(*arguments, **options):
    raise MemoryError("no memory")


@pytest.mark.parametrize(
    "place",
    [
        "proofs.check_samples",
        "experiment.evaluate",
        "experiment.score_columns",
        "experiment.outlier_in",
        "experiment.make_results",
        "outcome.atomic_write_json",
    ],
)
def test_a_failure_at_the_end_costs_the_end_alone(tmp_path, monkeypatch, place):
    with monkeypatch.context() as patch:
        patch.setattr(f"made_exp.experiments.{place}", broken)
        with pytest.raises(MemoryError):
            run(make_settings(tmp_path), tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("made_exp.training.loop.Trainer._one_step", broken)
        run(make_settings(tmp_path, resume=True), tmp_path / "run")
    run(make_settings(tmp_path), tmp_path / "whole")
    assert read_results(tmp_path / "run") == read_results(tmp_path / "whole")


def test_what_was_told_before_the_first_checkpoint_is_not_told_twice(tmp_path, monkeypatch):
    settings = {"trainer": {"tensorboard": True}}
    with monkeypatch.context() as patch:
        patch.setattr("made_exp.training.keeper.save_checkpoint", broken)
        with pytest.raises(MemoryError):
            run(make_settings(tmp_path, **settings), tmp_path / "run")
    assert len(list((tmp_path / "run").glob("events.*"))) == 1
    run(make_settings(tmp_path, resume=True, **settings), tmp_path / "run")
    assert len(tensorboard_curve(tmp_path / "run")) == len(read_metrics(tmp_path / "run"))


@pytest.mark.parametrize("place", ["pictures_of", "draw_samples", "animation"])
def test_a_picture_that_fails_costs_itself_alone(tmp_path, monkeypatch, place, caplog):
    monkeypatch.setattr(f"made_exp.experiments.run_observer.{place}", broken)
    run(make_settings(tmp_path, trainer={"animation": True}), tmp_path / "run")
    assert "no memory" in caplog.text
    assert read_results(tmp_path / "run")["status"] == "completed"


def test_checks_may_be_made_to_warn_only(tmp_path, monkeypatch, caplog):
    failed = Check("normalisation", False, "they are wrong")
    proofs = "made_exp.experiments.proofs"
    monkeypatch.setattr(f"{proofs}.check_normalisation", lambda *arguments: failed)
    with pytest.raises(TrainingError, match="checks=warn"):
        run(make_settings(tmp_path), tmp_path / "run")
    monkeypatch.setattr(f"{proofs}.check_samples", broken)
    with caplog.at_level(logging.INFO):
        run(make_settings(tmp_path, resume=True, checks="warn"), tmp_path / "run")
    results = read_results(tmp_path / "run")
    assert results["unchecked"] == ["normalisation", "samples"]
    assert results["checks"]["samples"]["detail"] == "MemoryError: no memory"
    assert re.search("UNCHECKED +these numbers failed a check: normalisation, samples", caplog.text)
    saved = RunDirectory(tmp_path / "run").saved_config()
    assert saved["checks"] == "warn"
    record = read_run(tmp_path / "run", "run")
    assert record.problems == ("unchecked results: normalisation, samples failed",)


def test_masks_that_leak_end_a_run_before_it_trains(tmp_path, monkeypatch):
    full = torch.ones(NUM_DIMS, NUM_DIMS, dtype=torch.bool)
    blocks = [(torch.arange(NUM_DIMS), torch.arange(NUM_DIMS), full)]
    monkeypatch.setattr("made_exp.model.checks.reachable_by_block", lambda masks: blocks)
    with pytest.raises(TrainingError, match=r"masks .* wrong: mask set 0: variable 0 depends on"):
        run(make_settings(tmp_path), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints/last.pt").exists()


@pytest.mark.parametrize("name", ["column_major", "snake", "spiral", "centre_out"])
def test_image_scans(tmp_path, name):
    from made_exp.masks.fixed_orders import SCANS

    _, model = trained(tmp_path, f"ordering={name}")
    assert model.component(0).masks.ordering.tolist() == SCANS[name](2, NUM_DIMS // 2)


@pytest.mark.parametrize("form", ["list", "file"])
def test_an_order_of_ones_own(tmp_path, form):
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    (tmp_path / "order.txt").write_text("3 1 0 2\n7, 6, 5, 4\n")
    given = {"list": str(order), "file": "order.txt"}[form].replace(" ", "")
    _, model = trained(tmp_path, "ordering=custom", f"ordering.order={given}")
    assert model.component(0).masks.ordering.tolist() == order


def test_random_orders_follow_their_seed(tmp_path):
    orders = []
    for number, seed in enumerate((["seed=1"], ["seed=1", "ordering.seed=2"], ["ordering.seed=1"])):
        (tmp_path / str(number)).mkdir()
        _, model = trained(tmp_path / str(number), "ordering=random", *seed)
        orders.append(model.component(0).masks.ordering.tolist())
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.parametrize("resample", ["order", "connectivity", "both"])
@pytest.mark.parametrize("num_orderings", [0, 4])
def test_what_is_resampled_and_how_often(tmp_path, resample, num_orderings):
    options = {"num_orderings": num_orderings, "resample": resample}
    _, model = trained(
        tmp_path, "ordering=agnostic", *(f"ordering.{k}={v}" for k, v in options.items())
    )
    sets = [model.at_step(step).masks for step in range(8)]
    for first, second in itertools.pairwise(sets):
        assert first.index != second.index
        same_order = torch.equal(first.ordering, second.ordering)
        same_degrees = torch.equal(first.hidden_degrees[0], second.hidden_degrees[0])
        assert same_order == (resample == "connectivity")
        assert same_degrees == (resample == "order")
    indices = [masks.index for masks in sets]
    assert indices == ([0, 1, 2, 3] * 2 if num_orderings else list(range(8)))
    x = torch.from_numpy(np.load("table.npz")["test"])
    total = sum(model.ordering_log_prob(x, i).exp() for i in range(model.num_orderings))
    assert torch.allclose(model.log_prob(x).exp(), total / model.num_orderings, rtol=1e-4)
