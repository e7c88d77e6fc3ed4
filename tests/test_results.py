"""The results table: every row can be run, and the committed tables follow from the record."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"
SIX = ("histogram", "logistic_mixture", "made2d_smiley", "made2d_hinton", "made_shapes")


@pytest.fixture
def scripts(monkeypatch):
    """The modules rows, tables and results, which lie beside the script."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    loader = importlib.machinery.SourceFileLoader("results_script", str(SCRIPTS / "results"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    import result_rows
    import result_tables

    return module, result_rows, result_tables


def run_script(*arguments, data_dir):
    """scripts/results in this environment, with a data folder of its own."""
    environment = {
        **os.environ, "MADE_VENV": sys.prefix, "MADE_DATA_DIR": str(data_dir),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, SCRIPTS / "results", *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=250,
    )  # fmt: skip


def test_rows_name_presets_that_exist(scripts):
    rows = scripts[1].ROWS
    presets = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    used = {part.split("=")[1] for row in rows for part in row.overrides if "experiment=" in part}
    assert used <= presets
    assert used >= {*SIX, "made_mnist", "density", "dna", "mushrooms", "binarized_mnist"}
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.others or row.remark or row.files for row in rows)


@pytest.mark.slow
def test_fast_run_writes_tables_pictures_and_record_and_is_not_repeated(tmp_path):
    out, data = tmp_path / "out", tmp_path / "data"
    (out / "docs").mkdir(parents=True)
    (out / "README.md").write_text(
        "# title\n\n<!-- results:start -->\nold\n<!-- results:end -->\n\nend\n"
    )
    rows = ("histogram", "logistic_mixture", "made_mnist", "adult")
    arguments = ("--fast", "--output", out, *rows)
    done = run_script(*arguments, data_dir=data)
    assert done.returncode == 0, done.stderr
    readme, page = (out / "README.md").read_text(), (out / "docs" / "results.md").read_text()
    assert readme.startswith("# title\n\n<!-- results:start -->\n")
    assert readme.endswith("<!-- results:end -->\n\nend\n")
    assert "old" not in readme
    record = json.loads((out / "docs" / "results.json").read_text())
    nll = record["histogram"]["runs"]["0"]["test"]["nll"]
    for text in (readme, page):
        assert f"{nll:.3f} ± " in text
        assert "not run: file missing" in text
    assert record["made_mnist"] == {
        "overrides": ["experiment=made_mnist"], "runs": {}, "reason": "not run: file missing",
    }  # fmt: skip
    with Image.open(out / "docs" / "pictures" / "logistic_mixture.png") as picture:
        assert picture.width <= 1000
    finished = out / "outputs" / "results" / "histogram-0" / "results.json"
    before = finished.stat().st_mtime_ns
    assert run_script("--fast", "--output", out, "histogram", data_dir=data).returncode == 0
    assert finished.stat().st_mtime_ns == before
    assert (out / "README.md").read_text() == readme


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["histogramm"], "no row 'histogramm' (have: histogram, "),
        (["--seeds", "0,x"], "--seeds '0,x' is no list of whole numbers"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    done = run_script(*arguments, data_dir=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_committed_tables_follow_from_the_committed_record(scripts, tmp_path):
    module, *_ = scripts
    for name in ("README.md", "docs/results.md", "docs/results.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    module.write_documents(tmp_path, module.Record(tmp_path / "docs" / "results.json"))
    for name in ("README.md", "docs/results.md"):
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), name


def test_committed_pictures_are_small_and_all_there(scripts):
    module, result_rows, _ = scripts
    record = module.Record(ROOT / "docs" / "results.json")
    pictures = list((ROOT / "docs" / "pictures").glob("*.png"))
    assert {path.stem for path in pictures} >= {
        row.name for row in result_rows.ROWS if record.runs(row)
    }
    assert sum(path.stat().st_size for path in pictures) < 1_000_000


def test_numbers_of_a_row_whose_command_changed_are_not_shown(scripts, tmp_path):
    module, result_rows, _ = scripts
    row, other = result_rows.ROWS[0], result_rows.ROWS[1]
    record = module.Record(tmp_path / "results.json")
    results = {"test": {"nll": 2.0}, "seed": 3}
    record.add(row, 3, results)
    assert module.Record(record.path).runs(row) == {"3": {"test": {"nll": 2.0}}}
    record.rows[row.name]["overrides"] = list(other.overrides)
    assert record.runs(row) == {}


@pytest.mark.parametrize(
    "text", ["<!-- results:end -->\n<!-- results:start -->", "<!-- results:start -->"]
)
def test_damaged_markers_are_refused(scripts, text):
    with pytest.raises(ValueError, match="expected <!-- results:start -->"):
        scripts[2].between_markers(text, "table", "## Results")


def test_missing_markers_are_added_at_the_end(scripts):
    once = scripts[2].between_markers("# title\n", "table", "## Results")
    assert once == (
        "# title\n\n## Results\n\n<!-- results:start -->\ntable\n<!-- results:end -->\n"
    )
    assert scripts[2].between_markers(once, "table", "## Results") == once
