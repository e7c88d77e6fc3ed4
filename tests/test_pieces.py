"""A table read in pieces is the table read at once, whatever it is written as."""

import bz2
import gzip
import lzma

import polars as pl
import pytest
import zstandard

from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.pieces import read_pieces
from made_exp.datasets.table.text import TextStyle

ROWS = [(n, f"näme {n % 7}", "" if n % 5 else "x,\ny", n / 4) for n in range(300)]
FRAME = pl.DataFrame(ROWS, schema=["id", "name", "note", "value"], orient="row")
PLAIN = FRAME.drop("note").write_csv().encode()
QUOTED = FRAME.write_csv().encode()
ODD = PLAIN.replace("näme 3".encode(), b'a 5" pipe')
TEXTS = {
    "plain.csv": PLAIN,
    "quoted.csv": QUOTED,
    "windows.csv": b"\xef\xbb\xbf" + PLAIN.replace(b"\n", b"\r\n"),
    "old.csv": PLAIN.replace(b"\n", b"\r"),
    "odd.csv": ODD,
    "excel.csv": b"sep=;\r\n" + PLAIN.replace(b",", b";"),
    "wide.csv": PLAIN.decode().encode("utf-16"),
    "blank.csv": PLAIN.replace(b"\n", b"\n\n") + b"\n" * 3000,
    "tabs.tsv": PLAIN.replace(b",", b"\t"),
    "small.csv.gz": gzip.compress(QUOTED, mtime=0),
    "frames.csv.zst": zstandard.compress(QUOTED[:900]) + zstandard.compress(QUOTED[900:]),
    "small.csv.bz2": bz2.compress(QUOTED),
    "small.csv.xz": lzma.compress(QUOTED),
}
WHOLE = {"old.csv", "odd.csv", "wide.csv"}


def together(pieces):
    return pl.concat([piece.frame for piece in pieces])


@pytest.mark.parametrize("name", TEXTS)
def test_texts_in_pieces_are_the_texts(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(TEXTS[name])
    pieces = list(read_pieces([path], TextStyle(), block=700))
    assert (len(pieces) == 1) == (name in WHOLE)
    whole = read_tables([path], TextStyle())
    expected = pl.DataFrame([column.values for column in whole.columns])
    assert together(pieces).equals(expected, null_equal=True)
    start = 0
    for piece in pieces:
        assert piece.raw.origin.place(0) == whole.origin.place(start)
        start += len(piece.raw)
        assert piece.raw.origin.place(len(piece.raw) - 1) == whole.origin.place(start - 1)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.parquet.gz"])
def test_typed_rows_in_pieces_keep_their_types_and_numbers(name, tmp_path):
    path = tmp_path / name
    write = FRAME.write_ipc if "feather" in name else FRAME.write_parquet
    write(path)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    pieces = list(read_pieces([path], TextStyle(), rows=70))
    assert [len(piece.raw) for piece in pieces] == [70, 70, 70, 70, 20]
    assert together(pieces).equals(FRAME)
    assert pieces[2].raw.origin.place(3) == f"{path}, row 143"


@pytest.mark.parametrize("read", [read_pieces, read_tables])
def test_a_number_that_is_no_day_of_a_calendar_is_refused(read, tmp_path):
    days = pl.Series("day", [0, 2**31 - 1], dtype=pl.Int32).cast(pl.Date)
    days.to_frame().write_ipc(tmp_path / "a.feather")
    with pytest.raises(ValueError, match=r"cannot read .*a.feather as Arrow"):
        list(read([tmp_path / "a.feather"], TextStyle()))


@pytest.mark.parametrize("write", [pl.DataFrame.write_parquet, pl.DataFrame.write_ipc])
def test_a_column_without_a_name_is_called_by_its_place_however_it_is_read(write, tmp_path, caplog):
    write(pl.DataFrame({"a": [1, 2], "": [3, 4]}), tmp_path / "t")
    whole = read_tables([tmp_path / "t"], TextStyle())
    (piece,) = read_pieces([tmp_path / "t"], TextStyle())
    assert whole.names == piece.raw.names == tuple(piece.frame.columns) == ("a", "column_2")
    assert "column 2 has no name" in caplog.text


def test_several_files_are_one_table_with_the_columns_of_the_first(tmp_path):
    for number, columns in enumerate([["id", "value"], ["value", "id"]]):
        FRAME.select(columns).write_csv(tmp_path / f"{number}.csv")
    files = sorted(tmp_path.glob("*.csv"))
    pieces = list(read_pieces(files, TextStyle(), block=500))
    expected = FRAME.select("id", "value").cast(pl.String)
    assert together(pieces).equals(pl.concat([expected, expected]))
    assert pieces[-1].raw.names == ("id", "value")
    FRAME.select("id").write_csv(files[1])
    with pytest.raises(ValueError, match="no column 'value'"):
        list(read_pieces(files, TextStyle()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "header but no rows"),
        (b"a,b\n" + b"1,2\n" * 500 + b"1,2,3\n", "line 502 has 3 fields"),
        (b"a,b\n" + b"1,2\n" * 500 + b"1,\xff\n", "line 502, byte 3"),
        (gzip.compress(PLAIN, mtime=0)[:-30], "damaged"),
        (zstandard.compress(PLAIN)[:-9], "damaged"),
        (b"PK\x03\x04rest", "is a workbook"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_pieces([path], TextStyle(), block=400))
