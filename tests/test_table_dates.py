"""Dates and times: counted in their finest unit, written back as they were."""

import datetime

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


@pytest.mark.parametrize(
    ("years", "first", "last"),
    [
        (range(1940, 2000), 1940, 1999),
        (range(1985, 2025), 1985, 2024),
        (range(2040, 2069), 2040, 2068),
        (range(1900, 1905), 2000, 2004),
        ([1930, 1990], 1990, 2030),
        ([1931, 1980], 1931, 1980),
        (range(1969, 2069), 1969, 2068),
    ],
)
@pytest.mark.parametrize("dress", ["%d.%m.%y", "%m/%d/%y", "%d-%b-%y", "%d.%m.%y %H:%M"])
def test_years_of_two_digits_are_of_the_hundred_that_keeps_a_column_short(
    years, first, last, dress
):
    days = [datetime.datetime(y, 2, 13 + n % 2, n % 24) for n, y in enumerate(years)]
    cells = texts(*(f"{day:{dress}}" for day in days))
    form = DateFormat.of_texts(cells)
    found = form.moments(cells).cast(pl.Datetime("us"))
    assert (found.dt.year().min(), found.dt.year().max()) == (first, last)
    assert form.write(form.parse(cells).to_numpy()).to_list() == cells.to_list()
    assert DateFormat(**{k: v for k, v in form.to_dict().items() if k != "name"}) == form


def test_years_of_new_rows_are_those_nearest_to_the_column():
    form = DateFormat.of_texts(texts(*(f"13.02.{n}" for n in range(40, 100))))
    found = form.moments(texts("13.02.39", "13.02.21", "13.02.05", "29.02.00", "13.02.1950"))
    wanted = [1939, 1921, 2005, 2000, None]
    assert found.cast(pl.Datetime("us")).dt.year().to_list() == wanted
    assert form.describe() == "%d.%m.%y, years 1920..2019"


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
