"""The first look at a table: by its first rows, each column once, and markers in all rows."""

import polars as pl
import pytest

from made_exp.datasets.table.looking import FirstLook
from made_exp.datasets.table.raw import Origin, RawTable

COUNT = 40


def table(**columns):
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return RawTable.of_frame(frame, Origin(("t.csv",), find_line=lambda source, row: row + 2), ",")


def look(raw, num_first=COUNT, kinds=None, missing_values=None):
    return FirstLook(raw, raw.names, num_first, kinds or {}, missing_values)


def test_columns_are_read_by_their_first_rows_alone():
    raw = table(n=[*(str(i % 25) for i in range(COUNT)), "x"], t=["a", "b"] * 20 + ["c"])
    found = look(raw)
    cells, reading = found.take("n")
    assert (len(cells), reading.kind) == (COUNT, "integer")
    again, same = found.take("n")
    assert (again.raw.values.to_list(), same.kind) == (cells.raw.values.to_list(), "integer")
    assert found.take("t")[1].kind == "binary"
    with pytest.raises(ValueError, match="line 42, column 'n': 'x' is not a number"):
        look(raw, COUNT + 1)


def test_limits_are_shared_by_the_numeric_columns():
    numbers = [f"{i}.5" for i in range(COUNT)]
    few = look(table(a=numbers, t=["a", "b"] * 20))
    many = look(table(**{f"c{i}": numbers for i in range(300)}))
    assert few.limits.looked_at > many.limits.looked_at


@pytest.mark.parametrize(("marker", "where"), [("-9999", 3), ("-9999", COUNT), ("?", COUNT)])
def test_markers_are_looked_for_in_all_rows(marker, where):
    cells = [str(i) for i in range(COUNT + 1)]
    cells[where] = marker
    raw = table(n=cells, t=["a", "b"] * 20 + ["a"])
    assert look(raw, missing_values=[marker]).unseen() == []
    said = "dataset.missing_values: '-1' stands in none of the columns n, t"
    assert look(raw, missing_values=[marker, "-1"]).unseen() == [said]
