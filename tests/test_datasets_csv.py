"""Tables in CSV files: kinds found, missing cells kept, errors with line and column, rows back."""

import csv
import json

import numpy as np
import pytest
import torch
from builders import encode_rows, load_dataset, write_rows

from made_exp.datasets.table.schema import TableSchema

RANDOM = np.random.RandomState(0)
HEADER = ["sex", "age", "income", "city", "rooms"]


def mixed_rows(count=60):
    """sex (binary), age (integer), income (real), city (categorical), rooms (few numbers)."""
    return [
        [
            "fm"[RANDOM.randint(2)],
            "" if i % 7 == 3 else str(18 + RANDOM.randint(60)),
            f"{RANDOM.normal(30000, 9000):.2f}",
            ["Rome", "Oslo", "Lyon, France", "NA"][i % 4],
            str(1 + i % 5),
        ]
        for i in range(count)
    ]


def write(tmp_path, rows, header=HEADER, delimiter=","):
    file = tmp_path / "table.csv"
    with open(file, "w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *rows])
    return file


def read(file, **options):
    return load_dataset("csv", seed=0, data_dir=file.parent, path=str(file), **options)


def schema_of(dataset):
    return TableSchema.from_dict(json.loads(json.dumps(dataset.schema)))


def test_kinds_are_found(tmp_path):
    dataset = read(write(tmp_path, mixed_rows()))
    kinds = [str(v.kind) for v in dataset.variables]
    assert kinds == ["binary", "integer", "real", "categorical", "categorical"]
    assert dataset.variables[3].categories == ("Lyon, France", "NA", "Oslo", "Rome")
    assert dataset.variables[4].categories == ("1", "2", "3", "4", "5")
    assert [v.name for v in dataset.variables] == HEADER
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [48, 6, 6]
    assert dataset.notices[0].startswith("column 'city': 'NA' (15 cells) is taken as a value")


def test_values_are_the_files_and_missing_cells_are_nan(tmp_path):
    rows = mixed_rows()
    dataset = read(write(tmp_path, rows), missing_values=["NA"])
    x = torch.cat([dataset.train, dataset.valid, dataset.test])
    assert x.dtype == torch.float64
    assert int(torch.isnan(x[:, 1]).sum()) == sum(row[1] == "" for row in rows)
    assert int(torch.isnan(x[:, 3]).sum()) == 15
    assert sorted(x[:, 2].tolist()) == sorted(float(row[2]) for row in rows)
    assert float(x[:, 1][~torch.isnan(x[:, 1])].min()) >= 0


def test_kind_can_be_given(tmp_path):
    kinds = {"rooms": "integer", "age": "real", "sex": "categorical", "income": "decimal"}
    dataset = read(write(tmp_path, mixed_rows()), kinds=kinds)
    assert [str(v.kind) for v in dataset.variables] == [
        "categorical",
        "real",
        "integer",
        "categorical",
        "integer",
    ]


def test_missing_cells_can_be_values(tmp_path):
    dataset = read(write(tmp_path, mixed_rows()), missing="model")
    assert [v.may_be_missing for v in dataset.variables] == [False, True, False, False, False]


def test_rows_come_back_as_they_were(tmp_path):
    file = write(tmp_path, mixed_rows())
    dataset = read(file)
    schema = schema_of(dataset)
    assert schema.variables == dataset.variables
    encoded = encode_rows(file, schema)
    assert encoded.dtype == torch.float64
    write_rows(tmp_path / "back.csv", schema, encoded)
    with open(file, newline="") as before, open(tmp_path / "back.csv", newline="") as after:
        assert list(csv.reader(before)) == list(csv.reader(after))


def test_columns_of_new_rows_may_stand_in_any_order(tmp_path):
    file = write(tmp_path, mixed_rows())
    schema = schema_of(read(file))
    expected = encode_rows(file, schema)
    with open(file, newline="") as stream:
        turned = [row[::-1] for row in csv.reader(stream)]
    other = write(tmp_path, turned[1:], header=turned[0])
    assert torch.equal(encode_rows(other, schema).nan_to_num(-1), expected.nan_to_num(-1))


def test_columns_that_were_left_out_may_come_again(tmp_path):
    file = write(tmp_path, mixed_rows())
    schema = schema_of(read(file, drop=["city"]))
    assert schema.names == ("sex", "age", "income", "rooms")
    assert encode_rows(file, schema).shape == (60, 4)


def test_tab_and_semicolon(tmp_path):
    for delimiter in ("\t", ";"):
        dataset = read(write(tmp_path, mixed_rows(), delimiter=delimiter))
        assert dataset.num_dims == 5
        assert schema_of(dataset).delimiter == delimiter


def lines(*rows):
    return "\n".join(rows) + "\n"


GOOD = [f"{i % 3},{i / 7:.3f}" for i in range(30)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (lines("a,b", *GOOD, "1,x"), {}, "line 32, column 'b': 'x' is not a number, as nearly"),
        (lines("a,b", *GOOD, "1,inf"), {"kinds": {"b": "real"}}, "line 32, column 'b': 'inf'"),
        (lines("a,b", *GOOD), {"kinds": {"b": "integer"}}, "column 'b': '0.143' is not a whole"),
        (lines("a,b", *GOOD), {"kinds": {"a": "binary"}}, "3 different values .* can have 2"),
        (lines("a,b", *GOOD), {"kinds": {"aa": "real"}}, "no column 'aa'. Did you mean 'a'"),
        (lines("a,b", *GOOD), {"kinds": {"a": "text"}}, "kinds.a: 'text' is not one of binary"),
        (lines("a,b", *(["1,x"] * 30)), {}, r"no column is left to be modelled: 'a' \(constant\)"),
        (lines("a,b", *GOOD[:2]), {}, r"too few rows \(2\) for the splits"),
    ],
)
def test_bad_table_is_named_with_line_and_column(tmp_path, text, options, message):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "table.csv", **options)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["f", "old", "1.0", "Rome", "1"], "line 2, column 'age': 'old' is not a number"),
        (["f", "30", "much", "Rome", "1"], "line 2, column 'income': 'much' is not a number"),
    ],
)
def test_new_rows_must_fit_the_table(tmp_path, row, message):
    schema = schema_of(read(write(tmp_path, mixed_rows())))
    with pytest.raises(ValueError, match=message):
        encode_rows(write(tmp_path, [row]), schema)


def test_new_rows_with_unseen_values_are_taken_and_said(tmp_path, caplog):
    schema = schema_of(read(write(tmp_path, mixed_rows())))
    x = encode_rows(write(tmp_path, [["x", "900", "1.0", "Graz", "1"]]), schema)
    assert x[0, [0, 1, 3]].tolist() == [-1, 900 - schema.columns[1].offset, 4]
    assert x[0, 1] >= schema.variables[1].num_values
    assert "line 2, column 'sex': 'x' is not in the training rows" in caplog.text
    assert "line 2, column 'age': '900' is outside" in caplog.text


def test_new_rows_may_have_the_column_of_splits(tmp_path):
    rows = [[*row, ("train", "valid", "test")[i % 3]] for i, row in enumerate(mixed_rows())]
    file = write(tmp_path, rows, [*HEADER, "part"])
    schema = schema_of(read(file, split_column="part"))
    assert encode_rows(file, schema).shape == (60, 5)
