"""Files are whole or absent, and what was there before a failure is there after it."""

import json
import os
import subprocess
import sys

import pytest

from made_exp.files import (
    atomic_path,
    atomic_write_bytes,
    atomic_write_json,
    atomic_write_text,
    folder_of_parts,
)


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


def test_what_a_killed_process_had_begun_goes_when_the_file_is_written_again(tmp_path):
    kill = (
        "import os, sys\n"
        "from made_exp.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path: path.write_text('half'); os.kill(os.getpid(), 9)"
    )
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", kill, str(tmp_path / name)])
    for part in tmp_path.glob(".a.*.tmp"):
        folder_of_parts(part).mkdir()
    (of_b,) = tmp_path.glob(".b.*.tmp")
    living = tmp_path / f".a.{os.getppid()}.{of_b.name.split('.')[3]}.tmp"
    elsewhere = tmp_path / of_b.name.replace(".b.", ".a.").replace(
        of_b.name.split(".")[3], "0" * 16
    )
    for path in (living, elsewhere):
        path.write_text("of a process that may be alive")
    with atomic_path(tmp_path / "a") as first, atomic_path(tmp_path / "a") as second:
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a").read_text() == "1"
    assert set(tmp_path.iterdir()) == {tmp_path / "a", of_b, living, elsewhere}
