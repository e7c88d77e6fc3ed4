"""CSV tables: kinds inferred, missing cells kept, errors with line and column, rows back."""

import json

import numpy as np
import pytest
import torch
from builders import load_dataset

from made_exp.datasets.csv import encode_rows, write_rows
from made_exp.datasets.inference import infer_column, standardised
from made_exp.datasets.schema import Cells, TableSchema
from made_exp.variables.variable import Kind

RANDOM = np.random.RandomState(0)


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


HEADER = ["sex", "age", "income", "city", "rooms"]


def write(tmp_path, rows, header=HEADER, delimiter=","):
    import csv

    file = tmp_path / "table.csv"
    with open(file, "w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *rows])
    return file


def read(file, **options):
    return load_dataset("csv", seed=0, data_dir=file.parent, path=str(file), **options)


def column(*texts, kind=None):
    lines = list(range(2, 2 + len(texts)))
    return infer_column(Cells("c", texts, lines, "t.csv"), kind)


def test_kinds_are_inferred(tmp_path):
    dataset = read(write(tmp_path, mixed_rows()))
    kinds = [str(v.kind) for v in dataset.variables]
    assert kinds == ["binary", "integer", "real", "categorical", "categorical"]
    assert dataset.variables[3].categories == ("Lyon, France", "Oslo", "Rome")
    assert dataset.variables[4].categories == ("1", "2", "3", "4", "5")
    assert [v.name for v in dataset.variables] == HEADER
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [48, 6, 6]


def test_values_are_the_files_and_missing_cells_are_nan(tmp_path):
    rows = mixed_rows()
    dataset = read(write(tmp_path, rows))
    x = torch.cat([dataset.train, dataset.valid, dataset.test])
    assert x.dtype == torch.float64
    assert int(torch.isnan(x[:, 1]).sum()) == sum(row[1] == "" for row in rows)
    assert int(torch.isnan(x[:, 3]).sum()) == 15
    incomes = sorted(np.float32(row[2]) for row in rows)
    assert sorted(x[:, 2].tolist()) == [float(value) for value in incomes]
    assert float(x[:, 1][~torch.isnan(x[:, 1])].min()) == 0


def test_real_columns_are_standardised_by_the_known_training_values(tmp_path):
    rows = [[f"{value:.3f}" if i % 5 else "?"] for i, value in enumerate(RANDOM.randn(50))]
    dataset = read(write(tmp_path, rows, header=["v"]))
    known = dataset.train[~torch.isnan(dataset.train)].double()
    assert dataset.variables[0].transform.shift == pytest.approx(float(known.mean()))
    assert dataset.variables[0].transform.scale == pytest.approx(float(known.std(correction=0)))


@pytest.mark.parametrize(
    ("texts", "kind", "num_values"),
    [
        (["yes", "no", "yes"], Kind.BINARY, 2),
        (["0", "1", ""], Kind.BINARY, 2),
        (["True", "False"], Kind.BINARY, 2),
        (["1.5", "2.5"], Kind.BINARY, 2),
        (["1", "2", "3"], Kind.CATEGORICAL, 3),
        (["1.0", "2", "3."], Kind.CATEGORICAL, 3),
        (["a", "b", "c", "nan", "N/A", "null"], Kind.CATEGORICAL, 3),
        ([str(i) for i in range(-5, 20)], Kind.INTEGER, 25),
        ([f"{i}.0" for i in range(20)], Kind.INTEGER, 20),
        ([str(i * 10**8) for i in range(20)], Kind.REAL, None),
        (["1e-3", "2", ".5"], Kind.REAL, None),
        (["007", "008", "012"], Kind.CATEGORICAL, 3),
    ],
)
def test_column_kind(texts, kind, num_values):
    variable = column(*texts).variable
    assert (variable.kind, variable.num_values) == (kind, num_values)


def test_number_categories_are_in_the_order_of_numbers():
    assert column("10", "9", "-1").variable.categories == ("-1", "9", "10")


def test_kind_can_be_given(tmp_path):
    file = write(tmp_path, mixed_rows())
    kinds = {"rooms": "integer", "age": "real", "sex": "categorical"}
    dataset = read(file, kinds=kinds)
    assert [str(v.kind) for v in dataset.variables] == [
        "categorical",
        "real",
        "real",
        "categorical",
        "integer",
    ]
    assert dataset.variables[4].num_values == 5


def test_splits_depend_on_the_seed_only(tmp_path):
    file = write(tmp_path, mixed_rows())
    one, two = read(file), read(file)
    other = load_dataset("csv", seed=1, data_dir=tmp_path, path=str(file))
    assert torch.equal(one.test.nan_to_num(-1), two.test.nan_to_num(-1))
    assert not torch.equal(one.test.nan_to_num(-1), other.test.nan_to_num(-1))
    half = read(file, valid_fraction=0.25, test_fraction=0.5)
    assert [len(half.train), len(half.valid), len(half.test)] == [15, 15, 30]


def test_schema_goes_through_json_and_rows_come_back(tmp_path):
    rows = mixed_rows()
    file = write(tmp_path, rows)
    dataset = read(file)
    schema = TableSchema.from_dict(json.loads(json.dumps(dataset.schema)))
    assert schema.variables == dataset.variables
    encoded = encode_rows(file, schema)
    assert encoded.dtype == torch.float64
    write_rows(tmp_path / "back.csv", schema, encoded)
    again = encode_rows(tmp_path / "back.csv", schema)
    assert torch.equal(encoded.nan_to_num(-1), again.nan_to_num(-1))
    given = [[("" if t == "NA" else t) for t in row] for row in rows]
    assert schema.decode(encoded.numpy()) == given


def test_columns_of_new_rows_may_stand_in_any_order(tmp_path):
    file = write(tmp_path, mixed_rows())
    schema = TableSchema.from_dict(read(file).schema)
    expected = encode_rows(file, schema)
    lines = [line.split(";") for line in file.read_text().replace(", ", "_").splitlines()]
    assert len(lines) == 61
    import csv

    with open(file, newline="") as stream:
        turned = [row[::-1] for row in csv.reader(stream)]
    other = write(tmp_path, turned[1:], header=turned[0])
    assert torch.equal(encode_rows(other, schema).nan_to_num(-1), expected.nan_to_num(-1))


def test_samples_are_written_as_the_table_writes_them(tmp_path):
    schema = TableSchema.from_dict(read(write(tmp_path, mixed_rows())).schema)
    offset = schema.columns[1].offset
    x = torch.tensor([[1, 3, 123.4567, 0, 4], [0, 9999, -1.0, float("nan"), 0]])
    assert schema.decode(x.numpy()) == [
        ["m", str(offset + 3), "123.46", "Lyon, France", "5"],
        ["f", str(offset + schema.variables[1].num_values - 1), "-1.00", "", "1"],
    ]


def test_tab_semicolon_bom_and_blank_lines(tmp_path):
    for given, delimiter in (("\\t", "\t"), (";", ";")):
        dataset = read(write(tmp_path, mixed_rows(), delimiter=delimiter), delimiter=given)
        assert dataset.num_dims == 5
        assert TableSchema.from_dict(dataset.schema).delimiter == delimiter
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n\r\n" + b"1,x\r\n2,y\r\n\n3,z\r\n" * 5)
    assert [v.name for v in read(tmp_path / "bom.csv").variables] == ["a", "b"]


def lines(*rows):
    return "\n".join(rows) + "\n"


GOOD = [f"{i % 3},{i / 7:.3f}" for i in range(30)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "is empty; a line of column names"),
        ("a,b\n", {}, "a header but no rows"),
        (lines("a,b", *GOOD, "1,2,3"), {}, "line 32 has 3 fields, the header has 2"),
        (lines("a,b", "1", *GOOD), {}, "line 2 has 1 fields"),
        (lines("a,b", *(f"1,{i}" for i in range(30))), {}, r"column 'a' .* is constant \('1'\)"),
        (lines("a,b", *(f",{i}" for i in range(30))), {}, "column 'a' .* has no value at all"),
        (lines("a,b", *GOOD, "1,x"), {}, "line 32, column 'b': 'x' is not a number, as nearly"),
        (lines("a,b", *GOOD, "1,inf"), {"kinds": {"b": "real"}}, "line 32, column 'b': 'inf'"),
        (lines("a,b", *GOOD, "1,1e99"), {}, "line 32, column 'b': '1e99' is too large"),
        (lines("a,b", *GOOD), {"kinds": {"b": "integer"}}, "column 'b': '0.143' is not a whole"),
        (lines("a,b", *GOOD), {"kinds": {"a": "binary"}}, "3 different values .* can have 2"),
        (lines("a,b", *GOOD), {"kinds": {"aa": "real"}}, "no column 'aa'. Did you mean 'a'"),
        (lines("a,b", *GOOD), {"kinds": {"a": "text"}}, "kinds.a: 'text' is not one of binary"),
        (lines("a;b", *GOOD), {"delimiter": ";"}, "line 2 has 1 fields"),
        (lines("a;b", "1;2"), {"delimiter": ","}, "did you mean dataset.delimiter=';'"),
        (lines("a,b", *GOOD), {"delimiter": ",,"}, "delimiter must be one character"),
        (lines("a,b", *GOOD), {"valid_fraction": 0}, "valid_fraction must be above 0 and below 1"),
        (
            lines("a,b", *GOOD),
            {"test_fraction": 0.95},
            "test_fraction must be below 1",
        ),
        (lines("a,b", *GOOD[:2]), {}, "2 rows are too few for the splits"),
        (lines("a,b", *(f"u{i}x,{i}" for i in range(1001))), {}, "1001 different values"),
        (
            lines("a,b", *(f"{i * 10**7},{i}" for i in range(30))),
            {"kinds": {"a": "integer"}},
            "spans",
        ),
        (lines("a,b", '1,"2'), {}, "line"),
    ],
)
def test_bad_table_is_named_with_line_and_column(tmp_path, text, options, message):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "table.csv", **options)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ([np.nan, np.nan], "has no value in"),
        ([2.5, np.nan], "is constant in"),
        ([1e8, 1e8 + 1], "is"),
    ],
)
def test_real_column_that_training_values_cannot_standardise_is_named(train, message):
    real = column("1.5", "2.5", "3.5", kind="real")
    with pytest.raises(ValueError, match=f"column 'c' of t.csv {message}.*training split"):
        standardised(real, np.array(train), "t.csv")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["x", "30", "1.0", "Rome", "1"], "line 2, column 'sex': 'x' is not a known category"),
        (["f", "900", "1.0", "Rome", "1"], r"column 'age': '900' is outside \d+\.\.\d+"),
        (["f", "30.5", "1.0", "Rome", "1"], "column 'age': '30.5' is not a whole number"),
        (["f", "30", "much", "Rome", "1"], "column 'income': 'much' is not a number"),
    ],
)
def test_new_rows_must_fit_the_table(tmp_path, row, message):
    schema = TableSchema.from_dict(read(write(tmp_path, mixed_rows())).schema)
    with pytest.raises(ValueError, match=message):
        encode_rows(write(tmp_path, [row]), schema)


def test_new_rows_must_have_the_tables_columns(tmp_path):
    schema = TableSchema.from_dict(read(write(tmp_path, mixed_rows())).schema)
    rows = mixed_rows(5)
    with pytest.raises(ValueError, match="no column 'rooms'"):
        encode_rows(write(tmp_path, [r[:4] for r in rows], HEADER[:4]), schema)
    with pytest.raises(ValueError, match="unknown column 'extra'"):
        encode_rows(write(tmp_path, [[*r, "1"] for r in rows], [*HEADER, "extra"]), schema)


@pytest.mark.parametrize("content", [{}, {"columns": [{}], "delimiter": ","}, {"columns": 3}])
def test_what_is_no_schema_is_refused(content):
    with pytest.raises(ValueError, match="not the description of a table"):
        TableSchema.from_dict(content)


def test_not_text_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="line 2, byte 1: 0xff is not UTF-8 text"):
        read(tmp_path / "t.csv")
