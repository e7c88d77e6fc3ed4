"""The wheel works in an empty folder, with its own conf/ and without the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel_works_without_the_checkout(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", tmp_path, ROOT], check=True, timeout=250)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    command = [sys.executable, "-m", "made_exp.train"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    empty = tmp_path / "empty"
    empty.mkdir()

    def answer(*arguments):
        return subprocess.run(
            [*command, *arguments], cwd=empty, env=environment, capture_output=True, text=True
        )

    assert str(site / "made_exp/conf") in answer("--info=searchpath").stdout
    assert answer("optimizer.lr=-1").returncode == 2
    run = answer("dataset=gaussian_1d", "model=histogram", "trainer=debug")
    assert run.returncode == 0, run.stderr
    assert list(empty.glob("outputs/runs/*/results.json"))
