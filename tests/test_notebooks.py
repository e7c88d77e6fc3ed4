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
COMPLETION = "completion.ipynb"


def cells_of(notebook, kind):
    """The source of each cell of a kind, code or markdown."""
    cells = json.loads((NOTEBOOKS / notebook).read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def stored_in(notebook):
    """What the file itself shows below its cells, as text."""
    cells = json.loads((NOTEBOOKS / notebook).read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    results = [output for output in outputs if output["output_type"] == "execute_result"]
    return ["".join(output["data"]["text/plain"]) for output in results]


def cells_of_script(script):
    """The source of each cell of a script, from one `# %%` to the next."""
    return re.split(r"^# %%.*\n", (NOTEBOOKS / script).read_text(), flags=re.M)


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
    # The file shows what these cells make; digits may differ from one machine to the next.
    values = [value for value in shown if value is not None]
    for value, text in zip(values, stored_in("table.ipynb"), strict=True):
        if isinstance(value, pl.DataFrame):
            assert text.startswith(f"shape: {value.shape}\n")
            assert all(name in text for name in value.columns)


def test_images_completed_in_any_pattern():
    sources = [re.sub(r"STEPS = \d+", "STEPS = 20", code) for code in cells_of(COMPLETION, "code")]
    names, shown = executed(sources)
    assert shown[0] == "shapes"  # no other images are here
    x, completed = names["x"], names["completed"]
    assert len(completed) == 4
    for pattern, known in names["patterns"].items():
        assert completed[pattern].shape == (len(x), 4, x.shape[1])
        assert (completed[pattern][..., known] == x[:, None, known]).all()
        drawn = completed[pattern][..., ~known]
        assert (drawn[:, 0] != drawn[:, 1]).any()
    assert ((names["chances"][:, names["known"]] - x[:, names["known"]]).abs() < 1e-12).all()
    pictures = ("patterns.png", "halves.png", "chances.png")
    assert all(Path(picture).stat().st_size > 2000 for picture in pictures)


@pytest.mark.parametrize("notebook", ["table.ipynb", COMPLETION])
def test_links_of_the_notebooks_lead_somewhere(notebook):
    links = re.findall(r"\]\(([^)#:]+)\)", "".join(cells_of(notebook, "markdown")))
    assert links
    for link in links:
        assert (NOTEBOOKS / link).exists(), link


def test_a_sweep_read_as_a_frame():
    cells = cells_of_script("sweep.py")
    names, _ = executed(cells)
    runs, rates = names["runs"], names["rates"]
    assert len(cells) == 5
    assert runs["status"].to_list() == ["completed"] * 4
    assert rates["lr"].to_list() == [0.001, 0.01]
    for lr, mean, deviation in rates.rows():
        own = runs.filter(lr=lr)["test_nll"].to_numpy()
        assert mean == pytest.approx(own.mean())
        assert deviation == pytest.approx(abs(own[0] - own[1]) / 2**0.5)
    assert names["best"] == 0.01  # few steps must be large ones
    assert Path("rates.png").stat().st_size > 2000


def test_every_notebook_is_linked_and_run_here():
    documents = [NOTEBOOKS.parents[1] / "README.md", *NOTEBOOKS.parent.glob("*.md")]
    linked = "".join(document.read_text() for document in documents)
    for notebook in NOTEBOOKS.iterdir():
        assert f"notebooks/{notebook.name})" in linked
        assert f'"{notebook.name}"' in Path(__file__).read_text()
