"""Months and quarters: read from texts and from first days, counted, and written as they were."""

import datetime
import json

import numpy as np
import polars as pl
import pytest
import torch
from builders import load_dataset, tiny_made

from made_exp.datasets.table.dates import DateFormat, finest_unit
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.months import LAST_DAY, begun, counted, month_day, month_pattern
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import TableSchema, fit_table
from made_exp.datasets.table.writing import typed
from made_exp.density.density import Density
from made_exp.density.events import Events
from made_exp.density.measures import error_written
from made_exp.density.predicate import parse_predicate
from made_exp.experiments.table_rows import as_read, fields_of

ORIGIN = Origin(("t.csv",), find_line=lambda source, row: row + 2)
DAY = 86400 * 10**6
FIRSTS = [datetime.date(2018 + n // 12, n % 12 + 1, 1) for n in range(40)]


def texts(*values):
    return pl.Series("c", values, dtype=pl.String)


def fitted(values, **options):
    frame = pl.DataFrame({"m": values, "k": ["a", "b", "c", "b"] * (len(values) // 4)})
    is_text = frame["m"].dtype == pl.String
    raw = RawTable.of_frame(frame, ORIGIN, ",") if is_text else raw_table(frame)
    return fit_table(raw, {"train": np.arange(len(frame))}, **options)


@pytest.mark.parametrize(
    ("cells", "distance", "unit"),
    [
        (["2018-07", "2019-01"], 6, "months"),
        (["2018/07", "2019/01"], 6, "months"),
        (["07/2018", "01/2019"], 6, "months"),
        (["7/2018", "1/2019"], 6, "months"),
        (["07.2018", "01.2019"], 6, "months"),
        (["07-2018", "01-2019"], 6, "months"),
        (["2018M07", "2019M01"], 6, "months"),
        (["Jul 2018", "Jan 2019"], 6, "months"),
        (["May 2020"], None, "months"),
        (["July 2018", "January 2019"], 6, "months"),
        (["May 2018", "November 2018"], 6, "months"),
        (["Jul-2018", "Jan-2019"], 6, "months"),
        (["Jul-18", "Jan-19"], 6, "months"),
        (["Dec-99", "Jan-00"], 1, "months"),
        (["JUL-18", "JAN-19"], 6, "months"),
        (["jul 2018", "jan 2019"], 6, "months"),
        (["Jul'18", "Jan'19"], 6, "months"),
        (["2018 Jul", "2019 Jan"], 6, "months"),
        (["2018-Jul", "2019-Jan"], 6, "months"),
        (["JUL2018", "JAN2019"], 6, "months"),
        (["2019m12", "2020m01"], 1, "months"),
        (["2019q4", "2020q1"], 1, "quarters"),
        (["1899-12", "1970-02"], 842, "months"),
        (["2019Q4", "2020Q1"], 1, "quarters"),
        (["2019-Q4", "2020-Q3"], 3, "quarters"),
        (["Q4 2019", "Q1 2020"], 1, "quarters"),
    ],
)
def test_months_and_quarters_come_back_as_they_were_written(cells, distance, unit):
    form = DateFormat.of_texts(texts(*cells))
    counted = form.parse(texts(*cells))
    assert form.unit == unit
    assert len(cells) == 1 or counted[1] - counted[0] == distance
    assert form.write(counted.to_numpy()).to_list() == cells
    assert form.parse(texts("x", None)).to_list() == [None, None]
    saved = json.loads(json.dumps(form.to_dict()))
    assert DateFormat(**{k: v for k, v in saved.items() if k != "name"}) == form


@pytest.mark.parametrize(
    "cells",
    [
        ["2018-07", "2018-13"],
        ["2018-07", "2018-00"],
        [*["2018-07", "2018-08"] * 10, "2018-07-03"],
        ["2010-11", "2011-12"],
        ["2010/11", "2011/12", "2009/10"],
        ["12-10", "11-09"],
        ["1/2", "3/4"],
        ["1640-07", "2018-08"],
        ["1990-2010"],
        ["Jul 18"],
        ["Foo 2018", "Bar 2019"],
        ["2019Q5", "2019Q1"],
        ["Q4", "Q1"],
        ["2018", "2019"],
    ],
)
def test_what_is_no_month(cells):
    assert month_pattern(texts(*cells)) is None
    assert DateFormat.of_texts(texts(*cells)) is None


def test_days_are_not_read_as_months():
    for cells in (["2018-07-01", "2018-08-02"], ["Jul 1, 2018", "Aug 2, 2018"], ["1/7/2018"]):
        assert DateFormat.of_texts(texts(*cells)).unit == "days"


def test_moments_and_months_of_any_year():
    moments = pl.Series([-1, 0, DAY, 31 * DAY - 1, 31 * DAY, None])
    assert counted(moments, "months").to_list() == [-1, 0, 0, 0, 1, None]
    assert counted(moments, "quarters").to_list() == [-1, 0, 0, 0, 0, None]
    assert begun(pl.Series([-1, 0, 1, None]), "months").to_list() == [-31 * DAY, 0, 31 * DAY, None]


@pytest.mark.parametrize("dtype", [pl.Date(), pl.Datetime("ms"), pl.Datetime("us", "Asia/Tokyo")])
def test_dates_that_are_all_first_days_count_months(dtype):
    values = pl.Series(FIRSTS)
    if dtype != pl.Date:
        values = values.cast(pl.Datetime("us")).dt.replace_time_zone(
            getattr(dtype, "time_zone", None)
        )
    table = fitted(values.cast(dtype))
    column = table.schema.columns[0]
    assert column.format.unit == "months"
    assert table.x[:, 0].tolist() == (np.arange(40) + table.x[0, 0]).tolist()
    assert "first days of months" in table.schema.describe()[0]["decided"]
    assert column.variable.num_values == 58
    every = np.column_stack([np.arange(58), np.zeros(58)])
    drawn = typed(table.schema.columns, table.schema.decode(every))["m"]
    assert drawn.dtype == dtype
    assert drawn.n_unique() == 58
    assert drawn.dt.day().to_list() == [1] * 58
    again = TableSchema.from_dict(json.loads(json.dumps(table.schema.to_dict())))
    assert (
        typed(again.columns, again.decode(table.x))["m"].to_list() == values.cast(dtype).to_list()
    )


def test_of_two_ways_to_read_dates_first_days_of_months_are_likelier():
    months = texts(*(f"{n % 12 + 1}/1/{2018 + n // 12}" for n in range(40)))
    form = DateFormat.of_texts(months)
    assert (form.pattern, form.unit, form.ambiguous) == ("%m/%d/%Y", "months", True)
    form = DateFormat.of_texts(texts(*(f"1/{n % 12 + 1}/{2018 + n // 12}" for n in range(40))))
    assert (form.pattern, form.unit) == ("%d/%m/%Y", "months")
    form = DateFormat.of_texts(texts(*(f"{n % 12 + 1}/{n % 5 + 1}/2018" for n in range(40))))
    assert (form.pattern, form.unit, form.ambiguous) == ("%d/%m/%Y", "days", True)


@pytest.mark.parametrize("dtype", [pl.Date(), pl.String()])
@pytest.mark.parametrize(("shift", "day"), [(-1, LAST_DAY), (14, 15)])
def test_dates_on_one_day_of_the_month_count_months(shift, day, dtype):
    dates = pl.Series([first + datetime.timedelta(shift) for first in FIRSTS])
    schema = fitted(dates.cast(dtype)).schema
    column = schema.columns[0]
    assert (column.format.unit, column.format.day) == ("months", day)
    every = np.column_stack([np.arange(column.variable.num_values), np.zeros(58)])
    drawn = pl.Series(schema.decode(every)["m"]).str.slice(0, 10).str.to_date()
    assert drawn.n_unique() == 58
    after = drawn + datetime.timedelta(1 - shift - 1)
    assert after.dt.day().to_list() == [1] * 58
    assert schema.encode(schema_rows(drawn.cast(dtype)))[:, 0].tolist() == list(range(58))
    asked = Events(schema)
    low, high = (f"m {sign} 2018-06" for sign in ("<", ">="))
    formulas = [asked.formula(parse_predicate(text), text) for text in (low, f"not {high}")]
    assert formulas[0] == formulas[1]
    same = [
        f"m = {one}"
        for one in ("2018-06", drawn.filter(drawn.dt.strftime("%Y-%m") == "2018-06")[0])
    ]
    formulas = [asked.formula(parse_predicate(text), text) for text in same]
    assert formulas[0] == formulas[1]
    between = "m = 2018-06-20"
    assert asked.formula(parse_predicate(between), between) is False


def schema_rows(dates):
    frame = pl.DataFrame({"m": dates, "k": ["a"] * len(dates)})
    return RawTable.of_frame(frame, ORIGIN, ",") if dates.dtype == pl.String else raw_table(frame)


def test_a_month_of_days_is_no_column_of_months():
    days = pl.Series([n * DAY for n in (14, 45, 73)])  # 15 January, February, March
    assert month_day(days) == 15
    assert month_day(pl.Series([14 * DAY, 45 * DAY, 45 * DAY])) is None
    assert month_day(pl.Series([14 * DAY, 45 * DAY, 74 * DAY])) is None
    assert month_day(pl.Series([28 * DAY, 59 * DAY + 28 * DAY, 90 * DAY + 28 * DAY])) is None
    assert month_day(pl.Series([14 * DAY + 1, 45 * DAY + 1, 73 * DAY + 1])) is None
    march = texts(*(f"{n}/3/2018" for n in range(1, 13)))
    form = DateFormat.of_texts(march)
    assert (form.pattern, form.unit) == ("%d/%m/%Y", "days")


def test_few_first_days_are_days():
    firsts = pl.Series([0, 31 * DAY, 31 * DAY])
    assert finest_unit(firsts) == ("days", 1)
    assert finest_unit(pl.Series([0, 31 * DAY, 59 * DAY])) == ("months", 1)
    assert finest_unit(pl.Series([0, 31 * DAY, 59 * DAY, 60 * DAY])) == ("days", 1)
    written = DateFormat.of_texts(texts("01.02.2018", "01.03.2018", "01.05.2018"))
    assert written.unit == "months"
    assert written.write(written.parse(texts("01.05.2018")).to_numpy()).to_list() == ["01.05.2018"]


def test_a_finer_date_counts_as_the_month_in_which_it_lies(caplog):
    table = fitted(pl.Series(FIRSTS))
    later = pl.DataFrame({"m": [d + datetime.timedelta(17) for d in FIRSTS], "k": ["b"] * 40})
    assert (table.schema.encode(raw_table(later))[:, 0] == table.x[:, 0]).all()
    assert "finer than the months that the model knows: counted as those in which" in caplog.text
    plain = pl.DataFrame({"m": ["2018-02", "2018-02-11", "2018-02-11T10:00"], "k": ["b"] * 3})
    found = table.schema.encode(raw_table(plain))[:, 0]
    assert found.tolist() == [table.x[1, 0]] * 3


def test_a_month_is_finer_than_quarters(caplog):
    cells = [f"{2010 + n // 4}Q{n % 4 + 1}" for n in range(40)]
    schema = fitted(cells).schema

    def asked(text):
        return Events(schema).formula(parse_predicate(text), text)

    assert asked("m = 2012-11") == asked("m = 2012-11-15")  # no row can be so
    assert asked("m >= 2012-11") == asked("m >= 2012-11-15") == asked("m >= 2013Q1")
    assert asked("m < 2012-11") == asked("m <= 2012Q4")
    assert asked("m = 2012-10") == asked("m = 2012-10-01") == asked("m = 2012Q4")
    row = pl.DataFrame({"m": ["2012-11", "2012-10", "2012-11-15", "2012Q4"], "k": ["a"] * 4})
    found = schema.encode(raw_table(row))[:, 0]
    assert (found == found[3]).all()
    what = "'2012-11' and 1 more cells are finer than the quarters that the model knows"
    assert what in caplog.text


def test_a_model_of_months_sums_to_one_and_draws_months(tmp_path):
    values = [f"{day:%b %Y}" for day in FIRSTS]
    schema = fitted(values).schema
    made = tiny_made(schema.variables)
    num_values = schema.variables[0].num_values
    months = torch.arange(-400, num_values + 400)
    every = torch.cartesian_prod(months, torch.arange(4)).double()
    assert float(made.log_prob(every).exp().sum()) == pytest.approx(1, abs=1e-5)
    density = Density(made, schema, "polars")
    drawn = density.sample(200, seed=0)
    days = drawn["m"]
    assert days.dtype == pl.Date
    assert set(days.dt.day()) == {1}
    drawn.write_parquet(tmp_path / "t.parquet")
    frame = pl.read_parquet(tmp_path / "t.parquet")
    written = schema.decode(density.encode(frame).numpy())["m"]
    assert written.to_list() == [f"{day:%b %Y}" for day in days]
    assert np.array_equal(density.log_prob(frame), density.log_prob(frame.with_columns(m=written)))


def test_questions_about_months():
    schema = fitted([f"{day:%b %Y}" for day in FIRSTS]).schema
    events = Events(schema)

    def asked(text):
        return events.formula(parse_predicate(text), text)

    assert asked("m >= 'Jul 2018'") == asked("m >= 2018-07") == asked("m >= 2018-07-01")
    assert asked("m > 2018-06-17") == asked("m >= 2018-07")
    assert asked("m <= 2018-06-17") == asked("m < 2018-07")
    assert asked("m = 2018-06-17") is False
    days = fitted([f"2018-03-{n % 28 + 1:02d}" for n in range(40)]).schema
    with pytest.raises(ValueError, match="'2018-03' is not a date"):
        Events(days).formula(parse_predicate("m > 2018-03"), "m > 2018-03")


@pytest.mark.parametrize(
    ("error", "shown"), [(2.5, "2.5 months"), (1.0, "1 month"), (0.5, "15 days"), (0.0, "")]
)
def test_errors_of_months_are_in_months(error, shown):
    column = fitted(pl.Series(FIRSTS)).schema.columns[0]
    assert error_written(column, error) == shown


def test_months_are_shown_as_days(tmp_path):
    months = [f"{day:%Y-%m}" for day in FIRSTS * 5]
    pl.DataFrame({"m": months, "k": list("abcd") * 50}).write_csv(tmp_path / "t.csv")
    dataset = load_dataset("csv", seed=0, data_dir=str(tmp_path), path=str(tmp_path / "t.csv"))
    assert fields_of(dataset)[0].is_date
    days = as_read(dataset, torch.cat([dataset.train, torch.full((1, 2), torch.nan)]))[:, 0]
    known = dataset.train[:, 0].double() + dataset.schema["columns"][0]["offset"]
    firsts = known.numpy().astype(int).astype("datetime64[M]").astype("datetime64[D]")
    assert days[:-1].tolist() == firsts.astype(float).tolist()
    assert np.isnan(days[-1])
