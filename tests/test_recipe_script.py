"""scripts/recipe: what is known is not run again, and the page follows from the record."""

import importlib.machinery
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script, whose runs and peers give numbers at once, and what it has run."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("recipe_script", str(SCRIPTS / "recipe"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    module.done = []
    (tmp_path / "data/npz").mkdir(parents=True)
    for name in ("nltcs", "plants"):
        np.savez(tmp_path / f"data/npz/{name}.npz", train=np.eye(3))
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))

    def run(file, minutes, folder, extra):
        module.done.append((file.stem, minutes))
        return {
            "valid": {"nll": 6.0}, "test": {"nll": 7 - minutes, "nll_stderr": 0.125},
            "baselines": {"independent": 9.25, "chow_liu": "not fitted"},
            "shared_with_train": {"test": 0.5}, "seconds": 61.0,
            "lengths": {"train": [2.0, 1.0], "draws": [1.75, 0.5]},
        }  # fmt: skip

    def peer(name, python, file, minutes):
        module.done.append((file.stem, minutes, name, python))
        return {"test": {"nll": 8.0, "nll_stderr": 0.5}, "seconds": 59.0}

    monkeypatch.setattr(module, "run_recipe", run)
    monkeypatch.setattr(module, "run_peer", peer)
    return module


def test_budgets_are_run_once_and_drawn(script, tmp_path):
    arguments = ["minutes", "nltcs", "plants", "kdd", "--output", str(tmp_path), "--minutes"]
    assert script.main([*arguments, "0.5"]) == 0
    assert script.main([*arguments, "0.5", "2"]) == 0
    assert script.done == [(n, m) for m in (0.5, 2.0) for n in ("nltcs", "plants")]
    page = (tmp_path / "docs/results.md").read_text()
    assert "| table | M = 0.5 | M = 2 | best known |" in page
    assert r"| nltcs | 6.500 (61 s) | 5.000 (61 s) | 5.99\* (" in page
    assert "| kdd |  |  | 2.12" in page  # no such file here
    assert (tmp_path / "docs/pictures/minutes.png").stat().st_size > 5000
    assert len(json.loads((tmp_path / "docs/recipe.json").read_text())) == 4
    assert script.main([*arguments, "0.5", "2", "--page"]) == 0
    assert (tmp_path / "docs/results.md").read_text() == page


def test_tables_have_a_line_each(script, tmp_path):
    assert script.main(["tables", "nltcs", "--minutes", "1", "--output", str(tmp_path)]) == 0
    assert script.done == [("nltcs", 1.0)]
    page = (tmp_path / "docs/results.md").read_text()
    cells = ["nltcs", "61", "6.000", "6.000 ± 0.125", r"5.99\* (best of circuits and mixtures)"]
    cells += ["9.250", "50%", "1.75 ± 0.50", "2.00 ± 1.00"]
    assert "| " + " | ".join(cells) + " |" in page
    with pytest.raises(SystemExit):
        script.main(["tables", "nltcs", "--peer", "spflow=/a/python"])


def test_peers_stand_beside_a_run_of_their_own(script, tmp_path):
    peers = ["--peer", "spflow=/a/python", "mostlyai=/b/python"]
    arguments = ["peers", "nltcs", "--minutes", "1", "--output", str(tmp_path)]
    assert script.main([*arguments, *peers]) == 0
    assert script.done == [
        ("nltcs", 1.0),
        ("nltcs", 1.0, "spflow", "/a/python"),
        ("nltcs", 1.0, "mostlyai", "/b/python"),
    ]
    assert next(iter(json.loads((tmp_path / "docs/recipe.json").read_text()))) == "nltcs 1 one core"
    page = (tmp_path / "docs/results.md").read_text()
    assert "| nltcs | 6.000 (61 s) | 8.000 (59 s) | 8.000 (59 s) |" in page
    with pytest.raises(SystemExit):
        script.main([*arguments, "--peer", "spflo=/a/python"])
