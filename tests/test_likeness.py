"""Frames that a density answers with: types of what it adds to a frame."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from builders import tiny_made
from test_density import FRAMES, people

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.density.density import Density
from made_exp.density.likeness import Likeness


@pytest.fixture(scope="module")
def made_and_schema():
    schema = fit_table(raw_table(people()), {"train": np.arange(150)}).schema
    return tiny_made(schema.variables, ordering="natural"), schema


@pytest.mark.parametrize("convert", FRAMES.values(), ids=FRAMES.keys())
def test_columns_that_lack_have_the_types_that_draws_have(made_and_schema, convert):
    narrow = people().with_columns(pl.col("wage").cast(pl.Float32), pl.col("age").cast(pl.Int8))
    given = convert(narrow)
    if isinstance(given, pd.DataFrame):
        given = given.astype({"wage": "float32", "age": "Int16"})
    model = Density(*made_and_schema, given)
    drawn = model.sample(5, seed=0)
    done = model.complete(
        given.select(["town"]) if "pyarrow" in str(type(given)) else given[["town"]]
    )
    for name in ("age", "wage", "member"):
        assert type_of(done, name) == type_of(given, name)
        assert type_of(done, name) == type_of(drawn, name)
    other = model.complete(pd.DataFrame({"town": ["Bern"]}), seed=0)
    assert isinstance(other, pd.DataFrame)
    assert str(other["age"].dtype).lower() == (
        "int16" if isinstance(given, pd.DataFrame) else "int8"
    )


def test_a_frame_that_lacks_a_column_is_refused(made_and_schema):
    with pytest.raises(ValueError, match="the frame has no column 'age'"):
        Likeness.of(pd.DataFrame({"town": ["Bern"]}), made_and_schema[1])


def type_of(frame, name):
    return frame.schema.field(name).type if isinstance(frame, pa.Table) else frame[name].dtype
