"""Constant and empty columns of new rows: what train did not have there is said."""

import datetime
import logging

import numpy as np
import polars as pl
import pytest

from made_exp import fit
from made_exp.datasets.table.alike import same_value
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.experiments.new_rows import Notices

TINY = {"trainer": {"max_steps": 20, "device": "cpu"}, "model": {"hidden_sizes": [8]}}
ROWS = pl.DataFrame(
    {"v": np.random.default_rng(0).normal(size=60), "k": ["a", "b", "c"] * 20, "c": "k", "e": None},
    schema_overrides={"e": pl.String},
)


def said(train, new):
    frame = pl.DataFrame({"v": ["x", "y", "z"] * 10, "c": [train] * 30})
    schema = fit_table(raw_table(frame), {"train": np.arange(30)}).schema
    notices = Notices()
    schema.encode(raw_table(pl.DataFrame({"v": ["x"] * len(new), "c": new})), notices.hear)
    return notices.lines()


def test_other_values_of_a_constant_column_are_said():
    assert said("k", ["k", "q", None, "q"]) == [
        "the frame of polars, row 1, column 'c': 'q' and 1 more cells: "
        "unlike train, where all cells are 'k': scores do not look at it"
    ]
    (line,) = said(None, [None, None, "zz"])
    assert "'zz': unlike train, where all cells are empty: scores" in line


@pytest.mark.parametrize(
    ("train", "new"),
    [
        ("k", [" k"]), (1.5, ["1.50"]), (3, [3.0]), ("3.0", [3]), (True, ["TRUE"]), ("1.5", [" "]),
        (datetime.date(2024, 1, 31), ["2024-01-31T00:00:00"]),
        (datetime.datetime(2024, 1, 31, 9), [datetime.datetime(2024, 1, 31, 9)]),
    ],
)  # fmt: skip
def test_the_same_value_in_another_dress_is_not(train, new):
    assert said(train, new) == []


def test_letters_in_another_case_are_another_value():
    assert same_value(pl.Series(["k", "K", None]), "k").to_list() == [True, False, False]


def test_scores_and_completions_say_it_and_scores_are_as_before(caplog):
    model = fit(ROWS, max_minutes=None, ordering="agnostic", **TINY)
    odd = ROWS.with_columns(c=pl.lit("q"), e=pl.lit("zz"))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(model.log_prob(odd), model.log_prob(ROWS))
    assert (
        "column 'c': 'q' and 59 more cells are unlike train, where all cells are 'k'" in caplog.text
    )
    assert "column 'e': 'zz' and 59 more cells are unlike train" in caplog.text
    caplog.clear()
    done = model.complete(odd.with_columns(k=pl.lit(None, pl.String)), seed=0)
    assert "column 'c': 'q'" in caplog.text
    assert done["c"].to_list() == ["q"] * 60
