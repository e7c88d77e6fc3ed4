"""Rows of the data that are as a question says, beside what a model says."""

import math

import pytest
import torch
from test_probability import SCHEMA
from test_query import ask, here, run

from made_exp.density.counting import rows_so
from made_exp.density.predicate import parse_question

__all__ = ["here", "run"]
X = torch.tensor(  # switch, colour, count, level
    [[0, 2, 1, 0], [1, 2, math.nan, 1], [1, 0, 3, 2], [math.nan, 2, 3, 2]], dtype=torch.float64
)


@pytest.mark.parametrize(
    ("question", "counted"),
    [
        ("switch = 1", (2, 4)),
        ("switch is missing", (1, 4)),
        ("count >= 2", (2, 4)),  # a missing count is a value, of which that is false
        ("count >= 2 | colour = 2", (1, 3)),
        ("colour = 2 and level = 2 or switch = 0", (2, 4)),
        ("level = 1 | colour = 1", (0, 0)),
        ("colour in {0, 1, 2}", (4, 4)),
        ("mean(count)", None),
    ],
)
def test_rows_are_counted_in_all_parts(question, counted):
    asked = parse_question(question)
    assert rows_so(SCHEMA, asked, [X]) == counted
    assert rows_so(SCHEMA, asked, X.split(1)) == counted


def test_answers_say_how_many_rows_are_so(here, capsys):
    from polars import read_csv

    rows = read_csv("t.csv")[:180]  # a tenth is for the test
    assert ask("age >= 65 or sex = F", "mean(age)", "counted=true", "path=c.csv") == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert " of 180 rows, 0." in first
    assert "data:" not in second
    table = read_csv("c.csv")
    assert table["counted_of"].to_list() == [180, None]
    assert 0 < table["counted"][0] < len(rows)
    assert ask("age >= 65 | sex = F", "counted=true", "json=true") == 0
    assert '"counted": {' in capsys.readouterr().out
