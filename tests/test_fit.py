"""Training from data in memory: settings as keywords, nothing left behind, nothing changed."""

import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from made_exp import fit, load_run
from made_exp.cli.keywords import settings_of
from made_exp.runs.checkpoints import load_checkpoint

TINY = {
    "trainer": {"max_steps": 30, "device": "cpu"},
    "model": {"hidden_sizes": [16], "baselines": []},
}


def left_in(folder):
    """All that lies there but the locks of a GPU, and what torch keeps for one."""
    known = ("made-exp-gpu-slots", "torchinductor")
    return {path for path in folder.rglob("*") if not any(name in str(path) for name in known)}


def people(count=120):
    source = np.random.default_rng(0)
    age = source.integers(20, 60, count)
    return pd.DataFrame(
        {
            "age": age,
            "group": np.where(age < 40, "young", "old"),
            "wage": source.normal(3000, 500, count).round(2),
        }
    )


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def fitted():
    """A model of people, and what the process was before it was trained and after."""

    def state():
        return (
            torch.random.get_rng_state().tolist(),
            random.getstate(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.get_float32_matmul_precision(),
            GlobalHydra.instance().is_initialized(),
            list(logging.getLogger("made_exp").handlers),
            logging.getLogger("made_exp").level,
            signal.getsignal(signal.SIGINT),
        )

    before = state()
    return fit(people(), max_minutes=None, seed=3, **TINY), before, state()


def test_a_frame_is_all_it_needs(fitted):
    model, *_ = fitted
    frame = people()
    assert not model.training
    assert np.isfinite(model.log_prob(frame)).all()
    flipped = frame.assign(group=frame.group.map({"young": "old", "old": "young"}))
    drawn = model.sample(9, seed=0)
    pd.testing.assert_series_equal(drawn.dtypes, frame.dtypes)
    assert set(drawn.group) == {"young", "old"}
    assert model.log_prob(frame).mean() > model.log_prob(flipped).mean() + 0.1


def test_nothing_of_the_process_changes(fitted):
    _, before, after = fitted
    assert before == after


def test_nothing_is_left_behind_or_said(tmp_path, capfd):
    before = left_in(tmp_path)
    fit(pl.from_pandas(people()), trainer={"max_steps": 2}, **{"model.hidden_sizes": [4]})
    assert left_in(tmp_path) == before
    assert capfd.readouterr() == ("", "")


def test_a_run_is_kept_where_it_is_wanted(tmp_path, fitted):
    model = fit(people(), max_minutes=None, seed=3, path=tmp_path / "run", **TINY)
    kept = load_run(tmp_path / "run")
    x = torch.tensor([[3.0, 1.0, 3000.0]])
    assert torch.equal(model.log_prob(x), kept.log_prob(x))
    assert torch.equal(model.log_prob(x), fitted[0].log_prob(x))
    assert {"data.parquet", "results.json"} <= set(os.listdir(tmp_path / "run"))
    with pytest.raises(ValueError, match="already holds a run"):
        fit(people(), path=tmp_path / "run")


def test_binary_arrays_are_taken_by_the_recipe_for_them():
    x = np.random.default_rng(0).random((90, 6)) < 0.3
    settings = {"trainer.max_steps": 6, "trainer.min_steps": None, "ordering.num_orderings": 2}
    model = fit(x, experiment="density", **settings, **{"model.hidden_sizes": [8]})
    assert model.num_orderings == 2
    assert np.isfinite(model.log_prob(x)).all()
    drawn = model.sample(3)
    assert (type(drawn), drawn.dtype, drawn.shape) == (np.ndarray, x.dtype, (3, 6))


def test_masked_cells_are_not_trained_on():
    x = np.ma.masked_array(np.ones((20, 2), np.int64), mask=np.eye(20, 2) > 0)
    with pytest.raises(ValueError, match="must hold finite numbers: row 0, column 0 is nan"):
        fit(x, experiment=None)


def test_settings_are_those_of_the_command(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    values = {
        "ordering": {"name": "agnostic", "num_orderings": np.int64(5)},
        "dataset": {"kinds": {"a b.c": "real", "ä='x'": "date"}, "drop": ("x, y", "z")},
        "trainer.max_steps": 7,
        "optimizer": "sgd",
    }
    made = settings_of("table", "table", tmp_path / "t.csv", values)
    assert made.ordering.num_orderings == 5
    assert made.dataset.kinds == {"a b.c": "real", "ä='x'": "date"}
    assert made.dataset.drop == ["x, y", "z"]
    assert made.trainer.max_steps == 7
    assert made.optimizer.name == "sgd"
    assert made.model.baselines  # of the recipe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainer": {"max_step": 3}}, "'max_step' is not a setting of trainer=default"),
        ({"max_steps": 3}, "unknown key 'max_steps'. Did you mean 'trainer.max_steps'"),
        ({"max_minuts": 3}, "fit has no argument 'max_minuts'. Did you mean 'max_minutes'"),
        ({"model": {"hidden_size": [3]}}, "Did you mean 'hidden_sizes'"),
        ({"ordering": "rnadom"}, "Did you mean 'random'"),
        ({"ordering": "natural"}, "Leave out ordering=natural, or experiment=table"),
        ({"ordering": 3}, "ordering must be the name of an option or a dictionary"),
        ({"trainer.max_steps": -1}, r"trainer.max_steps must be >= 1, got -1"),
        ({"trainer.max_steps": "x"}, "'x' is not an integer"),
        ({"dataset.kinds": {"agee": "real"}}, "'agee'. Did you mean 'age'"),
        ({"notes.why": object()}, "is not a value of a setting"),
        ({"notes": {"why": "${seed}"}}, "is not a value"),
        ({"experiment": "tabel"}, "Did you mean 'table'"),
        ({"resume": True}, "'resume' is a setting of the command"),
        ({"dataset": "npz"}, "'dataset' is a setting of the command"),
        ({"max_minutes": 0}, "max_minutes must be > 0"),
        ({"path": "file/run"}, "cannot write the run folder"),
    ],
)
def test_wrong_settings_are_answered_and_leave_nothing(tmp_path, settings, message):
    (tmp_path / "file").write_text("")
    before = left_in(tmp_path)
    with pytest.raises(ValueError, match=message):
        fit(people(20), **settings)
    assert left_in(tmp_path) == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([[1]], "a data frame of pandas, polars or pyarrow"),
        (people(0), "the frame of pandas has no rows"),
        (
            pd.DataFrame({"n": range(9), "a": [object()] * 9}),
            "the frame of pandas: column 'a' holds values of type object; numbers, texts, booleans",
        ),
        (np.ones((9, 2)) * 1j, "the array: column 'x0' holds values of type complex128; numbers, "),
        (people(1), "the data"),
        (pd.DataFrame({"a": [np.inf, *np.arange(40) ** 0.5]}), "the data, row 0, column 'a'"),
    ],
)
def test_what_cannot_be_modelled_is_said(tmp_path, data, message):
    with pytest.raises(ValueError, match=message) as caught:
        fit(data)
    assert str(tmp_path) not in str(caught.value)


def test_sigterm_ends_a_script_with_the_run_saved(tmp_path):
    script = """
import os, signal, threading, time
import polars as pl
from made_exp import fit

def stop():
    while not os.path.exists("run/checkpoints/last.pt"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=stop, daemon=True).start()
frame = pl.DataFrame({"a": [0, 1] * 50, "b": [0, 1, 1, 0] * 25})
fit(frame, max_minutes=None, path="run", scheduler="constant", **{
    "trainer.max_steps": 10**7, "trainer.patience": None, "trainer.device": "cpu",
    "model.hidden_sizes": [8], "model.baselines": []})
print("it went on")
"""
    Path("script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, timeout=120)
    assert done.returncode == 143, done.stderr
    assert b"it went on" not in done.stdout
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["step"] > 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("made-fit-")]


def test_ctrl_c_is_a_keyboard_interrupt_and_leaves_nothing(tmp_path):
    before = left_in(tmp_path)
    timer = threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        fit(people(), trainer={"max_steps": 10**6, "patience": None}, scheduler="constant")
    timer.join()
    assert left_in(tmp_path) == before


@pytest.mark.parametrize("progress", [False, True])
def test_what_was_understood_is_shown_with_the_progress_alone(capsys, progress):
    level = logging.getLogger("made_exp").level
    fit(people(60).assign(land="CH"), max_minutes=None, progress=progress, **TINY)
    told = capsys.readouterr().err
    assert ("set aside, not modelled: 'land' (constant)" in told) == progress
    assert bool(told) == progress
    assert logging.getLogger("made_exp").level == level
