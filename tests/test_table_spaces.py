"""Texts that differ in the spaces around them: one value in text, and it is said; two if typed."""

import numpy as np
import polars as pl
import pytest

from made_exp import fit
from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import fit_table
from made_exp.datasets.table.spaces import counted_as_one, labels_of, own_texts
from made_exp.density.events import Events
from made_exp.density.predicate import parse_predicate
from made_exp.variables.subset import Subset

TINY = {"trainer": {"max_steps": 20, "device": "cpu"}, "model": {"hidden_sizes": [8]}}
COUNT = 120


def frame(*cells):
    repeated = [cells[n % len(cells)] for n in range(COUNT)]
    return pl.DataFrame({"c": repeated, "d": ["x", "y"] * (COUNT // 2)})


def of_text(*cells):
    origin = Origin(("t.csv",), find_line=lambda source, row: row + 2)
    return RawTable.of_frame(frame(*cells), origin, ",")


def fitted(raw, **options):
    return fit_table(raw, {"train": np.arange(COUNT)}, **options)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("A", "A ", "b"), "'A' and 'A ' are counted as one value (40 cells have such spaces)"),
        (("A", " A"), "' A' and 'A' are counted as one value (60 cells have such spaces)"),
        (
            ("A", "A ", "b", " b", "b "),
            "'A' and 'A ' are counted as one value (72 cells have such spaces; "
            "so are those of 1 more)",
        ),
    ],
)
def test_in_text_they_are_one_value_and_it_is_said(cells, said):
    doubts = [one for one in fitted(of_text(*cells)).suspicions if "counted as one" in one]
    assert doubts == [f"column 'c': {said}"]


@pytest.mark.parametrize("cells", [("A ", "b "), (" A", "b"), ("1", "1 ", "2"), ("NA", "NA ", "7")])
def test_spaces_that_tell_nothing_apart_are_not_said(cells):
    assert not [one for one in fitted(of_text(*cells)).suspicions if "counted as one" in one]
    schema = fitted(raw_table(frame(*cells))).schema
    assert all(name == name.strip() for name in schema.variables[0].categories or ())


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (("A", "A ", "b"), "categorical", "3: A, 'A ', b"),
        (("A", "A "), "binary", "2: A, 'A '"),
        ((" A", "A ", "A", "A"), "categorical", "3: ' A', A, 'A '"),
    ],
)
def test_where_texts_are_stored_they_are_several(cells, kind, values):
    table = fitted(raw_table(frame(*cells)))
    column = table.schema.columns[0]
    assert (column.kind, column.values) == (kind, values)
    assert set(column.spellings) == set(cells)
    back = table.schema.decode(table.x)["c"].to_list()
    assert back == frame(*cells)["c"].to_list()
    assert not [one for one in table.suspicions if "counted as one" in one]


def test_new_rows_are_matched_exactly_and_then_without_spaces():
    schema = fitted(raw_table(frame("A", "A ", "b"))).schema
    new = pl.DataFrame({"c": ["A", "A ", " A", "b "], "d": ["x"] * 4})
    for raw in (raw_table(new), RawTable.of_frame(new, Origin(("t.csv",), find_line=int), ",")):
        assert schema.encode(raw)[:, 0].tolist() == [0, 1, 0, 2]


def test_a_model_draws_and_keeps_both():
    rows = frame("A", "A ", "b")
    model = fit(rows, max_minutes=None, ordering="agnostic", **TINY)
    assert set(model.sample(300, seed=0)["c"]) == {"A", "A ", "b"}
    given = rows.with_columns(d=pl.lit(None, pl.String))
    assert model.complete(given, seed=0)["c"].to_list() == rows["c"].to_list()
    assert list(model.predict_proba(rows, "c").columns) == ["A", "A ", "b"]


def test_missing_texts_have_no_spaces_of_their_own():
    cells = Cells.of(raw_table(frame("A", "A ", "?", "? ", "", " ")).columns[0])
    assert own_texts(cells, ["?"]) == ("A ",)
    labels = labels_of(cells, ["?"], ["A ", "? "])
    assert labels.drop_nulls().unique().sort().to_list() == ["", "A", "A "]
    assert counted_as_one(cells, ["?"]) == []


def test_questions_tell_them_apart_as_the_table_does():
    schema = fitted(raw_table(frame("A", "A ", "b"))).schema
    codes = {name: n for n, name in enumerate(schema.variables[0].categories)}
    for name in ("A", "A ", "b", " b"):
        text = f"c = '{name}'"
        formula = Events(schema).formula(parse_predicate(text), text)
        code = codes.get(name, codes[name.strip()])
        assert formula.subset == Subset.of_codes([code])


VERSIONS = ("1", "1.0", "2", "2.0", "beta")


@pytest.mark.parametrize(
    ("raw", "options", "values"),
    [
        (of_text(*VERSIONS), {}, VERSIONS),
        (raw_table(frame(*VERSIONS)), {}, VERSIONS),
        (of_text("1", "1.0", "1.1"), {"kinds": {"c": "categorical"}}, ("1", "1.0", "1.1")),
        (raw_table(frame("1", "1.0")), {}, ("1", "1.0")),
        (of_text("1", "1.0", "2", "3"), {}, ("1", "2", "3")),
        (of_text("1.0", "2.0", "beta"), {}, ("1", "2", "beta")),
    ],
)
def test_points_tell_texts_apart_and_no_numbers(raw, options, values):
    fit = fitted(raw, **options)
    column = fit.schema.columns[0]
    assert sorted(column.variable.categories) == sorted(values)
    said = any("'1' and '1.0' are counted as one value" in one for one in fit.suspicions)
    assert said is (values == ("1", "2", "3"))
    texts = column.decode(column.encode(Cells.of(raw.columns[0]))).to_list()
    assert len(set(texts)) == len(values)
    if column.own:
        assert texts == raw.columns[0].values.to_list()


def test_a_point_of_new_rows_is_none_where_train_has_one_way_to_write():
    column = fitted(of_text("1", "2.0", "beta")).schema.columns[0]
    new = Cells.of(of_text("1.0", "2", " 2.0", "beta").columns[0])
    assert column.decode(column.encode(new)).to_list()[:4] == ["1", "2.0", "2.0", "beta"]
