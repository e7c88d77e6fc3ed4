"""Dates and times: counted in their finest unit, written back as they were."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.datasets.table.dates import DateFormat, finest_unit


def texts(*values):
    return pl.Series("c", values, dtype=pl.String)


@pytest.mark.parametrize(
    ("cells", "distance", "unit"),
    [
        (["2024-01-31", "2024-02-01"], 1, "days"),
        (["2024/01/31", "2024/02/01"], 1, "days"),
        (["31.01.2024", "01.02.2024"], 1, "days"),
        (["31/01/2024", "01/02/2024"], 1, "days"),
        (["01/31/2024", "02/01/2024"], 1, "days"),
        (["1/31/2024", "2/1/2024"], 1, "days"),
        (["31/01/24", "01/02/24"], 1, "days"),
        (["31-Jan-2024", "01-Feb-2024"], 1, "days"),
        (["Jan 31, 2024", "Feb 1, 2024"], 1, "days"),
        (["2024-01-31 00:00:00", "2024-02-01 00:00:00"], 1, "days"),
        (["2024-01-31 10:00", "2024-01-31 10:05"], 5, "minutes"),
        (["2024-01-31T10:00:00Z", "2024-01-31T10:00:30Z"], 30, "seconds"),
        (["2024-01-31T10:00:00+01:00", "2024-01-31T10:00:30+01:00"], 30, "seconds"),
        (["2024-01-31 10:00:00.125", "2024-01-31 10:00:00.250"], 125, "fraction"),
        (["12:30", "13:00"], 30, "minutes"),
        (["10:30 PM", "10:31 PM"], 1, "minutes"),
    ],
)
def test_dates_come_back_as_they_were_written(cells, distance, unit):
    form = DateFormat.of_texts(texts(*cells))
    counted = form.parse(texts(*cells))
    assert counted.dtype == pl.Int64
    assert counted[1] - counted[0] == distance
    assert form.unit == unit
    assert form.write(counted.to_numpy()).to_list() == cells
    assert DateFormat(**{k: v for k, v in form.to_dict().items() if k != "name"}) == form


def test_offsets_that_differ_are_counted_in_one_zone():
    cells = texts("2024-01-31T10:00:00+01:00", "2024-01-31T10:00:00+02:00")
    form = DateFormat.of_texts(cells)
    counted = form.parse(cells)
    assert counted[0] - counted[1] == 60
    assert form.write(counted.to_numpy())[0] == "2024-01-31T09:00:00+00:00"


@pytest.mark.parametrize(
    "cells", [["192.168.1.1"] * 3, ["1.5.2", "3.4.5"], ["1-2", "3-4"], ["a", "b"], ["12", "13"]]
)
def test_what_is_no_date(cells):
    assert DateFormat.of_texts(texts(*cells)) is None


def test_day_and_month_that_could_be_swapped_are_said():
    assert DateFormat.of_texts(texts("01/02/2023", "03/04/2021")).ambiguous
    assert not DateFormat.of_texts(texts("01/02/2023", "13/04/2021")).ambiguous


def test_a_finer_moment_than_the_columns_is_none_of_it():
    form = DateFormat.of_texts(texts("2024-01-31 00:00:00", "2024-02-01 00:00:00"))
    assert form.parse(texts("2024-01-31 10:00:00", None)).to_list() == [None, None]
    assert finest_unit(pl.Series([0, 60 * 10**6])) == "minutes"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.datetimes().filter(lambda t: t.year >= 1000), min_size=1, max_size=20))
def test_any_moments_come_back(moments):
    cells = texts(*(t.replace(microsecond=0).isoformat() for t in moments))
    form = DateFormat.of_texts(cells.unique(maintain_order=True))
    assert form.write(form.parse(cells).to_numpy()).to_list() == cells.to_list()
