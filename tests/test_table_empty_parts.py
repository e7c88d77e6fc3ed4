"""Parts without rows, as those write them that share a table out among many."""

import gzip

import polars as pl
import pytest
from builders import load_dataset

from made_exp.datasets.table.empty_parts import find_parts

HEADER, ROWS = "a,b\n", "".join(f"{i % 5},{'xyz'[i % 3]}\n" for i in range(60))


def find(folder, path, *, header=True):
    found = find_parts(str(folder / path), folder, "dataset.path", header=header)
    return [file.name for file in found]


def test_parts_without_rows_are_passed_over_and_said(tmp_path, caplog):
    for name, text in {"0": HEADER, "1": HEADER + ROWS, "2": "", "3": HEADER + "\n\n"}.items():
        (tmp_path / f"part-{name}.csv").write_text(text)
    (tmp_path / "part-4.csv.gz").write_bytes(gzip.compress(HEADER.encode(), mtime=0))
    (tmp_path / "part-5.csv").write_text(HEADER + ROWS)
    assert find(tmp_path, "part-*") == ["part-1.csv", "part-5.csv"]
    assert f"4 of 6 files have no rows ({tmp_path / 'part-0.csv'} is the first)" in caplog.text
    dataset = load_dataset("table", seed=0, data_dir=tmp_path, path=str(tmp_path / "part-*"))
    assert sum(len(x) for x in (dataset.train, dataset.valid, dataset.test)) == 120


def test_without_a_header_one_line_is_a_row(tmp_path):
    for name, text in {"0": "1,2\n", "1": "3,4\n5,6\n", "2": "\n"}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    assert find(tmp_path, "*.csv", header=False) == ["0.csv", "1.csv"]
    assert find(tmp_path, "*.csv") == ["1.csv"]


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_parts_with_types_are_no_other(tmp_path, ending):
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    for number, part in enumerate([frame.head(0), frame, frame.head(0)]):
        write = part.write_parquet if ending == "parquet" else part.write_ipc
        write(tmp_path / f"{number}.{ending}")
    assert find(tmp_path, f"*.{ending}") == [f"1.{ending}"]


def test_where_none_has_rows_the_reader_says_so(tmp_path, caplog):
    for name in ("0", "1"):
        (tmp_path / f"{name}.csv").write_text(HEADER)
    with pytest.raises(ValueError, match=r"0\.csv has a header but no rows"):
        load_dataset("table", seed=0, data_dir=tmp_path, path=str(tmp_path))
    assert "passed over" not in caplog.text
