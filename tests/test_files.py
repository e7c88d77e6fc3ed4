"""Files are whole or absent, and what was there before a failure is there after it."""

import json

import pytest

from made_exp.files import atomic_path, atomic_write_bytes, atomic_write_json, atomic_write_text


def test_content_arrives_and_nothing_else(tmp_path):
    atomic_write_bytes(tmp_path / "a", b"\x00\xff")
    atomic_write_text(tmp_path / "b", "ü\n")
    atomic_write_json(tmp_path / "c", {"nll": 1.5})
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_bytes() == "ü\n".encode()
    assert json.loads((tmp_path / "c").read_text()) == {"nll": 1.5}
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}


@pytest.mark.parametrize("previous", [None, "b"])
def test_a_failure_leaves_what_was_there(tmp_path, previous):
    (tmp_path / "a").write_text("before")

    def fail():
        kept = previous and tmp_path / previous
        with atomic_path(tmp_path / "a", previous=kept) as temporary:
            temporary.write_text("half of")
            raise ValueError("the other half")

    with pytest.raises(ValueError, match="the other half"):
        fail()
    assert (tmp_path / "a").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_json_cannot_say_is_null(tmp_path):
    atomic_write_json(tmp_path / "a", {"nll": float("inf"), "list": [float("nan"), 1]})
    assert json.loads((tmp_path / "a").read_text()) == {"nll": None, "list": [None, 1]}
