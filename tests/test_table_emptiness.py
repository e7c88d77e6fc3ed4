"""Rows of delimiters alone, as spreadsheets write them: left out of training, kept where asked."""

import logging

import numpy as np
import pandas as pd
import polars as pl
import pytest
from builders import load_dataset

from made_exp.datasets.table.emptiness import without_value
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.pieces import read_pieces
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.text import TextStyle, TextTable

GOOD = [f"{'ab'[i % 2]},{i % 17},{i * 37 % 101}.5" for i in range(120)]


def text(rows, end="\n"):
    return end.join(["s,n,r", *rows]) + end


def load(folder, **options):
    return load_dataset("csv", seed=0, data_dir=folder, **options)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("empty", [",,", '"","",'])
@pytest.mark.parametrize("streaming", [False, True])
def test_they_are_not_learnt(tmp_path, caplog, end, empty, streaming):
    rows = [*GOOD[:60], empty, "", *[empty] * 39, *GOOD[60:]]
    (tmp_path / "t.csv").write_text(text(rows, end), newline="")
    dataset = load(tmp_path, path="t.csv", streaming=streaming)
    assert len(dataset.train) + len(dataset.valid) + len(dataset.test) == 120
    (said,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert said == (
        f"{tmp_path / 't.csv'}: 40 rows are left out, whose cells are all empty "
        "(the first of them in line 62)"
    )


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cell_after_them_has_its_line(tmp_path, caplog, streaming):
    rows = [*GOOD[:60], ",,", *GOOD[60:]]
    rows[100] = "a,oops,3.5"
    (tmp_path / "t.csv").write_text(text(rows))
    with pytest.raises(ValueError, match="line 102, column 'n': 'oops'"):
        load(tmp_path, path="t.csv", streaming=streaming)
    assert "1 row is left out, whose cells are all empty (in line 62)" in caplog.text


def test_pieces_of_nothing_else_are_passed_over(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text(text([*GOOD, *[",,"] * 900, *GOOD]))
    pieces = list(read_pieces([path], TextStyle(empty_rows=False), block=700))
    assert sum(len(piece.raw) for piece in pieces) == 240
    assert pieces[-1].raw.origin.place(len(pieces[-1].raw) - 1).endswith("line 1141")
    assert caplog.text.count("900 rows are left out") == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_of_nothing_else_is_refused(tmp_path, streaming):
    (tmp_path / "t.csv").write_text(text([",,"] * 30))
    with pytest.raises(ValueError, match="no rows but such whose cells are all empty"):
        load(tmp_path, path="t.csv", streaming=streaming)


def test_those_that_are_asked_for_are_kept():
    rows = TextTable(text([",,", "a,1,2", ",,"]).encode(), "t", TextStyle())
    assert len(rows.read()) == 3
    assert rows.line_of(2) == 4


def test_a_single_column_may_miss():
    alone = TextTable(b'a\n1\n""\n2\n', "t", TextStyle(empty_rows=False)).read()
    assert alone.rows() == [("1",), (None,), ("2",)]


def test_those_of_a_frame_are_kept_and_said(tmp_path):
    frame = pd.DataFrame({"s": ["a", "b"] * 60, "r": np.arange(120) + 0.5})
    frame.loc[[3, 7], :] = None
    fitted = fit_table(raw_table(frame), {"train": np.arange(120)})
    said = "2 rows have no value at all, and are kept (the frame of pandas, row 3)"
    assert said in fitted.suspicions
    assert len(fitted.x) == 120
    pl.from_pandas(frame).write_parquet(tmp_path / "t.parquet")
    for streaming in (False, True):
        dataset = load(tmp_path, path="t.parquet", streaming=streaming)
        assert any(one.startswith("2 rows have no value") for one in dataset.notices)


def test_which_rows_have_no_value():
    frame = pl.DataFrame({"a": [None, 1, None], "b": [None, None, "x"]})
    assert without_value(frame.get_columns()).to_list() == [True, False, False]
    assert not without_value(frame.select("a").get_columns()).any()
