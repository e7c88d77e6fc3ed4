"""What is stored as categories is categorical, and draws and completions have the same type."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from made_exp import fit
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.text import TextStyle

TINY = {"trainer": {"max_steps": 20, "device": "cpu"}, "model": {"hidden_sizes": [8]}}
COUNT = 400
CODES = np.random.default_rng(0).integers(10, 75, COUNT)
DAYS = pd.to_datetime("2024-01-01") + pd.to_timedelta(CODES, unit="D")
TEXTS = pl.Series(CODES.astype(str))
PANDAS = pd.DataFrame(
    {
        "codes": pd.Categorical(CODES, categories=range(5, 80)),
        "shoes": pd.Categorical(np.array([8.5, 9.5, 10.0, 11.0])[CODES % 4], ordered=True),
        "days": pd.Categorical(DAYS),
        "dates": pd.Categorical([day.date() for day in DAYS]),
        "flags": pd.Categorical(CODES > 30),
        "digits": pd.Categorical(CODES.astype(str)),
        "real": np.random.default_rng(1).normal(size=COUNT),
    }
)
POLARS = pl.DataFrame(
    {
        "codes": TEXTS.cast(pl.Categorical),
        "levels": TEXTS.cast(pl.Enum([str(code) for code in range(5, 80)])),
        "two": pl.Series((CODES % 2).astype(str)).cast(pl.Categorical),
        "real": PANDAS["real"].to_numpy(),
    }
)


def kinds_of(schema):
    return {column.name: column.kind for column in schema.columns}


def schema_of(raw, **options):
    return fit_table(raw, {"train": np.arange(COUNT)}, **options).schema


def test_categories_of_pandas_come_back_as_they_are():
    model = fit(PANDAS, max_minutes=None, ordering="agnostic", **TINY)
    kinds = kinds_of(model.schema)
    assert (kinds.pop("flags"), kinds.pop("real")) == ("binary", "real")
    assert set(kinds.values()) == {"categorical"}
    drawn = model.sample(300, seed=0)
    assert drawn.dtypes.equals(PANDAS.dtypes)
    assert not drawn.isna().any(axis=None)
    holed = PANDAS.copy()
    holed.iloc[::2] = None
    done = model.complete(holed.astype(PANDAS.dtypes.to_dict()), seed=0)
    assert done.dtypes.equals(PANDAS.dtypes)
    assert not done.isna().any(axis=None)
    assert done[1::2].equals(PANDAS[1::2])


def test_categories_of_polars_come_back_as_they_are():
    model = fit(POLARS, max_minutes=None, ordering="agnostic", **TINY)
    wanted = {"codes": "categorical", "levels": "categorical", "two": "binary", "real": "real"}
    assert kinds_of(model.schema) == wanted
    holed = POLARS.with_columns(pl.when(pl.int_range(COUNT) % 2 == 1).then(pl.all()))
    done = model.complete(holed, seed=0)
    for made in (model.sample(300, seed=0), done):
        assert made.schema == POLARS.schema
        assert not any(made.null_count().row(0))
    assert done[1::2].equals(POLARS[1::2])


def test_categories_of_files_are_categorical(tmp_path):
    POLARS.write_parquet(tmp_path / "t.parquet")
    raw = read_tables([tmp_path / "t.parquet"], TextStyle())
    assert kinds_of(schema_of(raw))["codes"] == "categorical"


def test_the_user_can_say_otherwise():
    kinds = {"codes": "integer", "shoes": "real"}
    assert kinds_of(schema_of(raw_table(PANDAS), kinds=kinds)).items() >= kinds.items()
    assert (
        kinds_of(schema_of(raw_table(POLARS), kinds={"levels": "integer"}))["levels"] == "integer"
    )
    model = fit(PANDAS, max_minutes=None, dataset={"kinds": kinds}, **TINY)
    assert model.sample(300, seed=0)["shoes"].dtype == np.float64


@pytest.mark.parametrize("frame", [PANDAS, POLARS], ids=["pandas", "polars"])
def test_plain_columns_of_the_same_values_are_the_same(frame):
    schema = schema_of(raw_table(frame))
    plain = pl.DataFrame({"codes": CODES})
    if frame is PANDAS:
        plain = plain.with_columns(shoes=np.array(PANDAS["shoes"], float))
    rows = schema.encode(raw_table(frame), needed=())
    found = schema.encode(raw_table(plain), needed=())[:, : plain.width]
    np.testing.assert_array_equal(found[:, : plain.width], rows[:, : plain.width])
