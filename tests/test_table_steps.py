"""Moments and durations are counted in what all of them lie apart."""

import datetime

import numpy as np
import polars as pl
import pytest

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import TableSchema, fit_table
from made_exp.datasets.table.writing import typed
from made_exp.density.events import Events
from made_exp.density.predicate import parse_predicate

COUNT = 90


def fitted(values):
    frame = pl.DataFrame({"t": values, "n": range(COUNT)})
    return fit_table(raw_table(frame), {"train": np.arange(COUNT)})


def drawn(table):
    """All that the column can hold near its beginning, and what was given."""
    schema = TableSchema.from_dict(table.schema.to_dict())
    near = table.x[:40].copy()
    near[:, 0] = np.arange(40)
    pair = [typed(schema.columns, schema.decode(x))["t"] for x in (near, table.x)]
    return pair[0], pair[1]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize(("seconds", "reach"), [(86400, 400), (3600, 40), (60, 9000), (1, 3000)])
def test_durations_are_counted_in_what_people_count_them_in(unit, seconds, reach):
    counts = np.random.default_rng(0).integers(0, reach, COUNT).tolist()
    given = [datetime.timedelta(seconds=n * seconds) for n in counts]
    table = fitted(pl.Series(given, dtype=pl.Duration(unit)))
    column = table.schema.columns[0]
    assert (column.kind, column.step) == ("integer", seconds)
    near, again = drawn(table)
    assert near.dtype == pl.Duration(unit)
    assert again.to_list() == given
    assert all(n % seconds == 0 for n in near.dt.total_seconds())


def test_a_finer_duration_counts_as_the_step_in_which_it_lies(caplog):
    days = pl.Series([datetime.timedelta(n % 50) for n in range(COUNT)])
    table = fitted(days)
    later = pl.DataFrame({"t": days + datetime.timedelta(hours=7), "n": range(COUNT)})
    assert (table.schema.encode(raw_table(later)) == table.x).all()
    assert "between two steps of 86400 seconds: counted as the earlier" in caplog.text


def test_questions_about_durations_are_in_seconds():
    events = Events(fitted(pl.Series([datetime.timedelta(n) for n in range(COUNT)])).schema)
    ask = [events.formula(parse_predicate(f"t <= {s}"), "") for s in (86400, 90000, 172800)]
    assert ask[0] == ask[1] != ask[2]


@pytest.mark.parametrize("is_text", [False, True], ids=["typed", "text"])
@pytest.mark.parametrize(("odd", "step"), [(0, 1000), (7, 10)], ids=["milliseconds", "any"])
def test_moments_of_many_years_are_counted_in_steps(is_text, odd, step):
    given = [
        datetime.datetime(1980 + n % 45, 3, 1 + n % 28, 10, n % 60, 0, 417 + 1000 * n)
        + datetime.timedelta(microseconds=n * n * odd)
        for n in range(COUNT)
    ]
    times = pl.Series(given, dtype=pl.Datetime("us"))
    texts = times.dt.to_string("%Y-%m-%d %H:%M:%S%.6f")
    table = fitted(texts if is_text else times)
    assert table.schema.columns[0].step == step
    near, again = drawn(table)
    again = again.str.to_datetime(time_unit="us") if is_text else again
    apart = (again - times).dt.total_microseconds().abs().max()
    assert 0 < apart < step if step == 10 else apart == 0
    assert near.n_unique() == 40
    assert any("between two steps of 1e-05 s" in said for said in table.suspicions) == (step == 10)
