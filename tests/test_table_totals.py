"""A sum below the rows of a table is no row of it, and is said."""

import polars as pl
import pytest

from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.totals import totals

NAMES = ["a", "b"] * 20


def said(names, starts=(0,)):
    frame = pl.DataFrame({"n": range(len(names)), "name": names})
    sources = tuple(f"{k}.csv" for k in range(len(starts)))
    origin = Origin(sources, starts, lambda source, row: row + 2)
    return totals(RawTable.of_frame(frame, origin, ","))


@pytest.mark.parametrize("word", ["Total", "SUM", " Summe:", "Grand Total"])
def test_the_line_of_a_total_is_named(word):
    (found,) = said([*NAMES, word])
    assert found.startswith(f"0.csv, line 42, column 'name': '{word}' in the last row alone: if")
    (found,) = said([*NAMES, word, *NAMES], (0, 41))
    assert "0.csv, line 42" in found


@pytest.mark.parametrize(
    "names", [[*NAMES, "Totals Ltd"], ["total", *NAMES, "Total"], ["Total", *NAMES], [*NAMES, None]]
)
def test_other_rows_are_not(names):
    assert said(names) == []
