"""Every Python block of docs/python.md runs, one after the other, on a few people."""

import re
from pathlib import Path

import polars as pl
import pytest

from made_exp.sklearn import MADEClassifier, MADEDensity, MADEImputer

pytestmark = pytest.mark.pictures

DOCUMENT = Path(__file__).parents[1] / "docs/python.md"
SHORT = {
    "trainer": {"max_steps": 5, "device": "cpu"},
    "model": {"hidden_sizes": [8], "baselines": []},
}


def test_python_of_the_document_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    ages = range(20, 80)
    frame = pl.DataFrame(
        {
            "age": list(ages),
            "children": [None if a % 9 == 0 else a % 3 for a in ages],
            "town": ["xy"[a % 2] for a in ages],
        }
    )
    text = DOCUMENT.read_text().replace("settings=settings, ", "")
    text = text.replace("random_state=0", "random_state=0, settings=SHORT")
    text = text.replace("max_minutes=2, seed=0", "path='outputs/people', **SHORT")
    said = {"frame": frame, "SHORT": SHORT}
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    for block in blocks:
        exec(block, said)
    assert len(blocks) == 5
    assert said["whole"].null_count().sum_horizontal()[0] == 0
    assert len(said["rows"]) == 5
    assert 0 <= said["share"] <= 1
    assert said["filled"].shape == frame.shape
    assert isinstance(said["density"], MADEDensity)
    assert isinstance(said["classifier"], MADEClassifier)
    assert said["MADEImputer"] is MADEImputer
