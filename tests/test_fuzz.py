"""A few damaged inputs for each reader; `python tests/fuzz.py --inputs N` gives it many."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("inputs", [6, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_damaged_inputs_are_read_or_refused_in_words(tmp_path, inputs):
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), f"--inputs={inputs}"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count(f"{inputs} inputs, 0 failures") == 15
