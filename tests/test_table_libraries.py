"""Frames of every library made of what was drawn, with the types that the user's have."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.libraries import adopted, library_named, like_columns
from made_exp.datasets.table.pandas_types import as_pandas, pandas_series
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.writing import typed

COUNT = 60
SOURCE = np.random.default_rng(0)
START = datetime.datetime(2024, 1, 1)
MINUTES = SOURCE.integers(0, 9**5, COUNT).tolist()
TIMES = [START + datetime.timedelta(minutes=minute) for minute in MINUTES]
DAYS = [time.date() for time in TIMES]
CLOCK = [time.time() for time in TIMES]
WORDS = SOURCE.choice(["a", "b b", "ä"], COUNT)
HOLES = SOURCE.random(COUNT) < 0.2


def holed(values):
    return [None if hole else value for hole, value in zip(HOLES, values, strict=True)]


PANDAS = {
    "int64": SOURCE.integers(0, 50, COUNT),
    "int8": SOURCE.integers(-9, 50, COUNT).astype(np.int8),
    "Int64": pd.array(holed(range(COUNT)), "Int64"),
    "float": SOURCE.normal(size=COUNT).round(3),
    "float32": SOURCE.normal(size=COUNT).astype(np.float32),
    "float of whole": pd.array(holed(range(7, 7 + COUNT))).astype("float64"),
    "sparse": pd.arrays.SparseArray(SOURCE.choice([0.0, 0.5, 1.5], COUNT), fill_value=0.0),
    "two floats": SOURCE.choice([0.5, 1.5], COUNT),
    "bool": SOURCE.random(COUNT) < 0.5,
    "boolean": pd.array(holed([n % 3 == 0 for n in range(COUNT)]), "boolean"),
    "bool object": pd.Series(holed([n % 3 == 0 for n in range(COUNT)]), dtype=object),
    "object": pd.Series(holed(WORDS), dtype=object),
    "string": pd.array(holed(WORDS), "string"),
    "category": pd.Categorical(holed(WORDS), categories=["ä", "a", "b b", "unused"]),
    "category of ints": pd.Categorical([n % 4 + 10 for n in range(COUNT)]),
    "intervals": pd.cut(SOURCE.normal(size=COUNT), 4),
    "periods": pd.period_range("2024-01", periods=COUNT, freq="D"),
    "timedelta": pd.to_timedelta(pd.Series(holed(MINUTES)), unit="min"),
    "wide objects": pd.Series([10**20 + n % 7 for n in range(COUNT)], dtype=object),
    "zoned objects": pd.Series([time.replace(tzinfo=datetime.UTC) for time in TIMES], dtype=object),
    "ns": pd.Series(pd.to_datetime(TIMES)).astype("datetime64[ns]"),
    "holed days": pd.Series(pd.to_datetime(pd.Series(holed(DAYS)))).astype("datetime64[s]"),
    "zone": pd.Series(pd.to_datetime(TIMES)).dt.tz_localize("Asia/Tokyo"),
    "date objects": pd.Series(DAYS, dtype=object),
    "time objects": pd.Series(CLOCK, dtype=object),
}
POLARS = {
    "uint8": pl.Series([n % 50 for n in range(COUNT)], dtype=pl.UInt8),
    "float32": pl.Series(SOURCE.normal(size=COUNT), dtype=pl.Float32),
    "decimal": pl.Series([f"{n / 7:.2f}" for n in range(COUNT)]).cast(pl.Decimal(9, 2)),
    "categorical": pl.Series(holed(WORDS), dtype=pl.Categorical),
    "enum": pl.Series(WORDS).cast(pl.Enum(["ä", "b b", "a"])),
    "bool": pl.Series(holed([n % 3 == 0 for n in range(COUNT)])),
    "date": pl.Series(holed(DAYS)),
    "time": pl.Series(CLOCK),
    "ms": pl.Series(TIMES, dtype=pl.Datetime("ms")),
    "duration": pl.Series(holed(MINUTES)).cast(pl.Duration("ms")),
    "duration in ns": pl.Series(MINUTES).cast(pl.Duration("ns")),
    "wide": pl.Series([2**63 + 4096 * (n % 40) for n in range(COUNT)], dtype=pl.UInt64),
    "constant": pl.Series([7] * COUNT),
    "zone": pl.Series(TIMES, dtype=pl.Datetime("us")).dt.replace_time_zone("Asia/Tokyo"),
    "days as texts": pl.Series([f"{day:%d.%m.%Y}" for day in DAYS]),
    "money": pl.Series([f"$ {n * 977:,}.50" for n in range(COUNT)]),
}


def again(frame):
    """The frame, encoded and decoded: (library, the frame again)."""
    raw = raw_table(frame)
    fitted = fit_table(raw, {"train": np.arange(COUNT)})
    library, frame = adopted(frame)
    like = like_columns(library, frame, fitted.schema.names)
    stored = {column.name: column.stored for column in raw.columns}
    decoded = typed(fitted.schema.columns, fitted.schema.decode(fitted.x), stored)
    return library.make(decoded.get_columns(), like, rows_of=frame)


@pytest.mark.parametrize("name", PANDAS)
def test_pandas_keeps_its_types_and_index(name):
    frame = pd.DataFrame({name: PANDAS[name], "other": np.arange(COUNT) ** 0.5})
    frame.index = pd.Index(range(100, 100 + COUNT), name="row")
    found = again(frame)
    pd.testing.assert_frame_equal(found[[name]], frame[[name]], check_freq=False)


def test_pandas_holds_values_as_they_are_where_a_type_does_not():
    values = pl.Series("x", [1.5, None])
    assert as_pandas(values, np.dtype("int64")).equals(pandas_series(values))
    words = as_pandas(pl.Series(["a", "c"]), pd.CategoricalDtype(["a", "b"]))
    assert words.tolist() == ["a", "c"]


@pytest.mark.parametrize("name", POLARS)
@pytest.mark.parametrize("is_arrow", [False, True], ids=["polars", "pyarrow"])
def test_polars_and_pyarrow_keep_their_types(name, is_arrow):
    frame = pl.DataFrame({name: POLARS[name], "other": np.arange(COUNT) ** 0.5})
    if is_arrow:
        table = frame.to_arrow()
        found = again(table)
        assert found.schema.types[0] == table.schema.types[0]
        assert found.column(0).to_pylist() == table.column(0).to_pylist()
    else:
        found = again(frame)
        assert found.schema == frame.schema
        assert found[name].to_list() == frame[name].to_list()


def test_views_of_pyarrow_stay_views():
    words = pa.table({"w": pa.array(holed(WORDS), pa.string_view())})
    table = words.append_column("b", pa.array([b"x"] * COUNT, pa.binary_view()))
    taken = library_named("pyarrow").take(table, np.array([3, 1, 1]))
    assert taken.schema == table.schema
    assert taken.column("w").to_pylist() == [holed(WORDS)[n] for n in (3, 1, 1)]
    found = again(words.append_column("other", pa.array(range(COUNT))))
    assert found.column("w").equals(words.column("w"))


@pytest.mark.parametrize("name", ["polars", "pandas", "pyarrow"])
def test_a_column_without_a_name_stays_without_one(name):
    made = pl.DataFrame({"w": [*range(COUNT)], "": [n / 7 for n in range(COUNT)]})
    frame = {"polars": made, "pandas": made.to_pandas(), "pyarrow": made.to_arrow()}[name]
    found = again(frame)
    assert list(found.column_names if name == "pyarrow" else found.columns) == ["w", ""]
    assert raw_table(frame).names == ("w", "column_2")
    filled = library_named(name).put(frame, 1, np.arange(COUNT) > 0, pl.Series([0.5]))
    assert raw_table(filled).column("column_2").values[0] == 0.5


def test_arrays_stay_arrays():
    columns = [SOURCE.integers(0, 9, COUNT), SOURCE.normal(size=COUNT), np.full(COUNT, 2.5)]
    array = np.stack(columns, 1).astype("f4")
    found = again(array)
    assert found.dtype == np.float32
    assert np.array_equal(found, array)
    objects = np.array([holed(WORDS), [n % 9 for n in range(COUNT)]], dtype=object).T
    found = again(objects)
    assert found.dtype == object
    assert found.tolist() == objects.tolist()


def test_lazy_frames_are_answered_by_frames():
    library, frame = adopted(pl.LazyFrame({"a": [1, 2]}))
    assert library.name == "polars"
    assert frame.equals(pl.DataFrame({"a": [1, 2]}))


def test_what_a_column_cannot_hold_widens_it():
    frame = pl.DataFrame({"a": ["x", None]}, schema={"a": pl.Enum(["x"])})
    filled = library_named("polars").put(frame, 0, np.array([True, False]), pl.Series(["y"]))
    assert filled["a"].to_list() == ["x", "y"]
    frame = pd.DataFrame({"a": pd.Categorical(["x", None])})
    filled = library_named("pandas").put(frame, 0, np.array([True, False]), pl.Series(["y"]))
    assert filled["a"].tolist() == ["x", "y"]
    assert frame["a"].isna().sum() == 1  # the user's own is as it was


def test_cells_of_a_sparse_column_are_filled():
    values = pd.arrays.SparseArray([0.0, np.nan, 2.5, np.nan], fill_value=0.0)
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "s": values})
    known = np.array([True, False, True, False])
    filled = library_named("pandas").put(frame, 1, known, pl.Series([0.0, 1.5]))
    assert filled["s"].tolist() == [0.0, 0.0, 2.5, 1.5]
    assert filled["s"].dtype == frame["s"].dtype
    assert raw_table(filled).column("s").values.to_list() == [0.0, 0.0, 2.5, 1.5]
    filled = library_named("pandas").put(frame, 1, known, pl.Series(["x", "y"]))
    assert filled["s"].tolist() == [0.0, "x", 2.5, "y"]
    assert frame["s"].isna().sum() == 2


def test_unknown_libraries_and_columns_are_said():
    with pytest.raises(ValueError, match=r"frames: 'panda' is not one of .*Did you mean 'pandas'"):
        library_named("panda")
    with pytest.raises(ValueError, match="the frame has no column 'b'"):
        like_columns(library_named("pyarrow"), pa.table({"a": [1]}), ["a", "b"])
