"""Tables understood: what each column holds, and cells that come back as they were."""

import datetime
import json
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.datasets.table import making
from made_exp.datasets.table.categories import IMPOSSIBLE
from made_exp.datasets.table.cells import Cells, as_labels
from made_exp.datasets.table.columns import Numbers
from made_exp.datasets.table.inference import understand
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import TableSchema, fit_table
from made_exp.datasets.table.stored import whole_type
from made_exp.datasets.table.writing import typed
from made_exp.variables.variable import Kind

RANDOM = np.random.RandomState(0)


def table(**columns):
    origin = Origin(("t.csv",), find_line=lambda source, row: row + 2)
    return RawTable.of_frame(pl.DataFrame(columns), origin, ",")


def fit(raw, train=None, **options):
    rows = np.arange(len(raw)) if train is None else np.asarray(train)
    return TableSchema.fit(raw, rows, **options)


def kind_of(*cells, **options):
    return understand(Cells.of(table(c=list(cells)).columns[0]), **options).kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["yes", "no", "yes"], "binary"),
        (["0", "1", ""], "binary"),
        (["TRUE", "FALSE"], "binary"),
        ([True, False, None], "binary"),
        (["1.5", "2.5"], "binary"),
        (["1", "2", "3"], "categorical"),
        (["1.0", "2", "3."], "categorical"),
        (["a", "b", "c", "nan", "N/A"], "categorical"),
        (["007", "008", "012"], "categorical"),
        ([str(i) for i in range(-5, 20)], "integer"),
        ([f"{i}.0" for i in range(5, 20)], "integer"),
        ([str(i * 10**8) for i in range(20)], "integer"),
        (["1e-3", "2", ".5"], "real"),
        (["1", "NA", "2.5", "?", "3.5"], "real"),
        ([f"{1000 * i},{i:02d} €" for i in range(20)], "real"),
        ([f"2024-01-{i:02d}" for i in range(1, 20)], "date"),
        ([datetime.date(2024, 1, i) for i in range(1, 20)], "date"),
        ([datetime.datetime(2024, 1, i, 5) for i in range(1, 20)], "date"),
        ([1.0, 2.5, None, 7.25], "real"),
        ([float(i) for i in range(12)], "integer"),
        (["a", "a"], "constant"),
        ([None, None], "empty"),
        ([f"u{i}" for i in range(30)], "identifier"),
        ([str(i + 1) for i in range(30)], "identifier"),
        ([str(1990 + i) for i in range(30)], "integer"),
        ([str(i * 10**17) for i in range(30)], "identifier"),
        ([str(10**25 + i) for i in range(30)], "identifier"),
        ([str(i * 10**17) for i in range(-9, 30)], "real"),
        ([str(3**i) for i in range(40)], "real"),
        ([str(10**25 + i % 3) for i in range(60)], "categorical"),
    ],
)
def test_column_kind(cells, kind):
    assert kind_of(*cells) == kind


@pytest.mark.parametrize(
    ("cells", "different", "drawn"),
    [
        ([f"{i:05d}" for i in range(100, 500)] + ["00100"] * 8, 400, None),  # zip codes
        ([f"{i:05d}" for i in range(100, 500)] + ["NA"], 401, None),
        ([f"{i:05d}" for i in range(100, 500)] + [""], 400, "00500"),
        ([f"u{i}" for i in range(400)] + ["u7 "] * 8, 400, None),
        ([f"{i:05d}" for i in range(100, 500)] * 2, 400, None),
    ],
)
def test_identifiers_are_counted_once_and_go_on_only_where_all_differ(cells, different, drawn):
    raw = table(zip=cells, size=[f"{i % 9}.5" for i in range(len(cells))])
    column = fit(raw, kinds={"zip": "identifier"}).columns[0]
    assert column.values == f"{different}"
    assert column.decode(np.zeros(2))[0] == drawn


def test_na_is_missing_among_numbers_and_a_value_among_texts():
    raw = table(iso=["NA", "ZA", "BW", "AO"] * 5, v=["1.5", "NA", "2.5", "3.5"] * 5)
    x = fit(raw).encode(raw)
    assert not np.isnan(x[:, 0]).any()
    assert np.isnan(x[:, 1]).sum() == 5
    assert np.isnan(fit(raw, missing_values=["NA"]).encode(raw)[:, 0]).sum() == 5


@pytest.mark.parametrize("dash", ["-", "--", "\u2013", "\u2014"])
def test_dashes_are_missing_among_numbers(dash):
    cells = [dash if i % 5 == 0 else f"{i}.25" for i in range(100)]
    raw = RawTable.of_frame(pl.DataFrame({"v": cells, "k": ["a", "b"] * 50}), Origin(("t.csv",)))
    table = fit_table(raw, {"train": np.arange(100)})
    assert table.schema.columns[0].kind == "real"
    assert np.isnan(table.x[:, 0]).sum() == 20


def test_a_text_that_repeats_among_numbers_is_missing_and_said():
    raw = table(c=[f"{i}.5" for i in range(40)] + ["unknown"] * 3)
    reading = understand(Cells.of(raw.columns[0]))
    assert reading.kind == "real"
    assert "'unknown' (3 cells)" in reading.suspicions[0]
    with pytest.raises(ValueError, match=r"line 42, column 'c': 'x' is not a number, as nearly"):
        kind_of(*[f"{i}.5" for i in range(40)], "x")


def mixed(count=1000):
    rng = np.random.RandomState(0)
    return table(
        sex=["fm"[i] for i in rng.randint(0, 2, count)],
        age=[None if i % 7 == 3 else str(v) for i, v in enumerate(rng.randint(18, 80, count))],
        income=[f"{v:.2f}" for v in rng.normal(30000, 9000, count)],
        money=[f"${v:,.2f}" for v in rng.lognormal(8, 1, count)],
        city=[["Rome", "Oslo", "Lyon, France", " NA"][i % 4] for i in range(count)],
        rooms=[f"{1 + i % 5}.0" for i in range(count)],
        when=[f"20{i % 24:02d}-0{1 + i % 9}-{10 + i % 18}" for i in range(count)],
        seconds=[str(1700000000 + v) for v in rng.randint(0, 31 * 10**6, count)],
        small=[f"{v:.3e}" for v in rng.rand(count)],
        fixed=["x"] * count,
    )


def test_rows_come_back_as_they_were_and_the_schema_goes_through_json():
    raw = mixed()
    schema = fit(raw)
    again = TableSchema.from_dict(json.loads(json.dumps(schema.to_dict(), allow_nan=False)))
    assert again == schema
    texts = again.decode(schema.encode(raw))
    for column in raw.columns:
        assert texts[column.name].to_list() == column.values.to_list(), column.name


def test_columns_in_any_order_and_those_aside_need_not_be_there(caplog):
    raw = mixed()
    schema = fit(raw)
    turned = raw.select([n for n in reversed(raw.names) if n != "fixed"])
    np.testing.assert_array_equal(schema.encode(turned), schema.encode(raw))
    with pytest.raises(ValueError, match=r"t.csv has no column 'sex'"):
        schema.encode(raw.select(["age"]))
    extra = RawTable((*raw.columns, *table(extra=["1"] * len(raw)).columns), ",")
    np.testing.assert_array_equal(schema.encode(extra), schema.encode(raw))
    assert "t.csv: columns that the model does not know are left out: extra" in caplog.text
    misnamed = pl.DataFrame({c.name: c.values for c in raw.columns}).rename({"sex": "sexx"})
    with pytest.raises(ValueError, match=r"unknown column 'sexx'; .*Did you mean 'sex'"):
        schema.encode(RawTable.of_frame(misnamed, raw.origin), needed=())


def test_ranges_and_categories_come_from_train_alone(caplog):
    raw = table(n=[*map(str, range(100, 200)), "900"], c=["a", "b", "c", "a"] * 25 + ["z"])
    schema = fit(raw, range(100))
    n, c = schema.variables
    assert (n.num_values, schema.columns[0].offset) == (99 + 2 * 24 + 1, 76)
    assert c.categories == ("a", "b", "c")
    assert (c.num_values, c.pooled) == (4, (1.0,))
    x = schema.encode(raw)
    assert x[-1].tolist() == [900 - 76, 3]
    assert "line 102, column 'n': '900' is outside 76..223" in caplog.text
    assert "line 102, column 'c': 'z' is not in the training rows" in caplog.text
    found = fit_table(raw, {"train": np.arange(100)})
    np.testing.assert_array_equal(found.x, x)
    assert found.suspicions[-1].startswith("column 'c': 'z' is not in the training rows")


def test_two_computed_numbers_that_were_scaled_otherwise_are_the_same_two():
    low, high = -1 / 3, 2 / 3
    schema = fit(table(c=[low, high, high] * 9))
    assert schema.variables[0].kind is Kind.BINARY
    new = [low + 0.01, high - 0.01, high + 1, (low + high) / 2]
    assert schema.encode(table(c=new)).T.tolist() == [[0, 1, IMPOSSIBLE, IMPOSSIBLE]]
    written = fit(table(c=["1.5", "2.5"] * 9))
    assert written.encode(table(c=["2.51"])).tolist() == [[IMPOSSIBLE]]


def test_what_is_kept_of_small_numbers_is_of_pythons_own_types():
    cells = [f"{1.0001**i * 1.3:.5f}" if i % 2 else f"{i}e-05" for i in range(300)]
    variable = fit(table(v=cells)).variables[0]
    numbers = [variable.resolution, *vars(variable.transform).values()]
    assert {type(number) for number in numbers} == {float}


def test_whole_numbers_never_negative_in_train_are_never_drawn_negative():
    schema = fit(table(n=[str(i % 30) for i in range(100)]))
    assert schema.columns[0].offset == 0
    assert schema.decode(np.array([[-3.0], [1e9]]))["n"].to_list() == ["0", "36"]
    real = fit(table(r=[f"{i % 30 + 0.5}" for i in range(100)]))
    assert real.decode(np.array([[-3.0], [1e9]]))["r"].to_list() == ["0.0", "36.8"]


def test_numbers_never_positive_in_train_are_never_drawn_positive():
    schema = fit(table(n=[str(-(i % 30)) for i in range(100)]))
    assert schema.decode(np.array([[-1e9], [1e9]]))["n"].to_list() == ["-36", "0"]
    real = fit(table(r=[f"{-(i % 30) - 0.5}" for i in range(100)]))
    assert real.decode(np.array([[-1e9], [3.0]]))["r"].to_list() == ["-36.8", "0.0"]


MINUS = ("-9999", "-9999.0", "-9999.00", "-9.999e3", "-9.999,00 €", "(9,999.00)")


@pytest.mark.parametrize("cell", MINUS)
@pytest.mark.parametrize("marker", MINUS[:3])
def test_what_stands_for_no_value_is_found_by_what_it_is_worth(cell, marker):
    usual = {"€": "{},5 €", ")": "{}.50"}.get(cell[-1], "{}.5")
    raw = table(
        x=[usual.format(i) for i in range(20)] + [cell] * 5, n=["a", "b", "c", "d", "e"] * 5
    )
    found = fit_table(raw, {"train": np.arange(25)}, missing_values=[marker])
    assert np.flatnonzero(np.isnan(found.values[0])).tolist() == [20, 21, 22, 23, 24]
    assert np.isnan(found.schema.encode(raw)[20:, 0]).all()
    assert found.suspicions == ()


def test_a_marker_that_stands_nowhere_is_said_and_codes_are_no_numbers():
    raw = table(x=[f"{i}.5" for i in range(20)], code=["007", "012", "008", "009"] * 5)
    found = fit_table(raw, {"train": np.arange(20)}, missing_values=["-9999", "7", "0.5"])
    none = "stands in none of the columns x, code"
    assert found.suspicions == tuple(
        f"dataset.missing_values: '{marker}' {none}" for marker in ("-9999", "7")
    )


@pytest.mark.parametrize(
    ("cells", "most"),
    [
        ([f"{i % 101}" for i in range(202)], "100"),  # per cent
        ([f"{i % 101}" for i in range(150)], "125"),  # 100 once, as by chance
        ([f"{i % 101}%" for i in range(202)], "100%"),
        ([f"{i % 101 / 2}" for i in range(202)], "62.5"),
        ([f"{i % 201 / 2}" for i in range(402)], "100.0"),
        ([f"{i % 201 / 2 - 0.5}" for i in range(402)] + ["100.0"] * 2, "125.1"),
        ([f"{i % 101 / 100:.2f}" for i in range(202)], "1.00"),
        ([f"{i % 101 / 10}" for i in range(202)], "10.0"),
        ([f"{i % 11}" for i in range(202)], "12"),  # as likely a count
    ],
)
def test_what_is_full_is_not_exceeded_by_draws(cells, most):
    assert fit(table(c=cells)).decode(np.array([[1e9]]))["c"].to_list() == [most]


def test_missing_cells_are_values_where_train_has_them():
    raw = table(a=["1.5", "", "2.5", "3.25"] * 5, b=["x", "y", "z", "x"] * 5)
    assert [v.may_be_missing for v in fit(raw, missing="model").variables] == [True, False]
    assert not any(v.may_be_missing for v in fit(raw).variables)


def test_a_few_decimals_can_be_masses_of_cells():
    raw = table(p=["40.6", "38.9", "35.0", "46.9"] * 5)
    schema = fit(raw, kinds={"p": "decimal"})
    assert schema.variables[0].kind is Kind.INTEGER
    assert schema.decode(schema.encode(raw))["p"].to_list() == raw.column("p").values.to_list()
    dressed = fit(table(p=[f"${n}.50" for n in range(50)]))
    with pytest.raises(ValueError, match=r"'5O' is not a number written as '\$#'"):
        dressed.encode(table(p=["5O"]))
    said = []
    between = schema.encode(table(p=["40.62"]), lambda *told: said.append(told[3]))
    assert np.array_equal(between, schema.encode(table(p=["40.6"])))
    assert said[0].startswith("not a number with 1 decimals: counted as the nearest")


@pytest.mark.parametrize("own", [["true", "false"], ["False", "True"], ["0", "1"], [True, False]])
def test_truth_values_are_known_in_any_dress(own):
    schema = fit(table(b=own * 5, n=range(10)))
    (column, _) = schema.modelled
    truths = {True, "True", "TRUE", "true", "1", "1.0"}
    for cells in ([True, False], ["TRUE", "FALSE"], ["true", "false"], [1, 0], ["1.0", "0"]):
        x = schema.encode(table(b=cells, n=[1, 2]))[:, 0]
        written = column.decode(x).to_list()
        assert [text in truths for text in written] == [True, False]
    said = []
    schema.encode(table(b=["yes", "no"], n=[1, 2]), lambda *told: said.append(told))
    assert len(said) == 1
    other = fit(table(b=["yes", "no"] * 5, n=range(10)))
    other.encode(table(b=[True, False], n=[1, 2]), lambda *told: said.append(told))
    assert len(said) == 2  # what else two words mean is not guessed


def test_decimals_are_written_with_all_their_digits():
    frame = pl.DataFrame(
        {"p": pl.Series([f"{n / 4:.2f}" for n in range(40)]).cast(pl.Decimal(9, 2))}
    )
    raw = RawTable.of_frame(frame, Origin(("t.parquet",)))
    fitted = fit_table(raw, {"train": np.arange(40)}, kinds={"p": "real"})
    assert fitted.schema.decode(fitted.x)["p"][:3].to_list() == ["0.00", "0.25", "0.50"]


def test_large_offsets_are_subtracted_exactly():
    cells = [str(2**60 + i) for i in RANDOM.randint(0, 10**6, 200)]
    raw = table(n=cells)
    schema = fit(raw)
    assert schema.decode(schema.encode(raw))["n"].to_list() == cells


@pytest.mark.parametrize("size", ["9e18", str(2**63 - 1), str(2**63), "1e19", "1e300", "9" * 50])
@pytest.mark.parametrize(("first", "sign"), [(0, ""), (0, "-"), (-(2**63), "")])
def test_new_whole_numbers_of_any_size_stay_outside_of_the_range(caplog, size, first, sign):
    schema = fit(table(n=[str(first + 2 * i) for i in range(100)]))
    num_values, offset = schema.variables[0].num_values, schema.columns[0].offset
    [[found]] = schema.encode(table(n=[sign + size]))
    whole = min(int(Decimal(size)), 2**100)
    assert found == pytest.approx((-whole if sign else whole) - offset, rel=1e-15)
    assert not 0 <= found < num_values
    assert "outside" in caplog.text
    assert "the less likely the farther" in caplog.text


@pytest.mark.parametrize("first", [-(2**63), 2**63 - 998, 2**63 - 5, 2**64 - 998, 2**70])
def test_whole_numbers_at_the_ends_of_their_types_are_counted_exactly(first):
    cells = [str(first + (i % 70) ** 2 % 997) for i in range(80)]
    dtype = whole_type(first, first + 997)
    for raw in (table(n=cells), table(n=pl.Series(cells).cast(dtype))):
        schema = fit(raw)
        assert schema.columns[0].kind == "integer"
        assert schema.decode(schema.encode(raw))["n"].to_list() == cells
        ends = np.array([[0.0], [schema.variables[0].num_values - 1.0]])
        drawn = typed(schema.columns, schema.decode(ends))
        assert drawn["n"].dtype == dtype
        assert np.array_equal(schema.encode(RawTable.of_frame(drawn, raw.origin)), ends)


def test_draws_of_long_numbers_that_are_real_fit_their_type():
    spread = pl.Series([2**64 - 1 - (i % 40) * 2**56 for i in range(80)], dtype=pl.UInt64)
    origin = Origin(("t.parquet",))
    schema = fit(RawTable.of_frame(spread.to_frame("n"), origin), kinds={"n": "real"})
    drawn = typed(schema.columns, schema.decode(np.array([[1e30]])))
    assert drawn["n"].to_list() == [2**64 - 2048]
    assert drawn["n"].dtype == pl.UInt64


def test_a_table_from_a_typed_file_scores_texts_and_the_other_way():
    typed = table(
        n=list(range(5, 35)),
        b=[True, False] * 15,
        d=[datetime.date(2024, 1, 1)] * 29 + [datetime.date(2024, 2, 1)],
    )
    texts = table(
        n=[str(i) for i in range(5, 35)],
        b=["True", "False"] * 15,
        d=["2024-01-01"] * 29 + ["2024-02-01"],
    )
    for one, other in ((typed, texts), (texts, typed)):
        schema = fit(one)
        np.testing.assert_array_equal(schema.encode(other), schema.encode(one))


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            {"a": ["1", "2", "x"]},
            {"kinds": {"a": "integer"}},
            "line 4, column 'a': 'x' is not a wh",
        ),
        ({"a": ["1", "2.5", "3"]}, {"kinds": {"a": "integer"}}, "'2.5' is not a whole number"),
        ({"a": ["1", "2", "3"]}, {"kinds": {"a": "binary"}}, "3 different values .* can have 2"),
        ({"a": ["x", "y", "z"]}, {"kinds": {"a": "real"}}, "'x' is not a number"),
        ({"a": ["1", "2", "3"]}, {"kinds": {"a": "date"}}, "'1' is not a date"),
        (
            {"a": ["2023-09-15", "15.10.2023"] * 3},
            {"kinds": {"a": "date"}},
            "'2023-09-15' is not a date that is known; nine in ten have to be written alike",
        ),
        ({"a": ["1", "2", "3"]}, {"kinds": {"aa": "real"}}, "no column 'aa'. Did you mean 'a'"),
        ({"a": ["x", "x", "x"]}, {}, r"no column is left to be modelled: 'a' \(constant\)"),
        ({"a": ["x", "y", "z"]}, {"drop": ["a"]}, "no column is left"),
        ({"a": [None, None, "1.5", "2.5", "3.5"]}, {"train": [0, 1]}, "no value in the training"),
    ],
)
def test_a_bad_table_is_named_with_line_and_column(columns, options, message):
    with pytest.raises(ValueError, match=message):
        fit(table(**columns), **options)


@pytest.mark.parametrize("content", [{}, {"columns": [{}], "delimiter": ","}, {"columns": 3}])
def test_what_is_no_schema_is_refused(content):
    with pytest.raises(ValueError, match="not the description of a table"):
        TableSchema.from_dict(content)


def test_labels_are_texts_without_points_of_whole_numbers():
    column = table(c=[" 3.0", "3", "NA", "", None]).columns[0]
    cells = Cells.of(column)
    assert as_labels(cells.known(["NA"])).to_list() == ["3", "3", None, None, None]
    assert making.MARGIN == 0.25
    assert Numbers.holds == "numbers"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"])), min_size=2, max_size=40))
def test_any_column_of_texts_comes_back(cells):
    raw = table(c=cells, k=["a", "b"] + ["c"] * (len(cells) - 2))
    schema = fit(raw, kinds={"c": "categorical"})
    if "c" not in [column.name for column in schema.modelled]:
        return
    texts = schema.decode(schema.encode(raw))["c"].fill_null("")
    assert [t.strip() for t in texts] == [t.strip() for t in cells]
