"""Texts among numbers that the program took for missing by itself: given ones stay as written."""

import logging

import numpy as np
import polars as pl
import pytest

from made_exp import fit, load_run
from made_exp import sample as made_sample
from made_exp.cli.app import main
from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.inference import understand
from made_exp.datasets.table.raw import Origin, RawColumn

TINY = {"trainer": {"max_steps": 20, "device": "cpu"}, "model": {"hidden_sizes": [8]}}
OVERRIDES = ("model.hidden_sizes=[8]", "trainer.max_steps=20", "trainer.tensorboard=false")
COUNT = 400


def people():
    """Whole and real numbers, grades and times, each with a text that is none; NA is missing."""
    rng = np.random.default_rng(0)
    grade = rng.integers(1, 13, COUNT).astype(str)
    dose = rng.normal(5, 1, COUNT).round(2).astype(str)
    time = [f"{hour:02d}:{minute:02d}" for hour, minute in rng.integers(0, (24, 60), (COUNT, 2))]
    grade[::15], dose[3::20], dose[5::20] = "K", "<LOD", "NA"
    time[::25] = ["24:00"] * len(time[::25])
    return pl.DataFrame(
        {"grade": grade, "dose": dose, "time": time, "z": ["x", "y"] * (COUNT // 2)}
    )


ASKED = {"grade": ["K", "", " K "], "dose": ["<LOD", "NA", "<LOD"], "time": ["24:00", None, ""],
         "z": [None, "x", "y"]}  # fmt: skip


def check_completed(rows):
    assert [rows[0][name] for name in ("grade", "dose", "time")] == ["K", "<LOD", "24:00"]
    assert rows[0]["z"] in ("x", "y")
    assert rows[1]["grade"] in {str(grade) for grade in range(17)}
    assert 0 < float(rows[1]["dose"]) < 10
    assert rows[1]["time"][2] == ":"
    assert (rows[2]["grade"], rows[2]["dose"], rows[2]["z"]) == (" K ", "<LOD", "y")


def test_guessed_cells_of_frames_stay_and_are_said(caplog):
    model = fit(people(), max_minutes=None, ordering="agnostic", **TINY)
    frame = pl.DataFrame(ASKED)
    with caplog.at_level(logging.WARNING):
        done = model.complete(frame, seed=0)
    check_completed(done.rows(named=True))
    assert "column 'grade': 'K' and 1 more cells are taken as missing, and kept" in caplog.text
    assert "column 'time': '24:00' is taken as missing, and kept as given" in caplog.text
    assert "'NA'" not in caplog.text
    blank = frame.with_columns(grade=None, dose=None, time=None)
    np.testing.assert_array_equal(model.log_prob(frame), model.log_prob(blank))
    twice = model.complete(frame, num_samples=2, seed=0).rows(named=True)
    check_completed(twice[::2])
    check_completed(twice[1::2])


def test_guessed_cells_of_files_stay(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path))
    people().write_csv("t.csv")
    data = ("dataset=table", "dataset.path=t.csv", "ordering=agnostic")
    assert main([*data, *OVERRIDES, "hydra.run.dir=run"]) == 0
    pl.DataFrame(ASKED).write_csv("asked.csv")
    for name in ("done.csv", "done.parquet"):
        assert made_sample.main(["run=run", "observed=asked.csv", f"path={name}"]) == 0
    check_completed(pl.read_csv("done.csv", infer_schema=False).rows(named=True))
    assert pl.read_parquet("done.parquet")["grade"].to_list()[::2] == ["K", " K "]
    columns = {column.name: column for column in load_run("run").schema.columns}
    assert columns["time"].guessed == ("24:00",)


def test_what_the_user_declares_is_drawn():
    options = {"dataset": {"missing_values": ["K", "<LOD", "24:00", "NA"]}}
    model = fit(people(), max_minutes=None, ordering="agnostic", **TINY, **options)
    done = model.complete(pl.DataFrame(ASKED), seed=0)
    assert not {"K", "<LOD", "24:00"} & {cell for row in done.rows() for cell in row}


@pytest.mark.parametrize(("every", "kind"), [(7, "categorical"), (20, "integer")])
def test_cells_are_counted_and_not_different_texts(every, kind):
    ages = [str(18 + n % 47) if n % every else "65+" for n in range(400)]
    raw = RawColumn("age", pl.Series(ages), Origin(("t.csv",)), pl.String())
    reading = understand(Cells.of(raw))
    assert reading.kind == kind
    assert reading.guessed == (("65+",) if kind == "integer" else ())
