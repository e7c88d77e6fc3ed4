"""Types of Arrow that Polars does not keep are put back where pyarrow is there and holds them."""

import datetime
import sys

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from made_exp.datasets.table.appending import TableWriter
from made_exp.datasets.table.types_back import types_put_back
from made_exp.datasets.table.writing import write_frame

TABLE = pa.table(
    {
        "day": pa.array([datetime.date(2024, 1, 31), None], pa.date64()),
        "s": pa.array([datetime.time(9, 30), None], pa.time32("s")),
        "us": pa.array([datetime.time(9, 30, 0, 5), None], pa.time64("us")),
        "view": pa.array(["x", None], pa.string_view()),
        "text": pa.array(["x", None], pa.string()),
        "half": pa.array([0.5, None], pa.float16()),
        "a.list": pa.array([[1, 2], None], pa.list_(pa.int64())),
        "bytes": pa.array([b"x", None], pa.binary()),
        "whole": pa.array([3, None], pa.int32()),
    }
)


@pytest.fixture
def given(tmp_path):
    parquet.write_table(TABLE, tmp_path / "given.parquet")
    return tmp_path / "given.parquet"


def in_one(path, frame, like):
    write_frame(path, frame, ",", like=str(like))


def in_pieces(path, frame, like):
    with TableWriter(path, ",") as writer:
        for row in range(len(frame)):
            writer.append(frame[row : row + 1], like=str(like))


@pytest.mark.parametrize("write", [in_one, in_pieces])
def test_a_written_table_has_the_types_of_the_given_one(given, tmp_path, write):
    frame = pl.read_parquet(given).with_columns(half=pl.lit(0.5, pl.Float64), score=pl.lit(0.1))
    write(tmp_path / "out.parquet", frame, given)
    found = parquet.read_table(tmp_path / "out.parquet")
    wanted = parquet.read_table(given)
    wanted = wanted.set_column(5, "half", pa.array([0.5, 0.5], pa.float16()))
    assert found.drop_columns(["score"]).equals(wanted)
    assert pl.read_parquet(tmp_path / "out.parquet")["score"].dtype == pl.Float64


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("day", datetime.datetime(2024, 1, 31, 12)),
        ("s", datetime.time(9, 30, 0, 5)),
        ("half", 0.1),
        ("whole", 2**40),
        ("whole", "many"),
    ],
)
def test_values_that_a_type_does_not_hold_are_not_changed(given, tmp_path, column, value):
    frame = pl.DataFrame({column: [None, value], "text": ["x", "y"]})
    in_one(tmp_path / "out.parquet", frame, given)
    assert pl.read_parquet(tmp_path / "out.parquet")[column].to_list() == [None, value]
    assert parquet.read_schema(tmp_path / "out.parquet").field("text").type == pa.string()


@pytest.mark.parametrize("like", ["", "the frame of polars", "t.csv", "none.parquet"])
def test_rows_from_elsewhere_are_written_as_they_are(tmp_path, like):
    pl.DataFrame({"text": ["x"]}).write_parquet(tmp_path / "a.parquet")
    assert not types_put_back(tmp_path / "a.parquet", like, tmp_path / "b.parquet")
    assert not (tmp_path / "b.parquet").exists()


def test_without_pyarrow_they_are_as_well(given, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    in_one(tmp_path / "out.parquet", pl.read_parquet(given), given)
    assert pl.read_parquet(tmp_path / "out.parquet").equals(pl.read_parquet(given))
