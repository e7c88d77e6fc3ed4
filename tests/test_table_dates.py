"""Dates and times: counted in their finest unit, written back as they were."""

import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.datasets.table.dates import DateFormat, finest_unit
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.padding import padded_parts
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import TableSchema, fit_table
from made_exp.density.events import Events
from made_exp.density.predicate import parse_predicate
from made_exp.density.tokens import QueryError


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
        (["10:30PM", "10:31PM"], 1, "minutes"),
        (["9:30 pm", "9:31 pm"], 1, "minutes"),
        (["1/31/2024 9:30:00PM", "1/31/2024 9:30:02PM"], 2, "seconds"),
        (["31-JAN-2024", "01-FEB-2024"], 1, "days"),
        (["31-jan-2024", "01-feb-2024"], 1, "days"),
        (["31JAN2024", "01FEB2024"], 1, "days"),
        (["31JAN2024:10:00:00", "31JAN2024:10:00:05"], 5, "seconds"),
        (["31.01.2024, 10:00", "31.01.2024, 10:05"], 5, "minutes"),
        (["Wed, 31 Jan 2024", "Thu, 01 Feb 2024"], 1, "days"),
        (["Wednesday, January 31, 2024", "Thursday, February 1, 2024"], 1, "days"),
        (["Wed, 31 Jan 2024 10:00:00 +0000", "Wed, 31 Jan 2024 10:00:02 +0000"], 2, "seconds"),
        (["Wed Jan 31 10:00:00 2024", "Wed Jan 31 10:00:02 2024"], 2, "seconds"),
        (["31/Jan/2024:10:00:00 +0100", "31/Jan/2024:10:00:02 +0100"], 2, "seconds"),
        (["2024-01-31 10:00:00+00", "2024-01-31 10:00:30+00"], 30, "seconds"),
        (["2018-06-07 9:13", "2018-06-07 10:05"], 52, "minutes"),
        (["6/7/2018 09:13 AM", "6/7/2018 10:05 AM"], 52, "minutes"),
        (["7-Jun-2018 09:13:05", "7-Jun-2018 10:05:07"], 3122, "seconds"),
        (["Thu Jun 7 09:13:05 2018", "Thu Jun 7 10:05:07 2018"], 3122, "seconds"),
        (["7/06/2018", "13/06/2018"], 6, "days"),
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


def test_formats_of_old_runs_have_all_zeros_or_none():
    moment = np.array([24 * 60 * 365 + 61])
    for padded, text in (
        (True, "1971-01-01 01:01"),
        (False, "1971-1-1 1:01"),
        ("m", "1971-01-1 1:01"),
    ):
        form = DateFormat("%Y-%m-%d %H:%M", unit="minutes", padded=padded)
        assert form.write(moment).to_list() == [text]
    assert padded_parts(texts("07/6/2018", "x"), "%d/%m/%Y") == "d"


def test_draws_of_dates_stay_within_the_calendar():
    other = {"k": ["a", "b"] * 20}
    for dates, first, last in (
        (["0001-01-01", *(f"{1900 + 2 * n}-05-17" for n in range(39))], "0001-01-01", None),
        ([*(f"{1900 + 2 * n}-05-17" for n in range(39)), "9999-12-31"], None, "9999-12-31"),
        ([f"{n // 2:02d}:{n % 2 * 30:02d}" for n in range(1, 41)], "00:00", None),
        ([f"{n // 2:02d}:{n % 2 * 30:02d}" for n in range(8, 48)], None, "23:59"),
        ([f"17.05.{(1970 + 2 * n) % 100:02d}" for n in range(40)], None, None),
    ):
        raw = RawTable.of_frame(pl.DataFrame({"d": dates, **other}), Origin(("t.csv",)), ",")
        schema = TableSchema.fit(raw, np.arange(40))
        num_values = schema.columns[0].variable.num_values
        ends = np.array([[0.0, 0.0], [num_values - 1.0, 0.0]])
        written = schema.decode(ends)["d"]
        assert first in (None, written[0])
        assert last in (None, written[1])
        again = pl.DataFrame({"d": written, "k": ["a", "b"]})
        found = schema.encode(RawTable.of_frame(again, Origin(("t.csv",)), ","))
        assert found[:, 0].tolist() == ends[:, 0].tolist()


@pytest.mark.parametrize(
    ("values", "marker"),
    [
        ([datetime.date(9999, 12, 31)], "9999-12-31"),
        ([datetime.datetime(9999, 12, 31)], "9999-12-31"),
        ([datetime.time(0)], "00:00"),
    ],
)
def test_typed_moments_that_stand_for_no_value_are_missing(values, marker):
    step = datetime.timedelta(hours=13, minutes=7)
    first = datetime.datetime(2020, 1, 1, 1)
    days = [first + n * step for n in range(30)]
    if not isinstance(values[0], datetime.datetime):
        days = [getattr(day, type(values[0]).__name__)() for day in days]
    frame = pl.DataFrame({"d": values * 2 + days, "k": ["a", "b"] * 16})
    rows = np.arange(32)
    table = fit_table(raw_table(frame), {"train": rows}, missing_values=[marker])
    assert np.isnan(table.x[:, 0]).tolist() == [True] * 2 + [False] * 30
    assert table.schema.columns[0].num_missing == 2
    assert not any("stands in none" in one for one in table.suspicions)
    assert np.isnan(table.schema.encode(raw_table(frame))[:2, 0]).all()
    said = fit_table(raw_table(frame), {"train": rows}, missing_values=["2031-01-01"]).suspicions
    assert any("'2031-01-01' stands in none" in one for one in said)


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


@pytest.mark.parametrize(
    ("cells", "pattern", "coarse"),
    [
        (["2024-01-31 10:05", "2024-02-01"], "%Y-%m-%d %H:%M", "2024-02-01 00:00"),
        (["31.01.2024 10:05:30", "01.02.2024 09:07"], "%d.%m.%Y %H:%M:%S", "01.02.2024 09:07:00"),
        (
            ["01/31/2024 09:05:30 PM", "02/01/2024 09:06 AM"],
            "%m/%d/%Y %I:%M:%S %p",
            "02/01/2024 09:06:00 AM",
        ),
        (["10:05:30", "09:07"], "%H:%M:%S", "09:07:00"),
        (["2024-01-31T10:05:00.25Z", "2024-02-01"], "%Y-%m-%dT%H:%M:%S", "2024-02-01T00:00:00.00Z"),
        (["31JAN2024:10:05", "01FEB2024"], "%d%b%Y:%H:%M", "01FEB2024:00:00"),
        (["31/01/24 10:05", "01/02/24"], "%d/%m/%y %H:%M", "01/02/24 00:00"),
    ],
)
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_cells_without_a_time_or_seconds_are_where_these_begin(cells, pattern, coarse, share):
    column = texts(*cells[:1] * round(100 * (1 - share)), *cells[1:] * round(100 * share))
    form = DateFormat.of_texts(column)
    assert form.pattern == pattern
    counted = form.parse(column)
    assert counted.null_count() == 0
    assert form.write(counted.to_numpy())[-1] == coarse
    assert form.is_coarser(column).to_list() == (column == cells[1]).to_list()


def test_of_dates_alone_none_is_coarse_and_times_need_a_day():
    days = texts(*[f"2024-01-{day:02d}" for day in range(1, 32)])
    form = DateFormat.of_texts(days)
    assert form.pattern == "%Y-%m-%d"
    assert not form.is_coarser(days).any()
    minutes = texts(*[f"2024-01-{day:02d} 10:{day:02d}" for day in range(1, 32)])
    assert DateFormat.of_texts(minutes).pattern == "%Y-%m-%d %H:%M"
    assert DateFormat.of_texts(minutes).parse(texts("2024-01", "10:05", "2024")).null_count() == 3


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
    assert form.describe() == "%d.%m.%y, years 1920..2019, days 13 of months"


def test_a_finer_moment_than_the_columns_is_none_of_it():
    form = DateFormat.of_texts(texts("2024-01-31 00:00:00", "2024-02-01 00:00:00"))
    assert form.parse(texts("2024-01-31 10:00:00", None)).to_list() == [None, None]
    assert finest_unit(pl.Series([0, 60 * 10**6])) == ("minutes", 1)


@pytest.mark.parametrize("is_typed", [False, True])
def test_times_of_the_day_may_be_asked_for_without_seconds(is_typed):
    seconds = np.random.default_rng(0).integers(0, 86400, 60)
    times = pl.Series("t", seconds * 10**9).cast(pl.Time)
    frame = pl.DataFrame([times if is_typed else times.cast(pl.String), pl.Series("n", range(60))])
    schema = fit_table(raw_table(frame), {"train": np.arange(60)}).schema

    def asked(text):
        return Events(schema).formula(parse_predicate(text), text)

    assert asked("t >= 12:00") == asked("t >= 12:00:00") != asked("t > 12:00")
    assert asked("t > '12:00:00.5'") == asked("t > 12:00")
    for text in ("t >= 25:00", "t >= 2024-01-31", "t >= '2024-01-31 12:00'"):
        with pytest.raises(QueryError, match=r"is not a date as 't' holds them, such as \d\d:"):
            asked(text)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.datetimes().filter(lambda t: t.year >= 1000), min_size=1, max_size=20))
def test_any_moments_come_back(moments):
    cells = texts(*(t.replace(microsecond=0).isoformat() for t in moments))
    form = DateFormat.of_texts(cells.unique(maintain_order=True))
    assert form.write(form.parse(cells).to_numpy()).to_list() == cells.to_list()


def test_of_several_offsets_it_is_said_that_one_is_drawn():
    cells = texts("2024-01-10T09:23:00+01:00", "2024-03-11T10:20:00+02:00")
    form = DateFormat.of_texts(cells)
    assert form.describe().endswith("several offsets: drawn as +00:00")
    assert form.write(form.parse(cells).to_numpy())[0] == "2024-01-10T08:23:00+00:00"
    assert "offsets" not in DateFormat.of_texts(texts("2024-01-10T09:23:00+01:00")).describe()
