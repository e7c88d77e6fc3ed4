"""A table as it was given: its types, its rows, and where each stands."""

import datetime

import numpy as np
import polars as pl
import pytest

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.writing import typed


def lines_of(source, row):
    return 10 * (source + 1) + row


def test_a_row_is_named_by_its_file_and_line_after_any_selection():
    origin = Origin(("a.csv", "b.csv"), (0, 3), lines_of)
    assert [origin.place(r) for r in (0, 2, 3)] == [
        "a.csv, line 10",
        "a.csv, line 12",
        "b.csv, line 20",
    ]
    twice = origin.take(np.array([4, 1, 3])).take(np.array([2, 0]))
    assert [twice.place(r) for r in (0, 1)] == ["b.csv, line 20", "b.csv, line 21"]
    assert Origin(("t.parquet",)).place(7) == "t.parquet, row 7"
    assert origin.source == "a.csv and 1 more"


def test_columns_keep_their_values_in_few_types_and_remember_the_stored_one():
    frame = pl.DataFrame(
        {
            "i": pl.Series([1, None, 3], dtype=pl.UInt8),
            "f": pl.Series([0.5, float("nan"), None], dtype=pl.Float32),
            "c": pl.Series(["a", "b", None], dtype=pl.Categorical),
            "d": [datetime.date(2024, 2, 29)] * 3,
            "n": [None] * 3,
        }
    )
    table = RawTable.of_frame(frame, Origin(("t",)))
    assert [c.values.dtype for c in table.columns] == [
        pl.Int64,
        pl.Float64,
        pl.String,
        pl.Date,
        pl.String,
    ]
    assert table.column("f").values.to_list() == [0.5, None, None]
    assert table.column("i").stored == pl.UInt8
    assert table.select(["d", "i"]).names == ("d", "i")
    assert table.take(np.array([2, 0])).column("i").values.to_list() == [3, 1]
    assert str(table.take(np.array([2])).column("i").error(0, "is odd")) == (
        "t, row 2, column 'i': '3' is odd"
    )


def test_integers_beyond_int64_are_read_as_in_a_text():
    exact = 2**63 - 1
    frame = pl.DataFrame({"i": pl.Series([exact], dtype=pl.UInt64)})
    assert RawTable.of_frame(frame, Origin(("t",))).columns[0].values[0] == exact
    frame = pl.DataFrame({"i": pl.Series([exact + 1], dtype=pl.UInt64)})
    column = RawTable.of_frame(frame, Origin(("t",))).columns[0]
    assert column.values.to_list() == [str(exact + 1)]
    assert column.stored == pl.UInt64


def test_durations_are_seconds():
    times = [datetime.timedelta(days=1, milliseconds=500), None]
    for unit in ("ms", "us", "ns"):
        frame = pl.DataFrame({"t": pl.Series(times, dtype=pl.Duration(unit))})
        values = RawTable.of_frame(frame, Origin(("t",))).columns[0].values
        assert values.to_list() == [86400.5, None]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_durations_in_milliseconds_are_the_numbers_with_3_decimals(unit):
    counts = np.random.default_rng(0).integers(-(10**5), 10**5, 500)
    times = pl.Series("t", counts).cast(pl.Duration("ms")).cast(pl.Duration(unit))
    frame = pl.DataFrame([times, pl.Series("n", range(500))])
    assert raw_table(frame).columns[0].values.to_list() == (counts / 1000).tolist()
    table = fit_table(raw_table(frame), {"train": np.arange(500)})
    assert table.schema.columns[0].variable.resolution == 0.001
    drawn = typed(table.schema.columns, table.schema.decode(table.x + 0.00051))["t"]
    assert (drawn.dt.total_nanoseconds() % 10**6 == 0).all()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([[1, 2]] * 9, "List"), ([b"x"] * 9, "Binary"), ([{"a": 1}] * 9, "Struct")],
)
def test_columns_that_hold_no_single_values_are_refused_unless_left_out(values, dtype):
    frame = pl.DataFrame({"l": values, "n": list(range(9))})
    table = RawTable.of_frame(frame, Origin(("t",)))
    rows = {"train": np.arange(9)}
    with pytest.raises(ValueError, match=rf"column 'l' holds {dtype}.*'dataset\.drop=\[l\]'"):
        fit_table(table, rows)
    assert fit_table(table, rows, drop=["l"]).schema.names == ("n",)


def test_a_cell_is_shown_on_one_line_of_bounded_length():
    table = RawTable.of_frame(pl.DataFrame({"t": ["a\nb\x1b", "x" * 500, None]}), Origin(("t",)))
    shown = [table.columns[0].shown(row) for row in range(3)]
    assert shown == ["a\\nb\\x1b", "x" * 60 + "...", ""]
