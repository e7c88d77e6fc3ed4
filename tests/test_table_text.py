"""Delimited text: every cell as it was written, and every mistake with its line."""

import csv
import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.datasets.table import text
from made_exp.datasets.table.files import read_frame
from made_exp.datasets.table.layout import lay_out
from made_exp.datasets.table.pieces import read_pieces
from made_exp.datasets.table.records import Records, line_of_row, read_carefully
from made_exp.datasets.table.text import TextStyle, TextTable, found_delimiter, unique_names
from made_exp.datasets.table.tightening import tightened

CELLS = st.text(st.sampled_from('a1.é ,;"\n\t'), max_size=4)
SETTINGS = settings(max_examples=200, deadline=None)


def table(content, **style):
    content = content.encode() if isinstance(content, str) else content
    return TextTable(content, "t.csv", TextStyle(**style))


def rows(content, **style):
    return table(content, **style).read().rows()


def written(cells, delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\n"):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(cells)
    return stream.getvalue()


@SETTINGS
@given(
    data=st.data(),
    width=st.integers(1, 4),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_writer_wrote_is_read_to_the_byte(data, width, delimiter, quoting, end):
    row = st.lists(CELLS, min_size=width, max_size=width)
    cells = data.draw(st.lists(row, min_size=1, max_size=5))
    content = written([[f"c{k}" for k in range(width)], *cells], delimiter, quoting, end)
    expected = [tuple(cell or None for cell in row) for row in cells]
    assert rows(content, delimiter=delimiter) == expected
    assert table(content, delimiter=delimiter).read_fast() is not None


@SETTINGS
@given(body=st.text(st.sampled_from('a,"\n\r'), min_size=1, max_size=24))
def test_the_fast_reader_agrees_with_the_careful_one_or_gives_way(body):
    whole = table(f"a,b\n{body}", delimiter=",")
    fast = whole.read_fast()
    if fast is not None:
        records = Records(whole.content, ",", "t")
        next(records)
        if "\r" in body.replace("\r\n", ""):
            return  # one more cell of text to polars, the end of a line to Python
        assert fast.equals(read_carefully(records, ["a", "b"]))


@SETTINGS
@given(body=st.text(st.sampled_from('a,"\n'), max_size=24), chunk=st.integers(1, 5))
def test_layout_does_not_depend_on_the_chunks(body, chunk):
    content = body.encode()
    whole = lay_out(content, ",")
    parts = lay_out(content, ",", chunk=chunk)
    assert parts.blank.tolist() == whole.blank.tolist()
    assert (parts.num_records, parts.num_delimiters, parts.is_regular) == (
        whole.num_records,
        whole.num_delimiters,
        whole.is_regular,
    )


def test_layout_counts_outside_of_quotes():
    layout = lay_out(b'a,"b,\n\n""c"\n\n\r\nd,e', ",")
    assert (layout.num_records, layout.num_delimiters, layout.is_regular) == (4, 2, True)
    assert layout.blank.tolist() == [1, 2]
    assert not lay_out(b'a,5" b\n', ",").is_regular
    assert not lay_out(b'a,"b\n', ",").is_regular


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter):
    lines = [["name", "price", "size"], ["a, b", "1,5", "x;y"], ["c|d", "2,5", "y\tz"]]
    content = written(lines, delimiter)
    assert table(content).delimiter == delimiter
    assert rows(content) == [tuple(line) for line in lines[1:]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text\nhello, world\nx\n", [("hello, world",), ("x",)]),
        ("amount\n1,5\n2,5\n", [("1,5",), ("2,5",)]),
        ("a;b\n1,5;2,5\n3,5;4,5\n", [("1,5", "2,5"), ("3,5", "4,5")]),
        ("sep=;\na;b\n1;2\n", [("1", "2")]),
        ("sep=|\r\na|b\r\n1|2\r\n", [("1", "2")]),
        ("a,b\r1,2\r3,4\r", [("1", "2"), ("3", "4")]),
        ("\n\na,b\n\n1,2\n\n\n", [("1", "2")]),
        ('a\n1\n\n""\n2', [("1",), (None,), ("2",)]),
        ('a,b\n5" pipe,6" pipe\n', [('5" pipe', '6" pipe')]),
        ('a,b\n"x\n\ny",\n', [("x\n\ny", None)]),
        ("a,b\n 1 , x\n", [(" 1 ", " x")]),
        (
            '"a", "b"\n"1", "x, ""y"""\n2, "3\n4"\n5, z\n',
            [("1", 'x, "y"'), ("2", "3\n4"), ("5", " z")],
        ),
        ('a;b\n "1";   "x"\n', [("1", "x")]),
        ('a,b\n"1, ""x""", 2\n', [('1, "x"', " 2")]),
        ('a,b\n1, "x" y\n', [("1", ' "x" y')]),
        ('a,b\n5", "x"\n', [('5"', ' "x"')]),
    ],
)
def test_texts_of_many_writers_are_read(content, expected):
    assert rows(content) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_marks_of_encodings_are_obeyed(encoding):
    content = "Größe,b\n1,é\n".encode(encoding)
    assert table(content).names == ["Größe", "b"]
    assert rows(content) == [("1", "é")]


def test_other_encodings_are_named_and_then_read():
    content = "a,b\nx,1\nCafé,2\n".encode("cp1252")
    with pytest.raises(
        ValueError, match=r"line 3, byte 4: 0xe9 is not UTF-8 .*'é' in cp1252: save"
    ):
        rows(content)
    assert rows(content, encoding="cp1252") == [("x", "1"), ("Café", "2")]
    with pytest.raises(ValueError, match=r"line 3, byte 12 of the file: not ascii text"):
        rows(content, encoding="ascii")
    with pytest.raises(ValueError, match=r"line 1 holds a NUL byte: .*dataset.encoding=utf-16-le"):
        rows("a,b\n1,2\n".encode("utf-16-le"))
    assert rows("a,b\n1,2\n".encode("utf-16-le"), encoding="utf-16-le") == [("1", "2")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "t.csv is empty"),
        ("\n\r\n", "t.csv is empty"),
        ("a,b\n", "t.csv has a header but no rows"),
        ("a,b\n1,2\n1,2,3\n", "t.csv, line 3 has 3 fields, the header has 2"),
        ("a,b\n1,2\n\n1\n", "t.csv, line 4 has 1 field, the header has 2"),
        ("a\tb\tc\n1\t2\t3\n\t\n", "t.csv, line 3 has 2 fields, the header has 3"),
        ('a,b\n"x\ny",2\n1\n', "t.csv, line 4 has 1 field"),
        ('a,b\n1,2\n1,"2\n3,4\n', 't.csv, line 3: a quote (") is opened here and not closed'),
        ('a,b\n1,2\n1,"2"x\n', "t.csv, line 3: text after a closing quote"),
        ("a,b\n1,2\n1,x\0y\n", "t.csv, line 3 holds a NUL byte, which no text has"),
        ("sep=;\na;b\n1;2;3\n", "t.csv, line 3 has 3 fields"),
    ],
)
def test_mistakes_are_named_with_their_line(content, message):
    with pytest.raises(ValueError, match=r"t\.csv") as caught:
        rows(content)
    assert message in str(caught.value)


def test_a_wrong_delimiter_is_answered_by_the_likely_one():
    with pytest.raises(ValueError, match=r"did you mean dataset.delimiter=';'\?"):
        table("a;b\n1;2\n", delimiter=",")
    with pytest.raises(ValueError, match=r"did you mean dataset.delimiter='\\t'\?"):
        table("a\tb\n1\t2\n", delimiter=",")


def test_columns_without_a_name_or_with_that_of_another_are_numbered(caplog):
    assert table(",a,a,a_2,a\n0,1,2,3,4\n").names == ["column_1", "a", "a_3", "a_2", "a_4"]
    assert [record.getMessage() for record in caplog.records] == [
        "t.csv: column 1 has no name; it is called 'column_1'",
        "t.csv: a second column 'a' is called 'a_3'",
        "t.csv: a second column 'a' is called 'a_4'",
    ]
    assert unique_names(["", "column_1"], "t", quiet=True) == ["column_1_2", "column_1"]


def test_a_first_row_of_numbers_is_suspicious_and_may_be_a_row(caplog):
    content = "1.5,2\n3,4\n"
    assert rows(content) == [("3", "4")]
    assert "if that is a row, give dataset.header=false" in caplog.text
    caplog.clear()
    without = table(content, header=False)
    assert without.names == ["column_1", "column_2"]
    assert without.read().rows() == [("1.5", "2"), ("3", "4")]
    assert without.line_of(1) == 2
    assert not caplog.records


def test_lines_are_found_after_blank_lines_and_cells_of_several():
    whole = table('a,b\n\n"x\ny",1\n\nz,2\n')
    assert [whole.line_of(row) for row in (0, 1)] == [3, 6]
    assert line_of_row(Records(b"1\n2\n", ",", "t"), 1) == 2


@pytest.mark.parametrize("above", ["\n", "  \n", ",,\n", "\n;;\n \t\n", "sep=,\n,\n"])
def test_empty_lines_above_the_names_are_none_of_the_table(above):
    read = table(f"{above}a,b\n1,2\n3,4")
    assert (read.names, read.read().rows()) == (["a", "b"], [("1", "2"), ("3", "4")])
    assert read.line_of(1) == above.count("\n") + 3
    with pytest.raises(ValueError, match=f"line {above.count(chr(10)) + 3} has 3 fields"):
        table(f"{above}a,b\n1,2\n3,4,5").read()


def test_empty_names_above_numbers_are_the_header():
    assert table(",\n1,2\n3,4").read().rows() == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("blank", ["   ", "\t", " \t ", '"  "'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_spaces_are_blank_beside_several_columns(blank, end):
    whole = table(end.join(["a,b", "1,2", blank, "3,4", blank, ""]))
    assert whole.delimiter == ","
    assert whole.read().rows() == [("1", "2"), ("3", "4")]
    assert whole.line_of(1) == 4
    assert table(end.join(["a,b", "1,2", blank])).read().rows() == [("1", "2")]
    later = whole.continued(blank.encode(), 7)
    assert later.read().rows() == []
    assert later.continued(f"{blank}{end}5,6{end}".encode(), 8).line_of(0) == 9


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\n1\n  \n3\n", [("1",), ("  ",), ("3",)]),
        ("a\tb\n1\t2\n\t\n  \n3\t4\n", [("1", "2"), (None, None), ("3", "4")]),
        ("a;b\n1,5;2\n  \n3,5;4\n", [("1,5", "2"), ("3,5", "4")]),
    ],
)
def test_lines_of_spaces_may_be_rows(content, expected):
    assert rows(content) == expected


def test_many_rows_are_read_carefully_in_parts(monkeypatch):
    monkeypatch.setattr("made_exp.datasets.table.records._ROWS", 3)
    cells = [(str(i), f'{i}" pipe') for i in range(10)]
    assert rows("a,b\n" + "".join(f"{a},{b}\n" for a, b in cells)) == cells


def test_wide_cells_and_other_delimiters():
    assert rows("a b\n1 2\n", delimiter=" ") == [("1", "2")]
    assert rows("a§b\n1§2\n", delimiter="§") == [("1", "2")]
    long = "x" * 300_000
    assert rows(f'a,b\n"{long}",2\n') == [(long, "2")]
    assert found_delimiter(b"") == "\t"


def test_a_dialect_is_read_alike_by_both_readers():
    generator = np.random.RandomState(0)
    cells = [[f"{v:.3f}" for v in row] for row in generator.randn(500, 3)]
    content = written([["a", "b", "c"], *cells], quoting=csv.QUOTE_ALL)
    fast = table(content).read_fast()
    records = Records(content.encode(), ",", "t")
    next(records)
    careful = read_carefully(records, ["a", "b", "c"])
    assert fast.equals(careful)
    assert fast.dtypes == [pl.String] * 3
    assert TextStyle().delimiter == text.AUTO


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named_by_its_byte_order(encoding):
    content = "a,b\n1,é\n".encode(encoding)
    with pytest.raises(
        ValueError, match=f"as UTF-8, or train on it with dataset.encoding={encoding}"
    ):
        TextTable(content, "t.csv", TextStyle())
    assert TextTable(content, "t.csv", TextStyle(encoding=encoding)).read().rows() == [("1", "é")]


def test_spaces_before_quotes_are_taken_off_wherever_they_come(tmp_path):
    path = tmp_path / "t.csv"
    rows = ['"34", "x", "0.5"', '"35", "y, z", "1.5"'] * 200
    path.write_text("\n".join(["age,town,v", *["33,x,2.5"] * 200, *rows]))
    pieces = list(read_pieces([path], TextStyle(), block=700))
    whole = read_frame([path], TextStyle())[0]
    assert len(pieces) > 1
    assert pl.concat([piece.frame for piece in pieces]).equals(whole)
    assert whole.row(-1) == ("35", "y, z", "1.5")
    assert tightened(b'1 "x"', " ", header=False) == b'1 "x"'
    assert tightened(b'"a", "b"\n1, 2\n', ",", header=True) == b'"a","b"\n1, 2\n'
    assert tightened(b'a, "b"\n1, 2\n', ",", header=True) == b'a, "b"\n1, 2\n'
