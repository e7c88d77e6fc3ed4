"""Panics of Polars are told by their exception alone; all else that was written is passed on."""

import os
import subprocess
import sys
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.panics import panics_unsaid
from made_exp.datasets.table.text import TextStyle


def write_and_raise(text, error):
    with panics_unsaid():
        os.write(2, text)
        raise error


def test_panic_over_a_damaged_file_is_one_error(tmp_path, capfd, monkeypatch):
    def read_parquet(source):
        os.write(2, b"thread 'async-executor-0' panicked at ...\n")
        raise pl.exceptions.PanicException("a length is wrong")

    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(pl, "read_parquet", read_parquet)
    with pytest.raises(ValueError, match=r"a.parquet as Parquet: damaged \(a length is wrong\)"):
        read_tables([tmp_path / "a.parquet"], TextStyle())
    assert capfd.readouterr().err == ""


def test_what_others_write_is_passed_on(capfd):
    with panics_unsaid():
        os.write(2, b"x" * 100_000)
        with panics_unsaid():
            os.write(2, b"y")
    with pytest.raises(KeyError):
        write_and_raise(b"z", KeyError())
    with pytest.raises(pl.exceptions.PanicException):
        write_and_raise(b"left out", pl.exceptions.PanicException())
    os.write(2, b".")
    assert capfd.readouterr().err == "x" * 100_000 + "yz."


def test_closed_standard_error_is_left_alone():
    code = (
        "import os; os.close(2)\n"
        "from made_exp.datasets.table.panics import panics_unsaid\n"
        "with panics_unsaid(): print('read')"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout == "read\n"


@pytest.mark.parametrize("write", [parquet.write_table, feather.write_feather])
def test_decimals_of_more_digits_than_polars_has_are_named(tmp_path, write, capfd):
    digits = pa.array([Decimal("1.5"), Decimal("2.5")], pa.decimal256(50, 2))
    table = pa.table({"a": [1, 2], "d": digits})
    write(table, tmp_path / "t.bin")
    with pytest.raises(ValueError, match=r"t.bin as \w+: decimals of more than 38 digits; write"):
        read_tables([tmp_path / "t.bin"], TextStyle())
    assert raw_table(table).column("d").values.to_list() == [1.5, 2.5]
    assert capfd.readouterr().err == ""
