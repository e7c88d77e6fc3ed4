"""What was understood of a table is said at the start, and without a training by describe=true."""

import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from builders import load_dataset
from experiment_cases import make_settings

from made_exp.cli.app import main
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.schema import TableSchema
from made_exp.experiments.understanding import (
    MAX_NOTICES,
    as_results,
    describe,
    described_dataset,
    say_understood,
)


@pytest.fixture
def file(tmp_path):
    rng = np.random.RandomState(0)
    rows = [f"{'-9999' if i % 9 == 0 else f'{rng.randn():.3f}'},{'abc'[i % 3]}" for i in range(200)]
    (tmp_path / "table.csv").write_text("\n".join(["v,k", *rows]) + "\n")
    return tmp_path / "table.csv"


def load(path):
    return load_dataset("table", seed=0, data_dir=path.parent, path=str(path))


def test_columns_and_suspicions_are_said_at_the_start(file, caplog):
    caplog.set_level("INFO")
    dataset = load(file)
    say_understood(dataset)
    text = caplog.text
    assert "table: 160 train, 20 valid, 20 test rows" in text
    assert "spikes at -9999" in text
    assert "warning: column 'v': '-9999" in text
    found = as_results(dataset)
    assert [row["kind"] for row in found["columns"]] == ["real", "categorical"]
    assert found["notices"] == list(dataset.notices)
    assert isinstance(TableSchema.from_dict(dataset.schema).columns[0], Column)


def test_values_with_a_comma_are_shown_in_quotes(tmp_path):
    towns = ["Bonn", '"Paris, TX"', "Rome"]
    rows = [f"{towns[i % 3]},{i % 7}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["town,n", *rows]) + "\n")
    found = as_results(load(tmp_path / "table.csv"))["columns"][0]
    assert found["values"] == "3: Bonn, 'Paris, TX', Rome"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([f"{n:07d}" for n in range(9)], "9: 0000000, 0000001, 0000002, ..."),
        (["a" * 40, "b"], f"2: {'a' * 27}..., ..."),
        (["Pudel, klein", 'Mops "x"', "Dackel, kurz"], "3: 'Dackel, kurz', Mops \"x\", ..."),
    ],
)
def test_values_are_shown_whole(tmp_path, values, shown):
    """What is cut in the middle reads as another value."""
    frame = pl.DataFrame({"c": [values[i % len(values)] for i in range(90)], "n": range(90)})
    frame.write_csv(tmp_path / "table.csv")
    found = as_results(load(tmp_path / "table.csv"))["columns"][0]
    assert found["values"] == shown


def test_at_most_a_dozen_warnings_are_said(file, caplog):
    say_understood(replace(load(file), notices=tuple(map(str, range(20)))))
    assert caplog.text.count("warning: ") == MAX_NOTICES + 1
    assert "and 8 more" in caplog.text


def test_other_data_are_described_by_their_kinds(tmp_path):
    dataset = load_dataset("shapes", seed=0, data_dir=tmp_path)
    assert described_dataset(dataset).endswith("rows of 400 binary variables")
    assert as_results(dataset) == {}


@pytest.mark.parametrize("missing", ["ignore", "model"])
def test_describe_says_that_missing_cells_need_another_setting(tmp_path, missing):
    rows = [f"{'' if i % 9 == 0 else i % 4},{'abc'[i % 3]}" for i in range(200)]
    (tmp_path / "gaps.csv").write_text("\n".join(["v,k", *rows]) + "\n")
    dataset = {"name": "table", "path": str(tmp_path / "gaps.csv"), "missing": missing}
    shown = describe(make_settings(tmp_path, dataset=dataset))
    ends = "a training with these settings would end: dataset 'gaps' has missing values" in shown
    assert ends == ("take experiment=table, or dataset.missing=model" in shown)
    assert ends == (missing == "ignore")


def test_describe_shows_the_columns_and_writes_nothing(file, tmp_path, monkeypatch, capsys):
    settings = make_settings(tmp_path, dataset={"name": "table", "path": str(file)})
    assert "categorical  3: a, b, c" in describe(settings)
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    assert main(["dataset=table", "dataset.path=table.csv", "describe=true"]) == 0
    shown = capsys.readouterr().out
    assert "categorical  3: a, b, c" in shown
    assert "warning: column 'v': '-9999" in shown
    assert sorted(os.listdir(tmp_path)) == before
    assert main(["-m", "dataset=table", "dataset.path=table.csv", "describe=true"]) == 2
