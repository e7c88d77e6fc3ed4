"""What is said of a table: what was understood, and what may not be what its owner thinks."""

import re

import numpy as np
import polars as pl
import pytest

from made_exp.datasets.table import suspicions
from made_exp.datasets.table.describe import as_table, describe_column
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import fit_table

RANDOM = np.random.RandomState(0)
NUMBERS = [f"{v:.3f}" for v in RANDOM.randn(300)]
OTHER = {"k": ["a", "b", "c"] * 100}


def fitted(splits=None, kinds=None, **columns):
    raw = RawTable.of_frame(pl.DataFrame(columns), Origin(("t.csv",)), ",")
    return fit_table(raw, splits or {"train": np.arange(len(raw))}, kinds=kinds)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"v": ["-9999" if i % 10 == 0 else t for i, t in enumerate(NUMBERS)]}, "'-9999' is far"),
        ({"v": ["999" if i % 10 == 0 else str(20 + i % 50) for i in range(300)]}, "'999' is far"),
        ({"v": ["999.99" if i % 10 == 0 else f"{20 + i % 50}.{i % 90 + 10}" for i in range(300)]},
         "'999.99' is far"),
        ({"v": ["-999" if i % 50 == 0 else str(i % 9) for i in range(300)]}, "'-999' is far"),
        ({"v": ["-1" if i % 9 == 0 else str(20 + i % 8) for i in range(300)]}, "'-1' is far"),
        ({"pay": ["-1" if i % 9 == 0 else str(20000 + 7 * i) for i in range(300)]}, "'-1' is far"),
        ({"d": ["9999-12-31" if i % 3 == 0 else f"2019-{i % 12 + 1:02d}-{i % 28 + 1:02d}"
                for i in range(300)]}, "'9999-12-31' is far"),
        ({"d": ["01.01.1900" if i % 3 == 0 else f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2019"
                for i in range(300)]}, "'01.01.1900' is far"),
        ({"m": [f"{2010 + i % 9}{i % 12 + 1:02d}" for i in range(300)]},
         "look like dates; then 'dataset.kinds={m: date}'"),
        ({"d": [f"{i % 28 + 1}. März {2000 + i % 20}" for i in range(300)]}, "look like numb"),
        ({"d": [f"May {i % 28 + 1}th, {2000 + i % 20}" for i in range(300)]},
         "look like numbers or dates, but of no one way: read as texts"),
        ({"w": [f"{2000 + i % 20}-W{i % 52 + 1:02d}" for i in range(300)]}, "look like numb"),
        ({"iso": ["NA", "ZA", "BW"] * 100}, r"'NA' \(100 cells\) is taken as a value"),
        ({"iso": ["NA", "None", "BW"] * 100}, r"'NA', 'None' .* are .*\[\"NA\", \"None\"\]"),
        ({"v": ["unknown"] * 5 + NUMBERS[5:]}, r"'unknown' \(5 cells\) among numbers is taken as"),
        ({"when": ["01/02/2023", "03/04/2021", "05/06/2020"] * 100}, "day and month could be"),
        (
            {"when": ["2023-02-01 10:05", "2023-03-17"] * 150},
            r"150 cells such as '2023-03-17' are coarser than the others: "
            r"taken as '2023-03-17 00:00'; draws are such, too",
        ),
        (
            {"when": [f"2023-{1 + i % 12:02d}-{1 + i % 28:02d}"
                      + f" {i % 24:02d}:{i % 60:02d}" * (i > 1) for i in range(300)]},
            "2 cells such as '2023-01-01' are coarser .*; draws seldom are such",
        ),
        ({"day": [f"2024010{1 + i % 9}" for i in range(270)] + ["20240215", "20240216"] * 15},
         "look like dates; then 'dataset.kinds={day: date}'"),
        ({"id": [f"u{i}" for i in range(300)]}, r"set aside, not modelled: 'id' \(identifier\)"),
        ({"one": ["x"] * 300}, r"'one' \(constant\)"),
        ({"none": [None] * 300}, r"'none' \(empty\)"),
        ({"3.5": NUMBERS}, "column '3.5' is called what is a value"),
        ({"yes": ["yes", "no"] * 150}, "column 'yes' is called what is a value"),
        ({"code": [str(i % 200) for i in range(299)] + ["17a"]}, "'17a' is a code: texts"),
        ({"code": [f"{i % 70}" if i % 9 else f"x{i % 40}y" for i in range(300)]},
         "look like numbers"),
        ({"v": ["refused" if i % 5 == 0 else t for i, t in enumerate(NUMBERS)]},
         "'refused' does not: read as texts; if it is missing"),
        ({"v": [t.replace(".", "," if i % 2 else ".") for i, t in enumerate(NUMBERS)]},
         "of no one way"),
        ({"v": [f"20{i % 9 + 10}-03-12" if i % 2 else f"1/{i % 28 + 1}/2024" for i in range(300)]},
         "of no one way"),
        ({"a": ["1", "2"] * 150, "b": ["x", "y"] * 150, "c": ["p", "q"] * 150},
         "98.0% of the rows repeat others"),
    ],
)  # fmt: skip
def test_what_is_suspicious_is_said(columns, said):
    with_others = {**columns, **OTHER}
    assert any(re.search(said, one) for one in fitted(**with_others).suspicions)


@pytest.mark.parametrize(
    "cells",
    [
        [f"{i:05d}" for i in range(300)],
        [f"10.0.{i % 50}.1" for i in range(300)],
        [f"{i % 40}-{i % 40 + 5}" for i in range(300)],
        [f"A{i % 70}" for i in range(300)],
        [f"0x{i % 70:04x}" for i in range(300)],
    ],
)
def test_codes_are_not_taken_for_numbers(cells):
    said = fitted(code=cells, **OTHER).suspicions
    assert not any("look like" in one for one in said)


@pytest.mark.parametrize(
    ("cells", "is_said"),
    [
        ([0 if i % 9 < 5 else i for i in range(300)], True),
        ([f"{i % 40}.0" for i in range(300)], True),
        ([None if i % 9 < 5 else i % 40 - 3 for i in range(300)], True),
        ([i * 7 for i in range(300)], False),
        ([f"{i % 40}.5" if i == 7 else f"{i % 40}" for i in range(300)], False),
        ([i % 40 * 2**50 for i in range(300)], False),
    ],
)
def test_whole_numbers_that_repeat_are_said_to_be_real(cells, is_said):
    said = fitted(kinds={"visits": "real"}, visits=cells, **OTHER).suspicions
    found = [one for one in said if "are whole and repeat" in one]
    assert len(found) == is_said
    for one in found:
        assert one.startswith("column 'visits': ")
        assert "'dataset.kinds={visits: integer}' keeps them" in one
    usual = {"visits": cells, "pay": NUMBERS}
    assert not any("are whole and repeat" in one for one in fitted(**usual, **OTHER).suspicions)


QUANTITIES = {
    "durations": lambda i: f"PT{i % 55}M",
    "mixed durations": lambda i: f"PT{i % 9}H{i % 50 + 1}M" if i % 3 else f"P{i % 25}D",
    "fractions": lambda i: f"{i % 15}/{i % 7 + 8}",
    "feet": lambda i: f"{4 + i % 5}'{i % 12}\"",
    "hours": lambda i: f"{i % 15}h{i % 4 * 15:02d}",
    "long hours": lambda i: f"{i % 45:02d}:{i % 60:02d}",
    "stopwatch": lambda i: f"{i % 40}:{i % 60:02d}:{i % 20:02d}",
    "ranges": lambda i: f"{i % 40}-{i % 40 + 5}",
    "ranges of halves": lambda i: f"{i % 40}.5 to {i % 40 + 5} kg",
    "pressures": lambda i: f"{95 + i % 60}/{60 + i % 30}",
    "kg or lb": lambda i: f"{i % 60}.5 {['kg', 'lb'][i % 2]}",
    "thousands or millions": lambda i: f"{i % 60}.5{'KM'[i % 2]}",
    "sizes of files": lambda i: f"{i % 90} {['KB', 'MB', 'GB'][i % 3]}",
    "up or down": lambda i: f"{'▲▼'[i % 2]}{i % 60}.25%",
    "about": lambda i: f"~{i % 60}",
    "marked": lambda i: f"{i % 60}.5{['', '*', '**'][i % 3]}",
    "days and clocks": lambda i: f"{i % 9} days {i % 4:02d}:30:00",
    "credit or debit": lambda i: f"{i % 60}.25 {['CR', 'DR'][i % 2]}",
    "sizes": lambda i: f"{i % 20} x {i % 5} x {i % 4}",
}


@pytest.mark.parametrize("cell", QUANTITIES.values(), ids=QUANTITIES)
def test_quantities_that_are_read_as_texts_are_said(cell):
    cells = [cell(i) for i in range(300)]
    said = fitted(v=cells, **OTHER).suspicions
    assert len(said) == 1
    assert said[0].startswith(f"column 'v': '{cells[0]}' and ")
    assert said[0].endswith("write them as plain numbers; if they are codes, this is right")
    assert fitted(v=cells, kinds={"v": "categorical"}, **OTHER).suspicions == ()
    assert fitted(v=[cell(i % 19) for i in range(300)], **OTHER).suspicions == ()


def test_quantities_that_are_set_aside_are_said():
    said = fitted(v=[f"{95 + i}/{60 + i}" for i in range(300)], **OTHER).suspicions
    assert any("in their digits alone: set aside; if they are quantities" in one for one in said)
    said = fitted(v=[f"order {i}/{i + 60}" for i in range(300)], **OTHER).suspicions
    assert not any("digits alone" in one for one in said)


CODES = {
    "postcodes": lambda i: f"{'ABCD'[i % 4]}{'WXYZ'[i % 3]}{i % 9} {i % 7}{'EFGH'[i % 4]}D",
    "long postcodes": lambda i: f"{10000 + i % 80}-{1000 + i % 80}",
    "districts": lambda i: f"{i % 90:02d}-{100 + i % 70}",
    "phones": lambda i: f"555-{100 + i % 60}-{1000 + i % 60}",
    "machines": lambda i: f"10.0.{i % 50}.{i % 9}",
    "versions": lambda i: f"{i % 3}.{i % 9}.{i % 20}",
    "seasons": lambda i: f"{1950 + i % 60}/{(51 + i) % 60 + 10}",
    "names": lambda i: f"Room {i % 40}",
    "named parts": lambda i: f"Block {i % 9} Lot {i % 30}",
    "letters": lambda i: f"A{i % 40}-{i % 9}",
    "house numbers": lambda i: f"{i % 40}{'abc'[i % 3]}",
    "hexadecimals": lambda i: f"0x{i % 70:04x}",
    "houses": lambda i: f"{i % 40}{'abc'[i % 3]}",
    "seats": lambda i: f"{i % 40}{'ABCDEF'[i % 6]}",
    "streets": lambda i: f"{i % 70} {'ABCDEFG'[i % 7]} Street",
    "flats": lambda i: f"{i % 70} Main St Apt {i % 9}",
}


@pytest.mark.parametrize("cell", CODES.values(), ids=CODES)
def test_codes_are_not_taken_for_quantities(cell):
    said = fitted(v=[cell(i) for i in range(300)], **OTHER).suspicions
    assert not any("digits alone" in one for one in said)


@pytest.mark.parametrize(
    "lines", [["3 a x", "4 b y"], ["3^a", "4^b"], ["3\ta\tx", "4\tb\ty"], ["1,2,3", "4,5,6"]]
)
def test_a_table_of_one_column_with_fields_in_it_is_said(lines):
    said = fitted(**{"made by X": lines * 50}).suspicions
    assert any("one column only, but every row has" in one for one in said)
    assert fitted(name=["Ann", "Bob C", "Dan E F"] * 50).suspicions == ()
    assert fitted(time=[f"1{i % 10}:{i % 49 + 10}" for i in range(300)]).suspicions == ()


def test_a_letter_parts_no_fields():
    said = fitted(page=["<table>"] * 50 + ["<table >"] * 50).suspicions
    assert not any("fields when split" in one for one in said)


@pytest.mark.parametrize(("delimiter", "is_said"), [(";", True), (",", False)])
def test_commas_in_files_with_semicolons_are_said(delimiter, is_said):
    cells = [f"{i % 9 + 1},{i % 800 + 100}" for i in range(300)]
    raw = RawTable.of_frame(pl.DataFrame({"v": cells, **OTHER}), Origin(("t.csv",)), delimiter)
    said = fit_table(raw, {"train": np.arange(300)}).suspicions
    assert any("read as one of thousands" in one for one in said) == is_said


def test_one_column_of_lines_without_order_is_said():
    rows = [f"{'x ' * (i % 13)}{i % 200}" for i in range(300)]
    said = fitted(text=rows, kinds={"text": "categorical"}).suspicions
    assert any("one column only, in which most texts differ" in one for one in said)
    with pytest.raises(ValueError, match=r"no column is left .*\(identifier\).* one column only"):
        fitted(t=rows)
    said = fitted(padded=["3  a x", "14 b y"] * 50).suspicions
    assert any("3 fields when split at spaces: part them by one" in one for one in said)


def test_few_numbers_that_belong_together_are_not_suspected():
    for values in (["-1", "0", "1"], ["-1", "1"], ["97", "98", "99"], ["-1", "1e300", "2e300"]):
        assert fitted(v=[values[i % len(values)] for i in range(300)], **OTHER).suspicions == ()


def test_nothing_is_said_of_a_plain_table():
    plain = fitted(v=NUMBERS, n=[str(i % 50) for i in RANDOM.randint(0, 50, 300)], **OTHER)
    assert plain.suspicions == ()
    assert suspicions.suspicious_table


@pytest.mark.parametrize(("count", "said"), [(3, "only 3 rows are"), (1, "only 1 row is")])
def test_few_rows_of_train_are_said(count, said):
    columns = {"v": NUMBERS, **OTHER}
    few = fitted({"train": np.arange(count), "valid": np.arange(count, 300)}, **columns)
    (line,) = [one for one in few.suspicions if one.startswith("only")]
    assert line == f"{said} trained on: what is learnt of so few may be chance"
    enough = fitted({"train": np.arange(20), "valid": np.arange(20, 300)}, **columns)
    assert not [one for one in enough.suspicions if one.startswith("only")]


def test_rows_in_several_splits_are_said():
    splits = {"train": np.arange(200), "test": np.arange(200, 300)}
    columns = dict.fromkeys("abcd", NUMBERS[:150] * 2)
    said = fitted(splits, **columns).suspicions
    assert any("100.0% of the rows of test stand in train too" in one for one in said)


def test_values_of_test_outside_of_train_are_said():
    splits = {"train": np.arange(299), "test": np.arange(299, 300)}
    found = fitted(splits, n=[*[str(i % 40) for i in range(299)], "500"], v=NUMBERS)
    assert found.suspicions == (
        "column 'n': '500' is outside 0..48, what the model reaches: the less likely the farther",
    )


def test_every_column_is_described_and_how_to_overrule_it():
    found = fitted(
        v=[None if i % 3 == 0 else t for i, t in enumerate(NUMBERS)],
        few=["1", "2", "3"] * 100,
        id=[f"u{i}" for i in range(300)],
        money=[f"${100 * float(t) + 1000:,.2f}" for t in NUMBERS],
        **{"net income": ["x", "y"] * 150},
    )
    rows = {row["column"]: row for row in found.schema.describe()}
    assert rows["v"]["missing"] == 100
    assert rows["few"]["overrule"] == "'dataset.kinds={few: integer}'"
    assert rows["id"]["kind"] == "identifier"
    assert "thousands ','" in rows["money"]["decided"]
    assert rows["net income"]["overrule"] == "'dataset.kinds={\"net income\": categorical}'"
    assert rows["few"] == describe_column(found.schema.columns[1])
    lines = fitted(t=["a\nb", "c\td", "e"] * 100, **OTHER).schema.describe()[0]["values"]
    assert lines == "3: a b, c d, e"
    text = as_table(found.schema.describe())
    assert text.splitlines()[0].split() == ["column", "kind", "values", "missing", "decided"]
    assert "'dataset.kinds={few: integer}'" in text
    assert "more columns" in as_table(found.schema.describe(), most=2)
