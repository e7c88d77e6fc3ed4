"""Splits as people have them: fractions, folds, files of their own, a column that names them."""

import numpy as np
import polars as pl
import pytest
from builders import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.datasets.table.choosing import Chosen
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.splits import SplitChoice, rows_by_column, rows_of_files, share_out
from made_exp.datasets.tables import split_rows
from made_exp.settings.dataset import TableSettings

SETTINGS = settings(max_examples=50, deadline=None)


def shared(num_rows, **options):
    choice = SplitChoice(**{"valid_fraction": 0.1, "test_fraction": 0.1} | options)
    return share_out({"train": np.arange(num_rows)}, choice, "t.csv")


def write(folder, name, rows, header="a,b"):
    (folder / name).write_text("\n".join([header, *rows]) + "\n")


def load(folder, **options):
    return load_dataset("table", seed=0, data_dir=folder, **options)


ROWS = [f"{i * i % 17},{i % 3}.5" for i in range(40)]


@SETTINGS
@given(
    num_rows=st.integers(20, 300),
    valid=st.floats(0.01, 0.45),
    test=st.sampled_from([0.0, 0.1, 0.45]),
    folds=st.sampled_from([0, 2, 5]),
    seed=st.integers(0, 9),
)
def test_every_row_is_in_one_split(num_rows, valid, test, folds, seed):
    rows = shared(num_rows, valid_fraction=valid, test_fraction=test, folds=folds, seed=seed)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(num_rows))
    assert all((np.diff(numbers) > 0).all() for numbers in rows.values())
    assert ("test" in rows) == bool(test or folds)
    num_left = num_rows - (len(rows["test"]) if folds else 0)
    assert len(rows["valid"]) == max(1, round(valid * num_left))


def test_fractions_cut_as_they_always_did():
    expected = split_rows(97, {"valid": 0.2, "test": 0.1}, seed=3)
    rows = shared(97, valid_fraction=0.2, seed=3)
    assert all(np.array_equal(rows[split], expected[split]) for split in expected)


@SETTINGS
@given(num_rows=st.integers(10, 200), folds=st.integers(2, 10))
def test_folds_test_every_row_once_and_are_of_equal_size(num_rows, folds):
    tests = [shared(num_rows, folds=folds, fold=fold)["test"] for fold in range(folds)]
    assert sorted(np.concatenate(tests)) == list(range(num_rows))
    sizes = [len(test) for test in tests]
    assert max(sizes) - min(sizes) <= 1


def test_too_few_rows_are_said():
    with pytest.raises(ValueError, match=r"t\.csv: too few rows \(2\) for the splits train, valid"):
        shared(2)
    with pytest.raises(ValueError, match=r"too few rows \(3\) for 4 folds"):
        shared(3, folds=4)
    rows = shared(30, valid_fraction=0.0)
    assert len(rows["test"]) == len(rows["valid"]) == 3
    assert {*rows["valid"]} < {*rows["train"]} == {*range(30)} - {*rows["test"]}
    kept = shared(30)
    assert {*kept["train"]} == {*rows["train"]} - {*rows["valid"]}


def test_rows_for_validation_may_all_come_from_elsewhere(tmp_path):
    write(tmp_path, "t.csv", ROWS)
    options = {"valid_path": "t.csv", "valid_fraction": 0, "test_fraction": 0}
    dataset = load(tmp_path, path="t.csv", **options)
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [40, 40, 0]


def table_of(words):
    return RawTable.of_frame(pl.DataFrame({"x": range(len(words)), "part": words}), Origin(("t",)))


def test_a_column_names_the_splits_in_the_words_that_people_use():
    words = ["train", " Validation", "TEST", "Train", "dev", "val", "training"]
    rows = rows_by_column(table_of(words), "part")
    assert {split: numbers.tolist() for split, numbers in rows.items()} == {
        "train": [0, 3, 6],
        "valid": [1, 4, 5],
        "test": [2],
    }
    with pytest.raises(ValueError, match=r"t, row 1, column 'part': 'tst' is no split"):
        rows_by_column(table_of(["train", "tst"]), "part")
    with pytest.raises(ValueError, match=r"row 0, column 'part': '' is no split"):
        rows_by_column(table_of([None, "train"]), "part")
    with pytest.raises(ValueError, match="says train of no row"):
        rows_by_column(table_of(["test", "test"]), "part")
    with pytest.raises(ValueError, match=r"split_column: t has no column 'prt'. Did you .*'part'"):
        rows_by_column(table_of(["train"]), "prt")


def test_rows_of_files_follow_one_another():
    raw = RawTable.of_frame(pl.DataFrame({"x": range(7)}), Origin(("a", "b", "c"), (0, 3, 4)))
    rows = rows_of_files(raw, {"train": 2, "valid": 0, "test": 1})
    assert {s: n.tolist() for s, n in rows.items()} == {"train": [0, 1, 2, 3], "test": [4, 5, 6]}


def test_a_split_that_is_given_is_not_cut_from_train(tmp_path):
    write(tmp_path, "t.csv", ROWS)
    write(tmp_path, "v.csv", ["0.5,1", "1.5,2"], header="b,a")
    dataset = load(tmp_path, path="t.csv", valid_path="v.csv", kinds={"a": "integer"})
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [36, 2, 4]
    assert sorted(dataset.valid[:, 0].tolist()) == [1, 2]
    dataset = load(tmp_path, path="t.csv", valid_path="v.csv", test_path="t.csv")
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [40, 2, 40]
    dataset = load(tmp_path, path=["t.csv", "v.csv"], test_fraction=0)
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [38, 4, 0]
    assert not dataset.has_test
    assert dataset.scored == "valid"


def test_the_column_of_splits_is_not_modelled(tmp_path):
    words = ["train", "test", "val", "train"]
    rows = [f"{row},{words[i % 4]}" for i, row in enumerate(ROWS)]
    write(tmp_path, "t.csv", rows, header="a,b,split")
    dataset = load(tmp_path, path="t.csv", split_column="split")
    assert [variable.name for variable in dataset.variables] == ["a", "b"]
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [20, 10, 10]
    assert dataset.scored == "test"


def test_columns_are_chosen_and_dropped(tmp_path):
    write(tmp_path, "t.csv", [f"{row},x" for row in ROWS], header="a,b,constant")
    dataset = load(tmp_path, path="t.csv", drop=["constant"])
    assert [variable.name for variable in dataset.variables] == ["a", "b"]
    dataset = load(tmp_path, path="t.csv", columns=["b", "a"])
    assert [variable.name for variable in dataset.variables] == ["b", "a"]
    with pytest.raises(ValueError, match=r"dataset.drop: .*t.csv has no column 'aa'. Did you mean"):
        load(tmp_path, path="t.csv", drop=["aa"])


def test_of_a_header_the_chosen_ones_are_read_or_all_where_that_leaves_none():
    assert Chosen(["c", "a"], ["a"], ["b"]).among("abcd") == ["b", "c"]
    assert Chosen(drop=["a"], besides=["b"]).among("ab") == ["a", "b"]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("chosen", [{"drop": ["town", "age"]}, {"columns": ["a", "b"]}])
def test_a_column_that_is_left_out_need_not_stand_in_every_file(tmp_path, chosen, streaming):
    write(tmp_path, "t.csv", [f"x,{row}" for row in ROWS], header="town,a,b")
    write(tmp_path, "test.csv", [f"{row},1" for row in ROWS], header="a,b,age")
    files = {"path": "t.csv", "test_path": "test.csv", "streaming": streaming}
    dataset = load(tmp_path, **files, **chosen)
    assert [variable.name for variable in dataset.variables] == ["a", "b"]
    assert dataset.schema["ignored"] == ["town", "age"]
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (36, 4, 40)
    with pytest.raises(ValueError, match=r"dataset.drop: .* has no column 'towns'. Did you mean"):
        load(tmp_path, **files, drop=["towns", "age", "town"])
    with pytest.raises(ValueError, match=r"t.csv: no column is left"):
        load(tmp_path, path="t.csv", drop=["town", "a", "b"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"valid_fraction": 0.6, "test_fraction": 0.4}, "must be below 1, got 1.0"),
        ({"valid_fraction": -0.1}, "valid_fraction must be at least 0 and below 1"),
        ({"test_fraction": 1}, "test_fraction must be at least 0 and below 1"),
        ({"split_column": "s", "test_path": "t"}, "split_column and test_path both say"),
        ({"folds": 5, "test_path": "t"}, "folds and test_path both say"),
        ({"folds": 5, "split_column": "s"}, "folds and split_column both say"),
        ({"folds": 5, "fold": 5}, "got fold=5, folds=5"),
        ({"folds": 1}, "folds at least 2, got fold=0, folds=1"),
        ({"fold": 2}, "fold=2 needs folds=K"),
        ({"path": 3}, "path must be a file, a folder, a pattern or a list of such, got 3"),
        ({"path": []}, "path must be a file"),
        ({"valid_path": [1]}, "valid_path must be a file"),
        ({"encoding": "cp1253x"}, "encoding: 'cp1253x' is not known; utf-8, cp1252"),
        ({"delimiter": "ab"}, "delimiter must be one character or auto, got 'ab'"),
        ({"kinds": {"a": "int"}}, r"kinds.a: 'int' is not one of .*Did you mean 'integer'"),
        ({"missing": "drop"}, "missing: 'drop' is not one of ignore, model"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TableSettings(**{"path": "t.csv"} | options)
