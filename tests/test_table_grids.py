"""Draws lie where all values of a column lie; what was given and the density do not change."""

import datetime
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from builders import tiny_made
from experiment_cases import make_settings, sample_run

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.grids import NO_GRID, grid_of, nearest_on
from made_exp.datasets.table.schema import TableSchema, fit_table
from made_exp.density.density import Density
from made_exp.experiments.experiment import run
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.table_rows import as_read

COUNT = 300
FIRST = datetime.date(2020, 1, 6)


def rows():
    source = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "salary": source.integers(15, 90, COUNT) * 100 + 30,
            "price": [f"{n * 5 / 100:.2f}" for n in source.integers(20, 400, COUNT)],
            "week": [FIRST + datetime.timedelta(7 * int(n)) for n in source.integers(0, 80, COUNT)],
            "weight": source.normal(70, 9, COUNT).round(1),
            "count": source.integers(0, 40, COUNT),
            "town": source.choice(["a", "b", "c"], COUNT),
        }
    )


def on_grid(frame):
    """Whether each value of the columns with a grid is on it."""
    cells = frame.with_columns(pl.col("salary", "price").cast(pl.Float64))
    days = cells["week"].cast(pl.String).str.to_date("%Y-%m-%d")
    places = [
        (cells["salary"] - 30) / 100,
        cells["price"] / 0.05,
        (days - FIRST).dt.total_days() / 7,
    ]
    return [(place - place.round()).abs() < 1e-6 for place in places]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A finished run of the rows, written as text."""
    folder = tmp_path_factory.mktemp("grids")
    rows().write_csv(folder / "t.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        options = {"ordering": {"name": "agnostic"}, "trainer": {"epochs": 2}}
        dataset = {"name": "csv", "path": str(folder / "t.csv")}
        run(make_settings(folder, dataset=dataset, **options), folder / "run")
        yield folder


def test_the_grid_of_numbers():
    numbers = pl.Series([30 + 20 * n for n in range(12)])
    assert grid_of(numbers) == (20, 30)
    assert grid_of(numbers.cast(pl.Int128)) == (20, 30)
    assert grid_of(numbers[:11]) == NO_GRID
    assert grid_of(pl.Series([*numbers, 31])) == NO_GRID
    assert grid_of(pl.Series([*[0, 2] * 2000, *range(0, 40, 2), 3])) == NO_GRID
    assert grid_of(pl.Series([5] * 20)) == NO_GRID
    prices = pl.Series([0.05 * n for n in range(1, 30)])
    assert grid_of(prices, 2) == (5, 5)
    assert grid_of(prices, 1) == NO_GRID
    assert grid_of(prices * 1e16, 2) == NO_GRID


def test_the_nearest_point_is_within_the_ends():
    values = np.array([0.0, 12.0, 16.0, 39.0, np.nan])
    found = nearest_on((10, 3), values, (1.0, 38.0))
    assert found.tolist()[:-1] == [3, 13, 13, 33]
    assert np.isnan(found[-1])
    assert nearest_on((10, 3), values, (1.0, 38.0), shift=1).tolist()[:-1] == [13, 23, 23, 33]
    assert nearest_on((5, 0), np.array([0.07, 0.33]), (0.06, 0.34), 100).tolist() == [0.1, 0.3]
    assert nearest_on(NO_GRID, values, (0.0, 1.0)) is values


def test_the_grid_is_said_and_saved():
    table = fit_table(raw_table(rows()), {"train": np.arange(COUNT)})
    said = {row["column"]: row["decided"] for row in table.schema.describe()}
    for name, step in (("salary", "100"), ("week", "7 days")):
        assert f"draws in steps of {step}" in said[name]
    assert not any("draws" in said[name] for name in ("weight", "count", "town"))
    content = json.loads(json.dumps(table.schema.to_dict()))
    assert TableSchema.from_dict(content).columns == table.schema.columns
    for column in content["columns"]:  # as runs were saved before
        column.pop("grid", None)
    assert TableSchema.from_dict(content).columns[0].grid == NO_GRID


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([f"${100 * n:,}" for n in range(1, 40)], "100"),
        ([f"{n / 4:.2f}" for n in range(40)], "0.25"),
        ([f"{n / 4:.3f}" for n in range(40)], "0.25"),
        ([f"2024-01-01 {n // 4:02d}:{n % 4 * 15:02d}" for n in range(40)], "15 minutes"),
        ([datetime.timedelta(minutes=15 * n) for n in range(40)], "900"),
        ([datetime.date(1990 + n, 1, 1) for n in range(40)], "12 months"),
        (
            [datetime.datetime(2024, 1, 1, 0, n // 30, n % 30 * 2, 500_000) for n in range(40)],
            "2 seconds",
        ),
    ],
)
def test_steps_of_columns_of_any_kind(values, step):
    frame = pl.DataFrame({"v": values, "k": range(len(values))})
    table = fit_table(raw_table(frame), {"train": np.arange(len(values))})
    assert f"draws in steps of {step}" in table.schema.describe()[0]["decided"]
    assert np.allclose(table.schema.on_grids(table.x), table.x, rtol=0, atol=1e-12)


def test_rows_of_all_splits_decide():
    frame = rows().with_columns(salary=pl.Series([1777, *rows()["salary"][1:]]))
    splits = {"train": np.arange(1, COUNT), "test": np.arange(1)}
    assert fit_table(raw_table(frame), splits).schema.columns[0].grid == NO_GRID


def test_draws_in_frames_are_on_the_grid_and_scores_are_as_before():
    frame = rows().with_columns(pl.col("price").cast(pl.Float64))
    schema = fit_table(raw_table(frame), {"train": np.arange(COUNT)}).schema
    made = tiny_made(schema.variables)
    density = Density(made, schema, "polars")
    drawn = density.sample(200, seed=0)
    assert drawn.dtypes == frame.dtypes
    assert all(column.all() for column in on_grid(drawn))
    codes = density.sample(200, seed=0, codes=True)
    assert not all(column.all() for column in on_grid(density.decode(codes)))
    columns = [replace(c, grid=NO_GRID) if hasattr(c, "grid") else c for c in schema.columns]
    without = Density(made, TableSchema(tuple(columns)), "polars")
    assert np.array_equal(density.log_prob(frame), without.log_prob(frame))
    odd = frame.with_columns(pl.col("salary") + 1)
    assert np.array_equal(density.log_prob(odd), without.log_prob(odd))
    assert density.decode(density.encode(odd)).equals(odd)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_in_files_are_on_the_grid(here, ending):
    sample_run(here / "run", path=here / f"d.{ending}", num_samples=300, seed=1)
    read = pl.read_csv if ending == "csv" else pl.read_parquet
    drawn = read(here / f"d.{ending}")
    assert all(column.all() for column in on_grid(drawn))
    schema = FinishedRun(here / "run", "cpu").schema
    assert schema.encode(raw_table(drawn)).shape == (300, 6)


def test_rows_as_asked_are_on_the_grid_where_they_can_be(here):
    sample_run(here / "run", path=here / "w.csv", num_samples=200, where="salary >= 4431")
    drawn = pl.read_csv(here / "w.csv")
    assert all(column.all() for column in on_grid(drawn))
    assert drawn["salary"].min() == 4530
    asked = "salary < 4430 and salary >= 4401 and week > 2020-05-05"
    sample_run(here / "run", path=here / "w.csv", num_samples=20, where=asked)
    drawn = pl.read_csv(here / "w.csv")
    assert drawn["salary"].is_between(4401, 4429).all()
    assert on_grid(drawn)[1].all()


def test_what_was_given_is_not_touched(here):
    sample_run(here / "run", path=here / "g.csv", num_samples=30, given={"salary": "4444"})
    drawn = pl.read_csv(here / "g.csv")
    assert drawn["salary"].unique().to_list() == [4444]
    assert all(column.all() for column in on_grid(drawn)[1:])
    asked = pl.DataFrame({"salary": ["4444", None] * 20, "price": [None, "3.33"] * 20})
    asked.write_csv(here / "asked.csv")
    sample_run(here / "run", path=here / "f.csv", observed=here / "asked.csv")
    filled = pl.read_csv(here / "f.csv", schema_overrides={"price": pl.String})
    assert filled["salary"][::2].unique().to_list() == [4444]
    assert filled["price"][1::2].unique().to_list() == ["3.33"]
    salary, price, week = on_grid(filled)
    assert salary[1::2].all()
    assert price[::2].all()
    assert week.all()


def test_what_is_compared_with_the_data_is_on_the_grid(here):
    dataset = FinishedRun(here / "run", "cpu").dataset
    near = torch.cat([dataset.train, dataset.test]).double()
    read = as_read(dataset, near)
    names = [variable.name for variable in dataset.variables]
    moved = near.clone()
    moved[:, names.index("salary")] += 1
    moved[:, names.index("price")] += 0.01
    assert np.array_equal(as_read(dataset, moved), read)


def test_an_atom_beside_the_grid_stays_where_it_is():
    source = np.random.default_rng(0)
    is_none, hundreds = source.random(COUNT) < 0.1, source.integers(200, 900, COUNT)
    frame = pl.DataFrame(
        {
            "pay": np.where(is_none, -1, hundreds * 100),
            "price": [f"{-1 if n else h / 20:.2f}" for n, h in zip(is_none, hundreds, strict=True)],
        }
    )
    table = fit_table(raw_table(frame), {"train": np.arange(COUNT)})
    schema = table.schema
    assert [column.grid_written for column in schema.columns] == ["100", "0.05"]
    x = np.array([[0.0, -1.0], [777.0, 12.34], [39_877.0, 20.0]])
    x[0, 0] = -1 - schema.columns[0].offset
    drawn = schema.decode(schema.on_grids(x))
    assert drawn["price"].to_list() == ["-1.00", "12.35", "20.00"]
    pay = drawn["pay"].cast(pl.Int64).to_list()
    assert pay[0] == -1
    assert [one % 100 for one in pay[1:]] == [0, 0]
    x = dict.fromkeys(SPLITS, torch.from_numpy(table.x))
    data = Dataset.of_splits("t", schema.variables, x, schema=schema.to_dict())
    read = as_read(data, data.train)
    assert np.allclose(read, frame.cast(pl.Float64).to_numpy(), rtol=0, atol=1e-9)
