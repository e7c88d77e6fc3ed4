"""Completion of made-train in a shell, by what the command prints for it."""

import subprocess
import sys

import pytest

COMPLETE = """
eval "$(made-train -sc install=bash)"
for line in "$@"; do
  COMP_LINE="$line" COMP_POINT=${#line} COMP_WORDS=($line) COMP_CWORD=1
  COMPREPLY=()
  hydra_bash_completion
  echo "${COMPREPLY[*]}"
done
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """made-train on the PATH, of this environment."""
    program = tmp_path / "made-train"
    code = "import sys; sys.argv[0] = 'made-train'; from made_exp.train import main; exit(main())"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("command")
def test_bash_completes_groups_options_and_settings():
    lines = ["made-train optimizer=ada", "made-train optim", "made-train trainer.ep"]
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", *lines],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stderr == ""
    options, groups, settings = map(str.split, done.stdout.splitlines())
    assert options == [f"optimizer={name}" for name in ("adadelta", "adagrad", "adam", "adamw")]
    assert "optimizer=" in groups
    assert settings == ["trainer.epochs="]
