"""Data frames of any library are the same table."""

import datetime
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table

CONTENT = {
    "count": [2**53 + 1, 2, 3],
    "real": [0.5, None, -1.0],
    "word": ["x", None, "NA"],
    "flag": [True, False, True],
    "when": [datetime.datetime(2024, 2, 29, 12), None, datetime.datetime(1970, 1, 1)],
}
TYPES = [pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Datetime]


def values(table):
    return {column.name: column.values.to_list() for column in table.columns}


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pl.LazyFrame, pa.table], ids=["pd", "pl", "lazy", "pa"]
)
def test_frames_of_every_library_are_one_table(make):
    table = raw_table(make(CONTENT))
    assert values(table) == CONTENT
    assert [column.values.dtype for column in table.columns] == TYPES
    assert table.delimiter is None


def test_pandas_is_read_without_pyarrow(monkeypatch):
    frame = pd.DataFrame(CONTENT | {"whole": pd.array([1, None, 3], dtype="Int64")})
    frame["kind"] = pd.Categorical(["u", None, "v"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    table = raw_table(frame)
    assert values(table) == CONTENT | {"whole": [1, None, 3], "kind": ["u", None, "v"]}


def test_pandas_with_types_indices_and_names_of_its_own():
    frame = pd.DataFrame(
        {
            "mixed": [1, "x", None],
            "day": [datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 2)],
            "kind": pd.Categorical(["u", None, "v"]),
            "nan": [1.0, np.nan, np.inf],
        },
        index=["r1", "r2", "r3"],
    )
    table = raw_table(frame)
    assert values(table) == {
        "mixed": ["1", "x", None],
        "day": [datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 2)],
        "kind": ["u", None, "v"],
        "nan": [1.0, None, np.inf],
    }
    message = str(table.column("nan").error(2, "is not finite"))
    assert message == "the frame of pandas, row 2, column 'nan': 'inf' is not finite"
    assert raw_table(pd.DataFrame([[1, 2, 3]], columns=["a", "a", 7])).names == ("a", "a_2", "7")
    repeated = pa.table([[1], [2]], names=["a", "a"])
    assert raw_table(repeated).names == ("a", "a_2")


def test_arrays_are_tables_without_names():
    table = raw_table(np.array([[1.5, np.nan], [2.0, 3.0]], np.float32))
    assert values(table) == {"x0": [1.5, 2.0], "x1": [None, 3.0]}
    assert table.columns[0].stored == pl.Float32
    assert raw_table(np.eye(2, dtype=np.uint8)).columns[0].values.dtype == pl.Int64


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], r"a data frame .* is needed, got list"),
        (np.zeros(3), r"must have shape \(rows, columns\), got \(3,\)"),
        (pd.DataFrame({"a": []}), "the frame of pandas has no rows"),
        (pl.DataFrame(), "the frame of polars has no columns"),
        (pl.DataFrame({"a": [[1]]}), r"column 'a' holds List"),
        (pd.DataFrame({"a": [object(), object()]}), "column 'a'"),
        (np.array([[1, 2], [3, [4]]], object), "a cell of column 'x1' holds a list"),
        (
            pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
            r"names of 2 levels \(MultiIndex\), such as \('a', 'b'\)",
        ),
        (pd.Series([1.0]), r"a data frame .* is needed, got Series"),
    ],
)
def test_what_is_no_table_is_said(data, message):
    with pytest.raises(ValueError, match=message):
        fit_table(raw_table(data), {"train": np.arange(1)})


def test_what_frames_lose_is_said():
    frame = pd.DataFrame({"n": range(9), "t": pd.date_range("2024", periods=9, tz="Asia/Tokyo")})
    schema = fit_table(raw_table(frame), {"train": np.arange(9)}).schema
    (moment,) = [row for row in schema.describe() if row["column"] == "t"]
    assert "the clock of Asia/Tokyo, whose zone is left out" in moment["decided"]
    with pytest.raises(ValueError, match="columns of an array are called x0, x1"):
        schema.encode(raw_table(frame.to_numpy()))
