"""Names of columns on the command line: any that a header can hold, as people type them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_exp.cli.command_line import command_for, parse_command_line
from made_exp.cli.compose import compose_config, fixed_overrides, sweep_overrides
from made_exp.cli.own_names import spoken
from made_exp.cli.validate import settings_from

TABLE = ("dataset=table", "dataset.path=table.csv")
SETTINGS = settings(max_examples=25, deadline=None)


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("names")
        (folder / "table.csv").write_text("a,b\n1,2\n")
        (folder / "größe 1.csv").write_text("a,b\n1,2\n")
        np.savez(folder / "t.npz", train=np.zeros((4, 3), np.uint8))
        patch.chdir(folder)
        yield folder


def dataset(*overrides):
    command = parse_command_line([*TABLE, *overrides])
    return settings_from(compose_config(command, command.overrides)).dataset


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ("dataset.kinds={age: real}", {"age": "real"}),
        ("dataset.kinds={net worth: real,a.b:integer}", {"net worth": "real", "a.b": "integer"}),
        ("dataset.kinds={net worth (k$): real}", {"net worth (k$)": "real"}),
        ("dataset.kinds={größe: real, 年齢: date}", {"größe": "real", "年齢": "date"}),
        ("dataset.kinds={'größe, (m)': real}", {"größe, (m)": "real"}),
        ('dataset.kinds={"it\'s": real}', {"it's": "real"}),
        ("dataset.kinds={'say \"hi\"': real}", {'say "hi"': "real"}),
        ('dataset.kinds={"a \\"b\\" \'c\'": real}', {"a \"b\" 'c'": "real"}),
        ("dataset.kinds={a;b#c~d!e^f`g<h>&: real}", {"a;b#c~d!e^f`g<h>&": "real"}),
        ("dataset.kinds={2020: real, null: real}", {"2020": "real", "null": "real"}),
        ("dataset.kinds={50%: real, a: b: date}", {"50%": "real", "a: b": "date"}),
        (r"dataset.kinds={a\ b\,c: real}", {"a b,c": "real"}),
        ("dataset.kinds.größe=real", {"größe": "real"}),
        ("dataset.kinds.net worth (k$)=real", {"net worth (k$)": "real"}),
        ("dataset.kinds.a.b=real", {"a.b": "real"}),
        ("dataset.kinds.2020=real", {"2020": "real"}),
    ],
)
def test_kinds_are_given_as_people_write_names(given, kinds):
    assert dataset(given).kinds == kinds


@SETTINGS
@given(name=st.text(min_size=1, max_size=8).filter(lambda name: "\\" not in name))
def test_every_name_goes_through_in_quotes(name):
    quoted = '"' + name.replace('"', '\\"') + '"'
    assert dataset(f"dataset.kinds={{{quoted}: real}}").kinds == {name: "real"}


def test_kinds_that_are_given_twice_are_put_together():
    kinds = dataset("dataset.kinds={größe: real}", "dataset.kinds.a.b=date").kinds
    assert kinds == {"größe": "real", "a.b": "date"}


def test_names_can_be_swept_over():
    given = "dataset.kinds={größe: real},{größe (m): integer}"
    command = parse_command_line(["-m", *TABLE, given])
    jobs = sweep_overrides(command, compose_config(command, fixed_overrides(command)))
    found = [settings_from(compose_config(command, job)).dataset.kinds for job in jobs]
    assert found == [{"größe": "real"}, {"größe (m)": "integer"}]


def test_a_command_that_is_pasted_means_the_same():
    command = parse_command_line([*TABLE, "dataset.kinds={größe (m): real}"])
    pasted = command_for(command.overrides)
    assert pasted.isascii()
    again = parse_command_line(command.overrides)
    assert again.overrides == command.overrides


def test_words_beyond_ascii_need_no_quotes():
    assert dataset("dataset.path=größe 1.csv").path.endswith("größe 1.csv")
    found = dataset("dataset.drop=[größe,'net worth (k$)',net worth]", "dataset.split_column=Ü x")
    assert found.drop == ["größe", "net worth (k$)", "net worth"]
    assert found.split_column == "Ü x"
    assert spoken("dataset.drop=['ä',\"ö\", ü x ]") == 'dataset.drop=[\'ä\',"ö", "ü x" ]'


def test_several_files_and_texts_are_lists():
    found = dataset(
        "dataset.path=[table.csv,größe 1.csv]",
        "dataset.missing_values=[-9999,NA,?,-,'n/a','']",
    )
    assert [path.rpartition("/")[2] for path in found.path] == ["table.csv", "größe 1.csv"]
    assert found.missing_values == ["-9999", "NA", "?", "-", "n/a", ""]


def test_names_of_notes_are_free_too():
    overrides = ["dataset=npz", "dataset.path=t.npz", "notes={why: x, 'who is é?': y}"]
    command = parse_command_line(overrides)
    notes = settings_from(compose_config(command, command.overrides)).notes
    assert notes == {"why": "x", "who is é?": "y"}
