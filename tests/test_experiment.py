"""Whole runs: what they leave behind, and what is done to go on, to skip or to refuse."""

import json
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from experiment_cases import NUM_DIMS, evaluate_run, make_settings, read_metrics, read_results

from made_exp import load_run
from made_exp.errors import ConfigError, DivergedError, TrainingError
from made_exp.experiments import run_observer
from made_exp.experiments.experiment import run
from made_exp.runs.folder import RunDirectory, RunState

SPLIT_KEYS = {"nll", "nll_stderr", "nll_per_dim", "bits_per_dim", "num_examples", "num_orderings"}


@pytest.fixture(autouse=True)
def _data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run of images: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        settings = make_settings(folder, trainer={"tensorboard": True, "samples_every": 1})
        return folder / "run", run(settings, folder / "run", ["trainer.epochs=3"])


def test_a_run_leaves_the_files_of_the_contract(finished):
    folder, objective = finished
    results = json.loads((folder / "results.json").read_text())
    assert results["status"] == "completed"
    assert results["test"].keys() == SPLIT_KEYS
    assert results["valid"].keys() == SPLIT_KEYS
    assert results["valid"]["nll"] == objective
    assert {"independent", "chow_liu"} <= results["baselines"].keys()
    assert all(check["passed"] for check in results["checks"].values())
    for key in ("best_epoch", "epochs", "train_seconds", "examples_per_second", "num_parameters"):
        assert results[key] > 0
    assert results["seed"] == 0
    assert results["versions"]["torch"] == version("torch")
    assert "git_commit" in results
    samples = {path.name for path in (folder / "samples").iterdir()}
    assert samples == {*(f"epoch_{epoch:04d}.png" for epoch in range(4)), "final.png"}
    for name in ("last", "best"):
        torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)
    assert RunDirectory(folder).read_status()["state"] is RunState.COMPLETED


def test_metrics_have_one_line_an_evaluation(finished):
    folder, objective = finished
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert [line["step"] for line in lines] == [0, 3, 6, 9]
    for line in lines:
        assert {"train_nll", "valid_nll", "lr", "seconds"} <= line.keys()
    assert min(line["valid_nll"] for line in lines) == pytest.approx(objective)


def test_training_may_look_at_some_of_valid_and_reports_all_of_it(tmp_path):
    settings = make_settings(tmp_path, trainer={"epochs": 1, "valid_examples": 10})
    run(settings, tmp_path / "run")
    x = torch.from_numpy(np.load(tmp_path / "table.npz")["valid"])
    nll = -load_run(tmp_path / "run").log_prob(x).double()
    assert read_metrics(tmp_path / "run")[-1]["valid_nll"] == pytest.approx(nll[::4].mean().item())
    assert read_results(tmp_path / "run")["valid"]["nll"] == pytest.approx(nll.mean().item())


def test_tensorboard_has_the_tags_of_the_contract(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished[0]))
    events.Reload()
    tags = events.Tags()
    for split in ("train", "valid", "test"):
        assert {f"{split}/nll", f"{split}/bits_per_dim"} <= set(tags["scalars"])
    assert "optimizer/lr" in tags["scalars"]
    assert tags["images"] == ["samples"]
    objective = events.Scalars("objective/valid_nll")[-1].value
    assert objective == pytest.approx(read_results(finished[0])["valid"]["nll"])
    assert "config/text_summary" in tags["tensors"]
    assert [event.step for event in events.Scalars("valid/nll")] == [0, 3, 6, 9]


def test_pictures_are_drawn_at_every_second_evaluation(tmp_path):
    trainer = {"epochs": 5, "eval_every": 2, "samples_every": 2}
    run(make_settings(tmp_path, trainer=trainer), tmp_path / "run")
    drawn = sorted(path.name for path in (tmp_path / "run/samples").iterdir())
    assert drawn == ["epoch_0000.png", "epoch_0004.png", "final.png"]


def test_load_run_gives_the_likelihood_of_the_results(finished):
    folder, _ = finished
    model = load_run(folder)
    assert not model.training
    x = torch.from_numpy(np.load(folder.parent / "table.npz")["test"])
    expected = json.loads((folder / "results.json").read_text())["test"]["nll"]
    assert -model.log_prob(x).double().mean().item() == pytest.approx(expected, rel=1e-6)
    assert model.sample(5).shape == (5, NUM_DIMS)
    completed = model.complete(x, torch.arange(NUM_DIMS) < 4)
    assert torch.equal(completed[:, :4], x[:, :4].float())


def test_load_run_needs_neither_hydra_nor_tensorboard(finished):
    code = (
        "import sys; from made_exp import load_run; load_run(sys.argv[1]);"
        "bad = {'hydra', 'omegaconf', 'tensorboard', 'matplotlib'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(finished[0])], check=True)


def test_the_package_itself_imports_no_torch():
    code = "import sys, made_exp; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


KINDS = {
    "cycle of orderings": {"ordering": {"name": "agnostic", "num_orderings": 3}},
    "endless orderings": {
        "ordering": {"name": "agnostic", "num_orderings": 0, "eval_orderings": 2}
    },
    "random": {"ordering": {"name": "random", "seed": 3}},
    "custom": {"ordering": {"name": "custom", "order": [7, 6, 5, 4, 3, 2, 1, 0]}},
    "spiral": {"ordering": {"name": "spiral"}},
    "residual": {"model": {"name": "resmade", "hidden_size": 8, "num_blocks": 1, "dropout": 0.1}},
    "labelled images": {"labels": True},
    "labels": {"labels": True, "image": False},
    "averaged": {"trainer": {"weight_averaging": 0.9, "animation": True, "samples_every": 2}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_is_loaded_as_it_was_scored(tmp_path, kind):
    run(make_settings(tmp_path, **KINDS[kind]), tmp_path / "run")
    results = read_results(tmp_path / "run")
    outcome = evaluate_run(tmp_path / "run", device="cpu")
    for key in SPLIT_KEYS:
        assert outcome[key] == pytest.approx(results["test"][key], rel=1e-6), key
    assert (tmp_path / "run/samples/training.gif").exists() == (kind == "averaged")


def test_seed_decides_everything(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(make_settings(tmp_path, seed=seed), tmp_path / name)
    first, same, other = (read_metrics(tmp_path / name) for name in "abc")
    assert first == same
    assert first != other


def files_of(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_second_run_in_a_folder_is_refused_and_harms_nothing(tmp_path):
    settings = make_settings(tmp_path)
    run(settings, tmp_path / "run")
    before = files_of(tmp_path / "run")
    with pytest.raises(ConfigError, match="already holds a run"):
        run(settings, tmp_path / "run")
    changed = make_settings(tmp_path, resume=True, optimizer={"lr": 0.5})
    with pytest.raises(ConfigError, match=r"optimizer\.lr: 0\.01 -> 0\.5"):
        run(changed, tmp_path / "run")
    assert files_of(tmp_path / "run") == before


def test_a_finished_run_is_skipped(tmp_path, monkeypatch):
    objective = run(make_settings(tmp_path), tmp_path / "run")
    monkeypatch.setattr(
        "made_exp.experiments.experiment.load_dataset", None
    )  # it is not even looked for
    assert run(make_settings(tmp_path, resume=True), tmp_path / "run") == objective


def test_resume_starts_where_there_is_nothing_yet(tmp_path):
    run(make_settings(tmp_path, resume=True), tmp_path / "run")
    assert (tmp_path / "run/results.json").exists()


def test_more_epochs_extend_a_finished_run(tmp_path):
    run(make_settings(tmp_path), tmp_path / "run")
    run(make_settings(tmp_path, resume=True, trainer={"epochs": 5}), tmp_path / "run")
    run(make_settings(tmp_path, trainer={"epochs": 5}), tmp_path / "whole")
    assert read_results(tmp_path / "run") == read_results(tmp_path / "whole")
    assert read_metrics(tmp_path / "run") == read_metrics(tmp_path / "whole")
    assert (tmp_path / "run/results.previous.json").exists()


def test_a_run_goes_on_with_another_kernel_and_says_what_that_means(tmp_path, caplog):
    run(make_settings(tmp_path, trainer={"kernel": "staircase"}), tmp_path / "run")
    dense = {"kernel": "dense", "epochs": 5}
    run(make_settings(tmp_path, resume=True, trainer=dense), tmp_path / "run")
    assert "trainer.kernel: staircase -> dense: from here on" in caplog.text
    run(make_settings(tmp_path, trainer={"epochs": 5}), tmp_path / "whole")
    resumed, whole = (read_results(tmp_path / name)["test"]["nll"] for name in ("run", "whole"))
    assert resumed == pytest.approx(whole, rel=1e-4)


class PulledPlug(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("where", ["evaluated", "picture", "saved", "tested"])
def test_a_run_that_was_cut_anywhere_ends_with_the_same_numbers(tmp_path, monkeypatch, where):
    model = {"name": "made", "hidden_sizes": [9], "dropout": 0.2}
    settings = make_settings(tmp_path, model=model, trainer={"samples_every": 1})
    run(settings, tmp_path / "whole")
    plain, calls = getattr(run_observer.RunObserver, where), []

    def cut(self, *arguments, **options):
        calls.append(0)
        if where == "saved" and len(calls) == 3:
            raise PulledPlug  # the checkpoint is in place, its record is not
        answer = plain(self, *arguments, **options)
        if where == "tested" or len(calls) == 3:
            raise PulledPlug
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(run_observer.RunObserver, where, cut)
        with pytest.raises(PulledPlug):
            run(settings, tmp_path / "cut")
    assert not (tmp_path / "cut/results.json").exists()
    assert RunDirectory(tmp_path / "cut").read_status()["state"] is RunState.STOPPED
    settings.resume = True
    run(settings, tmp_path / "cut")
    assert read_results(tmp_path / "cut") == read_results(tmp_path / "whole")
    assert read_metrics(tmp_path / "cut") == read_metrics(tmp_path / "whole")


def test_changed_data_are_noticed(tmp_path):
    settings = make_settings(tmp_path)
    run(settings, tmp_path / "run")
    with np.load(tmp_path / "table.npz") as archive:
        arrays = dict(archive)
    arrays["test"] = 1 - arrays["test"]
    np.savez(tmp_path / "table.npz", **arrays)
    with pytest.raises(ValueError, match="data have changed"):
        evaluate_run(tmp_path / "run", device="cpu")
    more = make_settings(tmp_path, resume=True, trainer={"epochs": 9})
    with pytest.raises(ConfigError, match="data have changed"):
        run(more, tmp_path / "run")


def test_divergence_is_a_failure_that_says_what_to_try(tmp_path):
    settings = make_settings(tmp_path, optimizer={"lr": 1e30})
    with pytest.raises(DivergedError, match=r"last\.pt.*lower optimizer\.lr"):
        run(settings, tmp_path / "run")
    status = RunDirectory(tmp_path / "run").read_status()
    assert status["state"] is RunState.FAILED
    assert "diverged" in status["error"]
    assert not (tmp_path / "run/results.json").exists()


MISFITS = {
    "no image shape": {"ordering": {"name": "spiral"}, "image": False},
    "one variable": {"model": {"name": "histogram"}},
    "gaussian_mixture": {
        "model": {"name": "made", "hidden_sizes": [9], "conditional": "gaussian_mixture"}
    },
    "8 variables": {"ordering": {"name": "custom", "order": [1, 0]}},
    "CUDA device|does not exist": {"trainer": {"device": "cuda:77"}},
}


@pytest.mark.parametrize("message", MISFITS)
def test_what_does_not_fit_is_a_config_error_and_leaves_no_run(tmp_path, message):
    with pytest.raises(ConfigError, match=message):
        run(make_settings(tmp_path, **MISFITS[message]), tmp_path / "run")
    assert RunDirectory(tmp_path / "run").read_status()["state"] is RunState.NEW


def test_a_full_disk_ends_the_run_with_one_message(tmp_path, monkeypatch):
    def full(self, line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("made_exp.reporting.tracking.Tracker.metrics", full)
    with pytest.raises(TrainingError, match=r"cannot write .*metrics\.jsonl.*No space left"):
        run(make_settings(tmp_path), tmp_path / "run")


def test_a_picture_that_fails_ends_no_run(tmp_path, monkeypatch, caplog):
    def broken(*arguments, **options):
        raise RuntimeError("no fonts")

    monkeypatch.setattr("made_exp.experiments.run_observer.pictures_of", broken)
    run(make_settings(tmp_path), tmp_path / "run")
    assert "no fonts" in caplog.text
    assert (tmp_path / "run/results.json").exists()


def test_settings_of_the_process_are_put_back(tmp_path):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    run(make_settings(tmp_path, trainer={"num_threads": 1, "precision": "tf32"}), tmp_path / "run")
    assert torch.get_num_threads() == threads
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.equal(torch.get_rng_state(), state)
    assert float(torch.tensor([1e-40]) * 0.5) > 0
