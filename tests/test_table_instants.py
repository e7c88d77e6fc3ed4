"""Moments of new rows on the clock of their column, in whatever zone and dress they come."""

import datetime

import numpy as np
import polars as pl
import pytest

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.instants import iso_moments, on_clock_of
from made_exp.datasets.table.schema import fit_table
from made_exp.density.events import Events
from made_exp.density.predicate import parse_predicate

COUNT = 40
FIRST = datetime.datetime(2024, 3, 30)
TIMES = pl.Series("t", [FIRST + datetime.timedelta(minutes=61 * n) for n in range(COUNT)])
UTC = TIMES.dt.replace_time_zone("UTC")
ZONED = UTC.dt.convert_time_zone("Europe/Berlin")


def fitted(times):
    frame = pl.DataFrame({"t": times, "n": range(COUNT)})
    return fit_table(raw_table(frame), {"train": np.arange(COUNT)})


def again(schema, times):
    return schema.encode(raw_table(pl.DataFrame({"t": times, "n": range(COUNT)})))[:, 0]


DRESSES = {
    "utc": UTC,
    "Tokyo": UTC.dt.convert_time_zone("Asia/Tokyo"),
    "ms": ZONED.dt.cast_time_unit("ms"),
    "no zone": ZONED.dt.replace_time_zone(None),
    "as polars writes it": ZONED.dt.to_string("%Y-%m-%dT%H:%M:%S.000%z"),
    "as pandas writes it": ZONED.dt.to_string("%Y-%m-%d %H:%M:%S%:z"),
    "Z": UTC.dt.to_string("%Y-%m-%dT%H:%M:%SZ"),
    "no seconds": ZONED.dt.to_string("%Y-%m-%d %H:%M"),
}


@pytest.mark.parametrize("name", DRESSES)
def test_an_instant_is_the_same_in_every_dress(name):
    table = fitted(ZONED)
    assert again(table.schema, DRESSES[name]).tolist() == table.x[:, 0].tolist()


@pytest.mark.parametrize("name", ["as polars writes it", "as pandas writes it", "Z"])
def test_texts_with_zones_meet_types_with_zones(name):
    table = fitted(DRESSES[name])
    for times in (UTC, ZONED):
        assert again(table.schema, times).tolist() == table.x[:, 0].tolist()


def test_a_column_without_a_zone_takes_no_offset():
    table = fitted(TIMES)
    assert (
        again(table.schema, TIMES.dt.to_string("%Y-%m-%d %H:%M")).tolist() == table.x[:, 0].tolist()
    )
    with pytest.raises(
        ValueError, match=r"row 0, column 't': '2024-03-30T00:00:00Z' is not a date"
    ):
        again(table.schema, DRESSES["Z"])


@pytest.mark.parametrize("dress", ["typed", "text"])
def test_what_is_finer_than_the_column_counts_as_where_it_lies(dress, caplog):
    table = fitted(TIMES)
    finer = TIMES.dt.offset_by("1s")
    finer = finer if dress == "typed" else finer.dt.to_string("%Y-%m-%d %H:%M:%S")
    assert again(table.schema, finer).tolist() == table.x[:, 0].tolist()
    said = "finer than the minutes that the model knows: counted as those in which they lie"
    assert f"row 0, column 't': '2024-03-30 00:00:01' and 39 more cells are {said}" in caplog.text
    assert np.isnan(again(table.schema, finer.set(pl.Series([True] * COUNT), None))).all()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", "2024-01-31 00:00"),
        ("2024-01-31T09:30", "2024-01-31 09:30"),
        ("2024-01-31 09:30:00.5", "2024-01-31 09:30:00.5"),
        ("2024-01-31T09:30:00Z", "2024-01-31 10:30"),
        ("2024-01-31T09:30-0130", "2024-01-31 12:00"),
        ("2024-02-30", None),
        ("31.01.2024", None),
        ("2024-01-31 9", None),
    ],
)
def test_plain_moments(text, moment):
    (found,) = iso_moments(pl.Series([text, None]), "Europe/Berlin").cast(pl.Datetime("us"))[:1]
    wanted = None if moment is None else datetime.datetime.fromisoformat(moment)
    assert found == wanted


def test_clocks_are_zones_or_offsets():
    utc = pl.Series([0])
    assert on_clock_of(utc, "+05:30")[0] == 330 * 60 * 10**6
    assert on_clock_of(utc, "-0800")[0] == -480 * 60 * 10**6
    assert on_clock_of(utc, "Asia/Tokyo")[0] == 540 * 60 * 10**6
    assert on_clock_of(utc, "UTC")[0] == 0


def test_questions_name_moments_plainly_and_in_any_zone():
    events = Events(fitted(ZONED).schema)
    formulas = {
        events.formula(parse_predicate(f"t >= {moment}"), "")
        for moment in ("2024-03-31T10:00+02:00", "2024-03-31 08:00Z", "2024-03-31T10:00:00")
    }
    assert len(formulas) == 1
