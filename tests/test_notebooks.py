"""Every cell of the notebooks runs, one after the other, and shows what the text says."""

import ast
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "docs/notebooks"


def cells_of(notebook, kind):
    """The source of each cell of a kind, code or markdown."""
    cells = json.loads((NOTEBOOKS / notebook).read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def executed(sources):
    """Run cells in one namespace; it, and what a notebook would show below each of them."""
    names, shown = {"__name__": "__main__"}, []
    for number, source in enumerate(sources):
        body = ast.parse(source).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        place = f"cell {number}"
        exec(compile(ast.Module(body, []), place, "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), place, "eval"), names))
    return names, shown


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    backend = plt.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


def test_from_a_frame_to_answers():
    names, shown = executed(cells_of("table.ipynb", "code"))
    orders, mistakes = names["orders"], names["mistakes"]
    assert sum(isinstance(value, pl.DataFrame) for value in shown) == 8
    # Both mistakes are the oddest rows, for the cells in which they were made.
    odd = names["checked"][names["oddest"]]
    assert odd[:2].sort("day").equals(mistakes.sort("day"))
    for row, blame in zip(odd[:2].iter_rows(named=True), names["surprise"][:2].rows(), strict=True):
        wrong = "paid" if row["discount"] == 0 else "discount"
        assert orders.columns[np.argmax(blame)] == wrong
    assert names["completed"].null_count().sum_horizontal()[0] == 0
    assert names["completed"]["paid"][:3].to_list() == ["$62.00"] * 3
    machines, given_winter, dear, rated = map(float, names["answers"])
    share = (orders["product"] == "machine").mean()
    assert machines == pytest.approx(share, abs=0.05)
    assert given_winter > machines
    assert 0 < dear < 1
    assert 0 < rated < 1
    assert names["hits"] > 0.8
    assert names["rows"].schema == orders.schema
    assert Path("samples.png").stat().st_size > 5000
    assert Path("orders.safetensors").exists()
    assert any(isinstance(value, float) and value == 0 for value in shown)  # the kept run


def test_links_of_the_notebook_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", "".join(cells_of("table.ipynb", "markdown")))
    assert links
    for link in links:
        assert (NOTEBOOKS / link).exists(), link
