"""The recipe for binary tables on the smallest of them: one column, constants, twenty rows."""

import json
import math

import numpy as np
import pytest

from made_exp.cli.app import main

pytestmark = pytest.mark.pictures

SHORT = (
    "trainer.max_steps=24", "trainer.min_steps=24", "trainer.tensorboard=false",
    "trainer.progress=off", "trainer.num_samples=4", "model.hidden_sizes=[9,9]",
    "ordering.num_orderings=4",
)  # fmt: skip
BITS = np.random.default_rng(0).integers(0, 2, (20, 4)).astype(np.uint8)


@pytest.mark.parametrize(
    ("rows", "constant"),
    [
        (BITS, ""),
        (BITS[:, :1], ""),
        (BITS * np.array([1, 0, 1, 0], np.uint8), "2 of 4 columns have one value in all of train"),
        (np.ones((20, 1), np.uint8), "1 of 1 columns have one value in all of train: x0; they"),
    ],
    ids=["twenty rows", "one column", "constants", "nothing else"],
)
def test_the_recipe_takes_any_table(rows, constant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    np.savez("table.npz", train=rows)
    typed = ["experiment=density", "dataset=npz", "dataset.path=table.npz", "hydra.run.dir=run"]
    assert main([*typed, *SHORT]) == 0
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert math.isfinite(results["test"]["nll"])
    assert all(check["passed"] for check in results["checks"].values())
    assert (tmp_path / "run/samples/final.png").exists()
    log = (tmp_path / "run/train.log").read_text()
    assert ("have one value in all of train" in log) is bool(constant)
    assert constant in log
