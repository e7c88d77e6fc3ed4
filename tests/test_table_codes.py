"""Codes that look like numbers are texts: versions, of which 1.1 and 1.10 are two."""

import numpy as np
import polars as pl
import pytest

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.codes import same_but_zeros
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import fit_table

VERSIONS = ["1.1", "1.10", "1.2", "1.9", "1.11", "2.0"]


def fitted(texts, kinds=None):
    frame = pl.DataFrame({"ver": texts, "other": [f"{n % 7}" for n in range(len(texts))]})
    raw = RawTable.of_frame(frame, Origin(("t.csv",)), ",")
    table = fit_table(raw, {"train": np.arange(len(raw))}, kinds=kinds)
    return table.schema.columns[0], table


def test_versions_are_texts():
    column, table = fitted(VERSIONS * 30)
    assert column.kind == "categorical"
    assert table.schema.decode(table.x)["ver"].to_list() == VERSIONS * 30
    said = (
        "column 'ver': '1.1' and '1.10' are taken as different, as of versions: texts; "
        "else 'dataset.kinds={ver: real}'"
    )
    assert said in table.suspicions
    assert fitted(VERSIONS * 30, {"ver": "real"})[0].kind == "real"


def test_a_few_rows_of_versions_are_numbers_and_it_is_said():
    column, table = fitted(["1.1", "1.10", *(f"{n}.{n + 3}" for n in range(1, 40))])
    assert column.kind == "real"
    said = "'1.1' and '1.10' are one number; if not, 'dataset.kinds={ver: categorical}'"
    assert any(said in one for one in table.suspicions)


@pytest.mark.parametrize(
    "texts",
    [
        [f"{n / 100:.2f}" if n % 2 else f"{n / 100:g}" for n in (*range(600), *range(1, 601))],
        [f"{n % 40 / 4:.2f}" for n in range(300)],
        [f"{n % 40 / 4:g}" for n in range(300)],
        ["3", "3.0", "3.00", *(f"{n % 40 / 4:g}" for n in range(300))],
        [f"{n % 40 / 4:.2f}e5" for n in range(300)],
    ],
)
def test_other_numbers_are_numbers(texts):
    column, table = fitted(texts)
    assert column.kind == "real"
    assert not any("one number" in one for one in table.suspicions)


def test_dressed_numbers_are_amounts():
    cells = Cells.of(
        RawTable.of_frame(pl.DataFrame({"v": ["$1.5", "$1.50"]}), Origin(("t",))).columns[0]
    )
    assert same_but_zeros(cells, NumberFormat.of_texts(cells.texts)) is None
