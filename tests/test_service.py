"""The service of docs/service.md: what it answers, to mistakes too, and to many at once."""

import asyncio
import re
import sys
import types
from pathlib import Path

import httpx
import polars as pl
import pytest
import torch
from experiment_cases import make_settings

from made_exp import export, load_run
from made_exp.experiments.experiment import run

DOCUMENT = Path(__file__).parents[1] / "docs/service.md"
ROW = {"age": 41, "town": "x"}


def post(app, *requests):
    """The answers to requests (path, content) that are made at the same time."""

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            asked = [client.post(path, json=content) for path, content in requests]
            return await asyncio.gather(*asked)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The service as the document has it, and the model that it serves."""
    folder = tmp_path_factory.mktemp("service")
    rows = [f"{a},{a % 3},{'xy'[a % 2]}" for a in range(20, 80)]
    (folder / "people.csv").write_text("\n".join(["age,children,town", *rows]))
    settings = make_settings(
        folder,
        dataset={"name": "table", "path": str(folder / "people.csv")},
        ordering={"name": "agnostic", "num_orderings": 2},
        trainer={"epochs": 1},
    )
    service, _ = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        patch.setenv("MADE_MODEL", str(folder / "people.safetensors"))
        run(settings, folder / "run")
        assert export.main([f"run={folder / 'run'}", f"path={folder / 'people.safetensors'}"]) == 0
        module = types.ModuleType("service")
        patch.setitem(sys.modules, "service", module)
        exec(service, vars(module))
        yield module.app, load_run(folder / "run")
    torch.set_num_threads(threads)


def test_rows_are_scored_and_completed(served):
    app, model = served
    full = {**ROW, "children": 2}
    frame = pl.DataFrame([full, {**ROW, "children": None}])
    scored, drawn = post(
        app,
        ("/score", {"rows": [full, ROW]}),
        ("/complete", {"rows": [ROW, full], "num_samples": 3}),
    )
    assert (scored.status_code, drawn.status_code) == (200, 200)
    assert scored.json() == pytest.approx(model.log_prob(frame).tolist())
    drawn = drawn.json()
    assert len(drawn) == 6
    assert all(row["age"] == 41 and row["town"] == "x" for row in drawn)
    assert all(type(row["age"]) is int for row in drawn)
    assert {row["children"] for row in drawn[:3]} <= {0, 1, 2}
    assert [row["children"] for row in drawn[3:]] == [2] * 3


def test_cells_of_rows_keep_their_types(served):
    row = {"age": 41, "wage": 2.5, "town": "x", "is_member": True, "children": None}
    (kept,) = sys.modules["service"].Rows(rows=[row]).rows
    assert kept == row
    assert [type(value) for value in kept.values()] == [type(value) for value in row.values()]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/complete", {"rows": [{**ROW, "age": "old"}]}, "column 'age': 'old' is not a number"),
        ("/complete", {"rows": [ROW], "num_samples": 0}, "greater than or equal to 1"),
        ("/score", {"rows": []}, "at least 1 item"),
    ],
)
def test_mistakes_are_answered(served, path, content, message):
    (answer,) = post(served[0], (path, content))
    assert answer.status_code == 422
    assert message in answer.text


def test_many_requests_at_once_have_their_own_answers(served):
    app, _ = served
    asked = [("/complete", {"rows": [{"age": 20 + n}] * 5, "seed": n}) for n in range(40)]
    alone = [post(app, one)[0].json() for one in asked]
    scored = [post(app, ("/score", {"rows": rows}))[0].json() for rows in alone]
    together = post(app, *asked, *(("/score", {"rows": rows}) for rows in alone))
    assert [answer.json() for answer in together] == [*alone, *scored]
    assert len({str(rows) for rows in alone}) == 40
