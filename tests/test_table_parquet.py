"""What pages of a Parquet file say of themselves is not believed; all writers' pages are read."""

import io

import polars as pl
import pyarrow.parquet
import pytest

from made_exp.datasets.table import parquet
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.parquet import refuse_untrue_pages
from made_exp.datasets.table.room import needed_memory
from made_exp.datasets.table.text import TextStyle


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_numbers_in_pages_of_a_parquet_file_are_not_believed(tmp_path, compression, monkeypatch):
    frame = pl.DataFrame(
        {"a": range(60), "b": [f"x{k % 9}" for k in range(60)], "c": [[1], []] * 30}
    )
    stream, said = io.BytesIO(), {}
    frame.write_parquet(stream, compression=compression, row_group_size=40)
    whole = stream.getvalue()
    refuse_untrue_pages(memoryview(whole))
    monkeypatch.setattr(parquet, "available_memory", lambda: None)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1  # the sign of a number
        try:
            refuse_untrue_pages(memoryview(damaged))
        except ValueError as error:
            said.setdefault(str(error), []).append(bytes(damaged))
    (negative,) = said
    assert negative == "it is damaged: a page has fewer than no values"
    assert len(said[negative]) >= 2 * 3  # row groups, columns
    (tmp_path / "t.parquet").write_bytes(said[negative][-1])
    with pytest.raises(ValueError, match="as Parquet: it is damaged"):
        read_tables([tmp_path / "t.parquet"], TextStyle())
    assert needed_memory([tmp_path / "t.parquet"]) > len(whole)
    monkeypatch.setattr(parquet, "available_memory", lambda: 10)
    with pytest.raises(ValueError, match="a page is larger than memory"):
        refuse_untrue_pages(memoryview(whole))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pages_of_other_writers_are_read_to_the_end(version):
    frame = pl.DataFrame(
        {"a": range(3000), "b": ["x", None, "y"] * 1000, "c": [[1.5, 2], []] * 1500}
    )
    stream = io.BytesIO()
    options = {"data_page_version": version, "data_page_size": 500, "row_group_size": 1000}
    pyarrow.parquet.write_table(frame.to_arrow(), stream, **options, use_dictionary=False)
    pages = list(parquet._pages(memoryview(stream.getvalue())))
    # An empty list counts as one.
    assert sum(page.counts[0] for page in pages) == 3000 + 3000 + 1500 * 2 + 1500
    assert len(pages) > 3 * 3
    refuse_untrue_pages(memoryview(stream.getvalue()))


def test_a_list_that_is_longer_than_files_are_takes_no_time():
    footer = b"\x39\xf3" + b"\xff" * 8 + b"\x01"  # field 3, a list of bytes, 2^57 of them
    file = footer + len(footer).to_bytes(4, "little") + b"PAR1"
    refuse_untrue_pages(memoryview(file))
