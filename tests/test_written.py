"""Rows in files: what was given byte for byte, draws as the table is written, any ending."""

import datetime
import gzip
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
import torch

from made_exp.datasets.table.appending import TableWriter
from made_exp.datasets.table.files import read_frame, read_tables
from made_exp.datasets.table.line_style import LineStyle
from made_exp.datasets.table.pieces import read_pieces
from made_exp.datasets.table.plain import schema_of
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.table.text import TextStyle
from made_exp.datasets.table.writing import typed, write_frame
from made_exp.experiments.given import Given
from made_exp.experiments.written import write_completed, write_drawn
from made_exp.settings.commands import SampleSettings
from made_exp.variables.variable import Kind, Variable

UNITS = {"ms": 3, "us": 6, "ns": 9}
HEADER = "price,when,size,ok,row,who"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A text table of money, days, exponents, truth values, whole numbers and texts."""
    rng, lines = np.random.default_rng(0), [HEADER]
    for n in range(60):
        price, day = f"{1234567 + 1000 * rng.normal():.2f}", f"2024-01-{1 + n % 28:02d}"
        size, whole = f"{rng.random():.3e}", rng.integers(1000, 9000)
        lines.append(f"{price},{day},{size},{('TRUE', 'FALSE')[n % 2]},{whole},{'abc'[n % 3]}")
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    raw = read_tables([path], TextStyle())
    return raw, TableSchema.fit(raw, np.arange(60))


def read(path):
    return pl.read_csv(path, infer_schema=False)


def asked(schema, frame, origin, delimiter=None, count=1):
    """What was given in a frame, each row as often as it is completed."""
    raw = RawTable.of_frame(frame, origin, delimiter)
    x = torch.from_numpy(schema.encode(raw, needed=()))
    return Given(x, ~torch.isnan(x), None, raw, frame).repeated(count)


def given_as(schema, path, text, count=1):
    path.write_text(text)
    return asked(schema, *read_frame([path], TextStyle()), count=count)


def test_given_cells_come_back_byte_for_byte(table, tmp_path):
    raw, schema = table
    texts = " 1234567.890,2024-01-05,1.234E-1,true,+4000,\n,,,,,  c\n"
    given = given_as(schema, tmp_path / "g.csv", f"{HEADER}\n{texts}", 2)
    x = torch.from_numpy(schema.encode(raw)[:4])
    write_completed(tmp_path / "done.csv", schema, x, given, 2)
    lines = (tmp_path / "done.csv").read_text().splitlines()
    assert lines[0] == "row_,completion," + HEADER  # `row` is a column of the table
    for number, completion in ((0, 0), (0, 1)):
        line = lines[1 + completion]
        assert line.startswith(f"{number},{completion} 1234567.890,2024-01-05,1.234E-1,true,+4000,"
                               .replace(f"{completion} ", f"{completion}, "))  # fmt: skip
        assert line[-1] in "abc"
    rows = read(tmp_path / "done.csv").rows()
    assert [row[:2] for row in rows] == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    drawn = schema.decode(x.numpy()).rows()
    assert [row[2:7] for row in rows[2:]] == [row[:5] for row in drawn[2:]]
    assert [row[7] for row in rows[2:]] == ["  c"] * 2


def test_no_spreadsheet_runs_what_a_cell_or_a_name_says(tmp_path):
    run = ["=1+1", "@SUM(a)", "+cmd|' /C calc'!A0", "-2+cmd|x", "=HYPERLINK(b)"]
    kept = ["-", "+49 30", "@home", "-1.5e-3", "a=(b)", None, "'=1"]
    frame = pl.DataFrame({"=a": run + kept, "n": -1.5})
    write_frame(tmp_path / "a.csv", frame, ",")
    with TableWriter(tmp_path / "b.csv.gz", ",") as writer:
        writer.append(frame[:3])
        writer.append(frame[3:])
    for path in (tmp_path / "a.csv", tmp_path / "b.csv.gz"):
        found = read(path)
        assert found.columns == ["'=a", "n"]
        assert found["'=a"].to_list() == [f"'{text}" for text in run] + kept
        assert found["n"].unique().to_list() == ["-1.5"]
    write_frame(tmp_path / "a.parquet", frame, ",")
    assert pl.read_parquet(tmp_path / "a.parquet").equals(frame)


def test_completed_rows_come_back_whole(table, tmp_path):
    raw, schema = table
    given = given_as(schema, tmp_path / "g.csv", 'note;who;ok; id ;price\n " x,  1.50 ;a;;007;\n')
    x = torch.from_numpy(schema.encode(raw)[:1])
    price, when, size, ok, whole, _ = schema.decode(x.numpy()).rows()[0]
    write_completed(tmp_path / "done.csv", schema, x, given, 1)
    header, row = (tmp_path / "done.csv").read_text().splitlines()
    assert header == "note;who;ok;row; id ;price;when;size"
    assert row == f'" "" x,  1.50 ";a;{ok};{whole};007;{price};{when};{size}'
    write_completed(tmp_path / "done.parquet", schema, x, given, 1)
    done = pl.read_parquet(tmp_path / "done.parquet")
    assert done.columns == header.replace(" ", "").split(";")
    assert done.row(0)[:2] == (' " x,  1.50 ', "a")
    assert done.row(0)[2:6] == (ok == "TRUE", int(whole), "007", float(price))
    write_completed(tmp_path / "two.csv", schema, x[[0, 0]], given.repeated(2), 2)
    assert (tmp_path / "two.csv").read_text().startswith(f"row_;completion;{header}\n")


def test_a_header_comes_back_as_it_was_given(table, tmp_path):
    _, schema = table
    header = 'who,who, "who",=who,,who'
    given = given_as(schema, tmp_path / "g.csv", f"{header}\na,b,c,d,e,f\n")
    write_completed(tmp_path / "done.csv", schema, torch.zeros_like(given.x), given, 1)
    lines = (tmp_path / "done.csv").read_text().splitlines()
    assert lines[0] == 'price,when,size,ok,row,who,who," ""who""",\'=who,"",who'
    assert lines[1].endswith(",a,b,c,d,e,f")
    with TableWriter(tmp_path / "scored.csv.gz", ",") as writer:
        for piece in read_pieces([tmp_path / "g.csv"], TextStyle()):
            writer.append(piece.frame.with_columns(log_prob=-1.5), piece.raw.origin.renamed)
            writer.append(piece.frame.with_columns(log_prob=-2.5), piece.raw.origin.renamed)
    lines = gzip.decompress((tmp_path / "scored.csv.gz").read_bytes()).decode().splitlines()
    assert lines == [
        'who,who," ""who""",\'=who,"",who,log_prob',
        "a,b,c,d,e,f,-1.5",
        "a,b,c,d,e,f,-2.5",
    ]


def test_columns_beside_the_table_keep_their_types(table, tmp_path):
    raw, schema = table
    beside = pl.DataFrame({"tags": [[1, 2]], "seen": [datetime.datetime(2024, 1, 1, 9)]})
    frame = beside.with_columns(who=pl.lit("b"), small=pl.lit(3, pl.Int8))
    given = asked(schema, frame, Origin(("memory",)))
    x = torch.from_numpy(schema.encode(raw)[:1])
    write_completed(tmp_path / "done.parquet", schema, x, given, 1)
    done = pl.read_parquet(tmp_path / "done.parquet")
    assert done.columns == [*HEADER.split(",")[:5], *frame.columns]
    assert done.select(frame.columns).equals(frame)
    assert done.schema["small"] == pl.Int8
    with pytest.raises(ValueError, match=r"column 'tags' holds List\(Int64\), for which text"):
        write_completed(tmp_path / "done.csv", schema, x, given, 1)


def test_identifiers_are_not_drawn_where_they_are_given_and_go_on_where_not(tmp_path):
    lines = [f"{n},x,{n / 7:.3f}" for n in range(100, 150)]
    (tmp_path / "t.csv").write_text("\n".join(["id,same,size", *lines]) + "\n")
    raw = read_tables([tmp_path / "t.csv"], TextStyle())
    schema = TableSchema.fit(raw, np.arange(50))
    x = torch.tensor([[15.5], [16.5]], dtype=torch.float64)
    for text, wanted in (
        ("size,id,same\n,,\n,7,y\n", "size,id,same\n15.500,,x\n16.500,7,y\n"),
        ('size\n""\n""\n', "id,same,size\n150,x,15.500\n151,x,16.500\n"),
    ):
        given = given_as(schema, tmp_path / "g.csv", text)
        write_completed(tmp_path / "done.csv", schema, x, given, 1)
        assert (tmp_path / "done.csv").read_text() == wanted
    for text, wanted in (("id\n7\n", [7]), ("id\nu7\n", ["u7"])):
        given = given_as(schema, tmp_path / "g.csv", f"size,{text}".replace("\n", "\n,", 1))
        write_completed(tmp_path / "done.parquet", schema, x[:1], given, 1)
        assert pl.read_parquet(tmp_path / "done.parquet")["id"].to_list() == wanted


def test_draws_are_those_of_a_file_that_is_read_back(table, tmp_path):
    raw, schema = table
    x = torch.from_numpy(schema.encode(raw))
    for name in ("a.csv", "a.TSV", "a.csv.gz", "a.tab.zst", "a.txt.bz2", "a.dat.xz"):
        write_drawn(tmp_path / name, schema, x)
        again = read_tables([tmp_path / name], TextStyle())
        assert [c.values.to_list() for c in again.columns] == [
            c.values.to_list() for c in raw.columns
        ]
    unpacked = gzip.decompress((tmp_path / "a.csv.gz").read_bytes())
    assert unpacked.startswith(HEADER.encode() + b"\n")
    assert (tmp_path / "a.TSV").read_text().startswith(HEADER.replace(",", "\t"))


@pytest.mark.parametrize("name", ["a.parquet", "a.FEATHER"])
def test_types_are_stored_where_a_file_has_them(table, tmp_path, name):
    raw, schema = table
    x = torch.from_numpy(schema.encode(raw))
    write_drawn(tmp_path / name, schema, x)
    reader = pl.read_parquet if name == "a.parquet" else pl.read_ipc
    frame = reader((tmp_path / name).read_bytes())
    assert frame.dtypes == [pl.Float64, pl.Date, pl.Float64, pl.Boolean, pl.Int64, pl.String]
    assert frame["price"].to_list() == [float(text) for text in raw.column("price").values]
    assert frame["ok"].to_list() == [text == "TRUE" for text in raw.column("ok").values]
    again = schema.encode(read_tables([tmp_path / name], TextStyle()))
    assert np.array_equal(again, x.numpy())


def test_numbers_of_the_rows_go_on_as_numbers(tmp_path):
    frame = pl.DataFrame({"id": range(50), "size": np.arange(50) / 7})
    schema = TableSchema.fit(RawTable.of_frame(frame, Origin(("t",))), np.arange(50))
    write_drawn(tmp_path / "a.parquet", schema, torch.tensor([[0.5], [1.5]]))
    assert pl.read_parquet(tmp_path / "a.parquet")["id"].to_list() == [50, 51]


def test_numbers_of_the_rows_keep_their_zeros(tmp_path):
    frame = pl.DataFrame({"id": [f"{n:05}" for n in range(11, 61)], "size": np.arange(50) / 7})
    schema = TableSchema.fit(RawTable.of_frame(frame, Origin(("t",))), np.arange(50))
    schema = TableSchema.from_dict(schema.to_dict())
    x = torch.tensor([[0.5], [1.5]])
    write_drawn(tmp_path / "a.parquet", schema, x)
    assert pl.read_parquet(tmp_path / "a.parquet")["id"].to_list() == ["00061", "00062"]
    write_drawn(tmp_path / "a.csv", schema, x)
    assert read(tmp_path / "a.csv")["id"].to_list() == ["00061", "00062"]


def test_decimals_and_zones_are_kept_around_draws(tmp_path):
    first = datetime.datetime(2024, 1, 1, 9)
    clock = [first + datetime.timedelta(minutes=17 * n) for n in range(60)]
    frame = pl.DataFrame(
        {
            "price": pl.Series([f"{n / 7:.2f}" for n in range(60)]).cast(pl.Decimal(9, 2)),
            "when": pl.Series(clock, dtype=pl.Datetime("us")).dt.replace_time_zone("Asia/Tokyo"),
            "count": pl.Series(range(60), dtype=pl.Int16),
        }
    )
    raw = RawTable.of_frame(frame, Origin(("memory",)))
    schema = TableSchema.fit(raw, np.arange(60), kinds={"count": "integer"})
    given = frame.with_columns(pl.all().shift(30))  # half of the rows are empty
    x = torch.from_numpy(schema.encode(raw))
    rows = asked(schema, given, Origin(("memory",)))
    write_completed(tmp_path / "done.parquet", schema, x, rows, 1)
    done = pl.read_parquet(tmp_path / "done.parquet")
    assert done.schema == frame.schema
    assert done[:30].equals(frame[:30])
    assert done[30:].equals(given[30:])


def test_typed_rows_keep_their_types_around_draws(table, tmp_path):
    raw, schema = table
    frame = typed(schema.columns, schema.decode(schema.encode(raw)[:2])).with_columns(
        pl.Series("price", [0.1 + 0.2, None], dtype=pl.Float64),
        pl.Series("row", [None, 12], dtype=pl.Int32),
    )
    given = asked(schema, frame, Origin(("memory",)), count=3)
    x = torch.from_numpy(schema.encode(raw)[:6])
    write_completed(tmp_path / "done.parquet", schema, x, given, 3)
    done = pl.read_parquet(tmp_path / "done.parquet")
    assert done.columns == ["row_", "completion", *HEADER.split(",")]
    assert done["price"].to_list()[:3] == [0.1 + 0.2] * 3
    assert done["row"].to_list()[3:] == [12] * 3
    assert done["row"].dtype == pl.Int32
    assert done["price"].null_count() == done["row"].null_count() == 0


def test_what_came_from_no_table_has_plain_columns(tmp_path):
    variables = (
        Variable("flag", Kind.BINARY, 2),
        Variable("level", Kind.ORDINAL, 4),
        Variable("many", Kind.INTEGER, 300),
        Variable("x", Kind.REAL),
    )
    schema = schema_of({"variables": [v.to_dict() for v in variables], "table": None})
    x = torch.tensor([[1.0, 3.0, 299.0, -0.0], [0.0, 0.0, 7.0, 1.25]], dtype=torch.float64)
    write_drawn(tmp_path / "a.csv", schema, x)
    assert (tmp_path / "a.csv").read_text() == "flag,level,many,x\n1,3,299,0\n0,0,7,1.25\n"
    assert np.array_equal(schema.encode(read_tables([tmp_path / "a.csv"], TextStyle())), x.numpy())


def test_nothing_is_half_written(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_text("mine")
    monkeypatch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_frame(tmp_path / "a.parquet", pl.DataFrame({"a": [1]}), ",")
    assert (tmp_path / "a.parquet").read_text() == "mine"


@pytest.mark.parametrize("path", ["a.PNG", "a.Npz", "a.csv", "a.tsv.gz", "a.b.parquet", "a.arrow"])
def test_endings_decide_in_any_case(path, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    SampleSettings(run=str(tmp_path), path=path)


@pytest.mark.parametrize("path", ["a", "a.xlsx", "a.parquet.gz", "a.npz.gz", ".gz", "a.gz"])
def test_other_endings_are_refused(path, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"path must end in .png, .npz, .csv"):
        SampleSettings(run=str(tmp_path), path=path)


EXACT = pl.DataFrame(
    {
        "unsigned": pl.Series([2**63 + 2, 2**63 + 3] * 30, dtype=pl.UInt64),
        "price": pl.Series(["1000000000000000.07", "-0.50"] * 30).cast(pl.Decimal(20, 2)),
        "stay": pl.Series([1_500_000, -(2**55) - 1] * 30, dtype=pl.Duration("us")),
        "clock": pl.Series([863_000_123_456, 0] * 30).cast(pl.Time),
        "size": pl.Series(range(60), dtype=pl.Float32) / 7,
    }
)


@pytest.mark.parametrize("count", [1, 3])
def test_given_cells_that_no_float_holds_come_back_bit_for_bit(tmp_path, count):
    origin = Origin(("memory",))
    schema = TableSchema.fit(RawTable.of_frame(EXACT, origin), np.arange(60))
    given = asked(schema, EXACT, origin, count=count)
    write_completed(tmp_path / "done.feather", schema, torch.zeros_like(given.x), given, count)
    done = pl.read_ipc((tmp_path / "done.feather").read_bytes()).select(EXACT.columns)
    assert done.schema == EXACT.schema
    assert done.gather_every(count).equals(EXACT)
    write_completed(tmp_path / "done.csv", schema, torch.zeros_like(given.x), given, count)
    first, second = read(tmp_path / "done.csv").select(EXACT.columns[:4]).rows()[:: 60 * count - 1]
    assert first == ("9223372036854775810", "1000000000000000.07", "1.5", "00:14:23.000123456")
    assert second == ("9223372036854775811", "-0.50", "-36028797018.963969", "00:00:00")


def test_durations_are_seconds_in_a_file_of_text(tmp_path):
    counts = [0, 1, -1, 10**9, -(2**63) + 1, None]
    frame = pl.DataFrame({unit: pl.Series(counts, dtype=pl.Duration(unit)) for unit in UNITS})
    write_frame(tmp_path / "a.csv", frame, ",")
    with TableWriter(tmp_path / "b.csv", ",") as writer:
        writer.append(frame)
    for name in ("a.csv", "b.csv"):
        for unit, digits in UNITS.items():
            seconds = [count and Decimal(count).scaleb(-digits) for count in counts]
            found = [text and Decimal(text) for text in read(tmp_path / name)[unit]]
            assert found == seconds


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_and_ends_of_lines_come_back(table, tmp_path, mark, end):
    schema = table[1]
    rows = [HEADER, "1234567.00,2024-01-05,1.000e-1,TRUE,1000,a", '2.50,2024-01-06,,FALSE,7,"b"']
    given = tmp_path / "given.csv"
    given.write_bytes(mark + end.join([*rows, ""]).encode())
    frame, origin, delimiter = read_frame([given], TextStyle())
    assert LineStyle.of(str(given)) == LineStyle(mark, end)
    whole = asked(schema, frame, origin, delimiter)
    write_completed(tmp_path / "done.csv", schema, whole.x.nan_to_num(0.5), whole, 1)
    with TableWriter(tmp_path / "scored.csv", ",") as writer:
        for part in (frame[:1], frame[1:]):
            writer.append(part, like=str(given))
    write_drawn(tmp_path / "drawn.csv", schema, whole.x.nan_to_num(0.5), like=str(given))
    names = ("done", "scored", "drawn")
    done, scored, drawn = ((tmp_path / f"{name}.csv").read_bytes() for name in names)
    for content in (done, scored, drawn):
        assert content.startswith(mark + HEADER.encode() + end.encode())
        assert content.count(end.encode()) == content.count(b"\n") == 3
    assert scored == given.read_bytes().replace(b'"b"', b"b")
