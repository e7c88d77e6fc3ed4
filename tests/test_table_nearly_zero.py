"""Numbers that are taken for 0 where models are trained: it is said, and no row is called odd."""

import numpy as np
import polars as pl
import pytest

from made_exp.datasets.table.alike import same_value
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.nearly_zero import flushed, is_nearly_zero
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import fit_table
from made_exp.runtime import flushed_denormals

RANDOM = np.random.default_rng(0)
SMALL = 1e-310 * RANDOM.normal(size=200)
FRAME = pl.DataFrame({"a": RANDOM.normal(size=200), "e": SMALL, "t": ["x", "y"] * 100})
SAID = "column 'e': 200 cells are nearer to 0 than 2.2e-308, and count as 0: multiply the column"


@pytest.mark.parametrize("is_typed", [True, False])
def test_it_is_said_and_rows_are_not_odd_for_it(is_typed, caplog):
    origin = Origin(("t.csv",), find_line=lambda source, row: row + 2)
    texts = FRAME.cast(pl.String)
    raw = raw_table(FRAME) if is_typed else RawTable.of_frame(texts, origin, ",")
    with flushed_denormals():
        table = fit_table(raw, {"train": np.arange(200)})
    assert SAID in table.suspicions
    caplog.clear()
    table.schema.encode(raw)
    assert not caplog.records


def test_they_are_known_by_their_bits_or_digits():
    numbers = pl.Series([1e-310, -5e-324, 0.0, -0.0, 2.3e-308, None, 1.0])
    texts = pl.Series(["1e-310", " -5e-324", "0e-9", "-0.0", "2.3e-308", None, "1", "x"])
    wanted = [True, True, False, False, False, False, False]
    assert is_nearly_zero(numbers).to_list() == wanted
    with flushed_denormals():
        assert is_nearly_zero(numbers).to_list() == wanted
        assert is_nearly_zero(texts).to_list() == [*wanted, False]
    assert not is_nearly_zero(pl.Series([1, 0])).any()
    assert flushed(numbers).to_list()[:5] == [0, 0, 0, 0, 2.3e-308]


def test_all_of_them_are_one_value():
    assert same_value(pl.Series(["1e-310", "0", "1e-300"]), "-8.2e-311").to_list() == [1, 1, 0]
