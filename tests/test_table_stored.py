"""Draws have the types of the table that was understood, whatever they happen to be."""

import datetime
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from builders import tiny_made

from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import TableSchema, fit_table
from made_exp.datasets.table.stored import as_type, bounds_of, dtype_of, stored_as
from made_exp.datasets.table.text import TextStyle
from made_exp.density.density import Density
from made_exp.experiments.written import write_drawn

COUNT = 60
SOURCE = np.random.default_rng(0)
FIRST = datetime.datetime(2024, 3, 30)
TIMES = [FIRST + datetime.timedelta(minutes=17 * n) for n in range(COUNT)]  # over the lost hour
WORDS = SOURCE.choice(["a", "b, c", 'd "e"'], COUNT).tolist()
WHOLE = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]


def holed(values):
    return [None if n % 7 == 3 else value for n, value in enumerate(values)]


FRAME = pl.DataFrame(
    {
        **{str(kind): pl.Series(range(60, 60 + COUNT), dtype=kind) for kind in WHOLE},
        "few": pl.Series(holed([n % 3 for n in range(COUNT)]), dtype=pl.UInt8),
        "float": pl.Series(SOURCE.normal(size=COUNT), dtype=pl.Float32),
        "price": pl.Series([f"{n / 7:.2f}" for n in range(COUNT)]).cast(pl.Decimal(3, 2)),
        "wide price": pl.Series([f"{n * 97.31:.4f}" for n in range(COUNT)]).cast(pl.Decimal(20, 4)),
        "two prices": pl.Series([("0.50", "1.25")[n % 2] for n in range(COUNT)]).cast(
            pl.Decimal(9, 2)
        ),
        "zone": pl.Series(holed(TIMES), dtype=pl.Datetime("ms")).dt.replace_time_zone(
            "Europe/Berlin", non_existent="null", ambiguous="earliest"
        ),
        "utc": pl.Series(TIMES, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"),
        "ns": pl.Series(TIMES, dtype=pl.Datetime("ns")),
        "day": pl.Series([(FIRST + datetime.timedelta(n)).date() for n in range(COUNT)]),
        "clock": pl.Series([time.time() for time in TIMES]),
        "flag": pl.Series(holed([n % 2 == 0 for n in range(COUNT)])),
        "enum": pl.Series(WORDS).cast(pl.Enum(["unused", *sorted(set(WORDS))])),
        "categorical": pl.Series(holed(WORDS), dtype=pl.Categorical),
        "numbers as texts": pl.Series([str(n % 4) for n in range(COUNT)]),
        "always": pl.Series([datetime.date(2024, 5, 1)] * COUNT),
        "at once": pl.Series([TIMES[0]] * COUNT, dtype=pl.Datetime("us", "Asia/Tokyo")),
        "nothing": pl.Series([None] * COUNT, dtype=pl.Int16),
        "id": pl.Series(range(COUNT), dtype=pl.UInt32) * 7,
    }
)


@pytest.fixture(scope="module")
def fitted():
    kinds = {str(kind): "integer" for kind in WHOLE}
    return fit_table(raw_table(FRAME), {"train": np.arange(COUNT)}, kinds=kinds)


@pytest.mark.parametrize("dtype", FRAME.dtypes, ids=FRAME.columns)
def test_types_are_plain_values_and_come_back(dtype):
    plain = json.loads(json.dumps(stored_as(dtype)))
    assert dtype_of(plain) == dtype


def test_types_that_are_not_known_are_left_out():
    assert stored_as(pl.List(pl.Int8())) == ()
    assert dtype_of(()) is None


@pytest.mark.parametrize("name", ["drawn.parquet", "drawn.feather"])
def test_files_of_draws_have_the_types_of_the_table(fitted, tmp_path, name):
    schema = TableSchema.from_dict(json.loads(json.dumps(fitted.schema.to_dict())))
    write_drawn(tmp_path / name, schema, torch.from_numpy(fitted.x))
    read = pl.read_parquet if name.endswith("parquet") else pl.read_ipc
    drawn = read((tmp_path / name).read_bytes())
    assert drawn.drop("enum").schema == FRAME.drop("enum").schema
    assert drawn["enum"].dtype in (FRAME["enum"].dtype, pl.Categorical)  # as Parquet has it
    for column in FRAME.columns[:-1]:
        assert drawn[column].to_list() == FRAME[column].to_list(), column
    assert drawn["id"][0] == FRAME["id"][-1] + 1


def test_whatever_is_drawn_has_the_type_of_its_column(fitted):
    """Also what is far outside of the table, and what a clock leaves out."""
    far = np.full((2, fitted.x.shape[1]), 1e30)
    far[0] = -1e30
    far[:, [v.num_values is not None for v in fitted.schema.variables]] = 0
    model = Density(tiny_made(fitted.schema.variables), fitted.schema)
    assert model.decode(torch.from_numpy(far)).schema == FRAME.schema
    top = {v.name: v.num_values + fitted.schema.columns[d].offset - 1
           for d, v in enumerate(fitted.schema.variables[: len(WHOLE)])}  # fmt: skip
    assert top["Int8"] == 127
    assert top["Int16"] > 127


def test_what_a_clock_leaves_out_comes_after_the_gap():
    zone = pl.Datetime("us", "Europe/Berlin")
    lost = pl.Series([datetime.datetime(2024, 3, 31, 2, 30), None])
    (moment, none) = as_type(lost, zone).dt.to_string("%H:%M %z").to_list()
    assert (moment, none) == ("03:30 +0200", None)
    skipped = pl.Series([datetime.datetime(2011, 12, 30, 5)])
    assert as_type(skipped, pl.Datetime("us", "Pacific/Apia")).dt.day().to_list() == [31]


def test_numbers_that_a_type_does_not_hold_are_left_as_they_are():
    assert as_type(pl.Series([300]), pl.Int8()).dtype == pl.Int64
    assert as_type(pl.Series(["x"]), pl.Date()).dtype == pl.String
    assert bounds_of(pl.Int8()) == (-128, 127)
    assert bounds_of(pl.UInt64()) == (0, 2**64 - 1)
    assert float(bounds_of(pl.Decimal(5, 2))[1]) == 999.99
    assert bounds_of(pl.Float32())[1] == float("inf")


def test_draws_of_a_loaded_model_are_typed_in_every_library(fitted):
    made = tiny_made(fitted.schema.variables)
    x = torch.from_numpy(fitted.x)
    drawn = {
        name: Density(made, fitted.schema, name).decode(x)
        for name in ("polars", "pandas", "pyarrow")
    }
    assert drawn["polars"].schema == FRAME.schema
    assert drawn["pyarrow"].schema == FRAME.to_arrow().schema
    frame = drawn["pandas"]
    wanted = FRAME.to_pandas()
    for column in ("Int8", "UInt64", "float", "zone", "utc", "ns", "enum", "price", "categorical"):
        pd.testing.assert_series_equal(
            frame[column], wanted[column], check_categorical=column == "enum"
        )


def test_text_has_no_types_of_its_own(tmp_path):
    FRAME.select("Int8", "flag", "day").write_csv(tmp_path / "t.csv")
    schema = TableSchema.fit(read_tables([tmp_path / "t.csv"], TextStyle()), np.arange(COUNT))
    assert {column.stored for column in schema.columns} == {()}
