"""Files of valid and test are read by what train says; files of one table say if they differ."""

import logging

import numpy as np
import polars as pl
import pytest
from builders import load_dataset

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.column import Column
from made_exp.datasets.table.later import with_later
from made_exp.datasets.table.parts import written_apart
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import TableSchema

AGES = [f"{n % 50 + 20}" for n in range(200)]
INCOMES = [f"{n * 7 % 117 / 2 + 10:g}" for n in range(200)]
TOWNS = ["Oslo", "Rome"] * 100


def write(path, ages=AGES, incomes=INCOMES, towns=TOWNS, sep=","):
    frame = pl.DataFrame({"age": ages, "inc": incomes, "town": towns})
    frame.write_csv(path, separator=sep)


def load(folder, **options):
    return load_dataset("csv", seed=0, data_dir=folder, **options)


@pytest.fixture(params=[False, True], ids=["here", "streaming"])
def streaming(request):
    return request.param


def test_a_test_file_with_decimal_commas_is_refused_with_its_line(tmp_path, streaming):
    write(tmp_path / "train.csv")
    write(tmp_path / "test.csv", incomes=[one.replace(".", ",") for one in INCOMES], sep=";")
    with pytest.raises(ValueError, match=r"test.csv, line 3, column 'inc': '13,5' is not a number"):
        load(tmp_path, path="train.csv", test_path="test.csv", streaming=streaming)


def test_columns_are_what_train_holds(tmp_path, streaming):
    write(tmp_path / "train.csv")
    alone = load(tmp_path, path="train.csv", test_fraction=0, streaming=streaming)
    write(tmp_path / "test.csv", ages=["30.5", *AGES[1:199], ""], towns=["Bonn", *TOWNS[1:]])
    both = load(tmp_path, path="train.csv", test_path="test.csv", streaming=streaming)
    assert both.variables == alone.variables
    assert str(both.variables[0].kind) == "integer"
    assert both.test[0, 0] == both.test[10, 0]
    assert both.test[199, 0].isnan()
    assert TableSchema.from_dict(both.schema).columns[0].num_missing == 1
    said = " ".join(both.notices)
    assert "test.csv, line 2, column 'age': '30.5' is not a whole number: counted as the" in said
    assert "test.csv, line 2, column 'town': 'Bonn' is not in the training rows" in said


def test_a_constant_of_train_may_be_none_of_test(tmp_path):
    write(tmp_path / "train.csv", towns=["Oslo"] * 200)
    write(tmp_path / "test.csv")
    notices = load(tmp_path, path="train.csv", test_path="test.csv").notices
    said = "column 'town': 'Rome' and 99 more cells are not the only value of train: set aside"
    assert any(said in one for one in notices)


def test_what_stands_for_no_value_may_stand_in_test_alone(tmp_path, caplog):
    write(tmp_path / "train.csv")
    write(tmp_path / "test.csv", ages=["-9", *AGES[1:]])
    dataset = load(tmp_path, path="train.csv", test_path="test.csv", missing_values=["-9", "-8"])
    assert dataset.test[0, 0].isnan()
    said = [one for one in dataset.notices if "stands in none" in one]
    assert len(said) == 1
    assert "'-8'" in said[0]
    assert not [r for r in caplog.records if r.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([one.replace(".", ",") for one in INCOMES], "writes '13,5' where"),
        ([f"{n % 28 + 1}.5.2020" for n in range(200)], "writes '1.5.2020' where"),
    ],
)
def test_a_part_that_writes_a_column_otherwise_is_named(tmp_path, streaming, others, said):
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts" / "a.csv")
    write(tmp_path / "parts" / "b.csv", sep=";")
    write(tmp_path / "parts" / "c.csv", incomes=others, sep=";")
    notices = load(tmp_path, path="parts", streaming=streaming).notices
    (found,) = [one for one in notices if "'inc': read" in one]
    assert "c.csv " + said in found
    assert "a.csv writes '13.5'" in found


def test_parts_that_are_written_alike_are_not_named():
    texts = pl.DataFrame({"t": [f"{n} Main St" for n in range(40)]})
    origin = Origin(("a", "b"), (0, 20))
    cells = Cells.of(RawTable.of_frame(texts, origin, ",").columns[0])
    schema = TableSchema.fit(
        RawTable.of_frame(texts.with_columns(n=pl.int_range(40) % 2), origin, ","), np.arange(40)
    )
    column: Column = schema.columns[0]
    assert written_apart(cells, column) == []
    assert with_later(column, None, cells.raw, []) == (column, None)
