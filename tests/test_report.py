"""Tables over runs: what is found, grouped, sorted, averaged and written."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import HOSTILE, make_run, make_sweep

from made_exp.report import main as made_report
from made_exp.reporting.discovery import find_runs
from made_exp.reporting.output import report
from made_exp.reporting.records import read_run
from made_exp.reporting.run_settings import cell_text, differing_settings, settings_of
from made_exp.reporting.summary import make_tables
from made_exp.reporting.tables import to_csv, to_markdown
from made_exp.runs.folder import RunDirectory
from made_exp.runs.holding import is_free


def csv_rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_a_sweep_with_failures(tmp_path):
    sweep = make_sweep(tmp_path / "sweep")
    found = report(sweep)
    (table,) = found.tables
    assert table.dataset == "mnist"
    titles = [column.title for column in table.columns]
    # In the order of the config; what is equal in all runs is not shown.
    expected = "run lr seed,test NLL,s.e. (examples),valid NLL,epochs,seconds,status"
    assert titles == expected.replace("run lr seed", "run,lr,seed").split(",")
    tests = [row.cells["test_nll"] for row in table.rows]
    assert tests[:4] == sorted(tests[:4])
    assert tests[4:] == [None, None]
    assert [row.cells["status"] for row in table.rows] == ["completed"] * 4 + ["failed"] * 2
    rows = csv_rows(found.csv)
    assert len(rows) == 6
    assert float(rows[0]["test_nll"]) == 80.0
    assert float(rows[0]["optimizer.lr"]) == 1e-3
    text = found.as_text(200)
    assert "1e+30" in text
    assert "80.000" in text
    assert "diverged" in text


def test_text_of_a_report_names_its_files(tmp_path, capsys):
    found = report(make_sweep(tmp_path / "s"), output=tmp_path / "out" / "deep")
    for path in (found.csv, found.markdown, found.page):
        assert path.parent == tmp_path / "out" / "deep"
        assert str(path) in str(found)
    assert not list((tmp_path / "s").glob("report.*"))


def test_several_sweeps_and_runs_at_any_depth(tmp_path):
    make_sweep(tmp_path / "outputs" / "sweeps" / "a")
    make_sweep(tmp_path / "outputs" / "sweeps" / "b", seeds=(2,))
    make_run(tmp_path / "outputs" / "runs" / "x")
    assert len(find_runs(tmp_path)) == 10
    assert len(find_runs(tmp_path / "outputs" / "sweeps" / "b")) == 3
    (single,) = find_runs(tmp_path / "outputs" / "runs" / "x")
    assert (single.name, single.test_nll, single.test_nll_stderr) == ("x", 80.0, 0.25)


def test_reporting_twice_gives_the_same(tmp_path):
    first = report(make_sweep(tmp_path / "s")).csv.read_text()
    assert report(tmp_path / "s").csv.read_text() == first


@pytest.mark.parametrize("name", ["report.csv", "report.md", "report.html"])
def test_a_file_of_the_users_is_no_report_and_stays(tmp_path, name, capsys):
    make_run(tmp_path / "a")
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(ValueError, match=f"{name} is no report of made-report"):
        report(tmp_path)
    assert made_report([f"path={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert (tmp_path / name).read_text() == "mine\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", name]


def test_seeds_are_averaged(tmp_path):
    found = report(make_sweep(tmp_path / "s", seeds=(0, 1, 2)), group_by="seed")
    (table,) = found.tables
    assert "s.e. (runs)" in [column.title for column in table.columns]
    best, second, failed = table.rows
    assert best.cells["optimizer.lr"] == 1e-3
    assert best.cells["test_nll"] == pytest.approx(81.0)
    assert best.cells["test_nll_std"] == pytest.approx(1.0)
    assert best.cells["count"] == 3
    assert second.cells["status"] == "completed"
    assert (failed.cells["count"], failed.cells["test_nll"]) == (0, None)
    assert failed.cells["status"] == "failed"
    assert "seed" not in [column.key for column in table.columns]
    assert "Single runs" in found.page.read_text()


def test_a_group_with_a_failed_seed_counts_the_finished(tmp_path):
    make_run(tmp_path / "0", seed=0, nll=80)
    make_run(tmp_path / "1", seed=1, nll=82)
    make_run(tmp_path / "2", seed=2, status="failed")
    (table,) = make_tables(find_runs(tmp_path), group_by="seed")
    (row,) = table.rows
    assert (row.cells["count"], row.cells["test_nll"]) == (2, 81.0)
    assert row.cells["status"] == "2 completed, 1 failed"
    assert len(row.runs) == 3


def test_one_run_has_no_standard_deviation(tmp_path):
    make_run(tmp_path / "0")
    (table,) = make_tables(find_runs(tmp_path), group_by="seed")
    assert table.rows[0].cells["test_nll_std"] is None


def test_different_datasets_are_grouped_apart(tmp_path):
    make_run(tmp_path / "a", dataset="mnist", nll=80)
    make_run(tmp_path / "b", dataset="gaussian_1d", nll=2.05)
    make_run(tmp_path / "c", dataset="npz", dataset_options={"path": "/d/plants.npz"}, nll=13)
    tables = make_tables(find_runs(tmp_path))
    names = [table.dataset for table in tables]
    assert names == ["gaussian_1d", "mnist", "npz (path=/d/plants.npz)"]
    assert [len(table.rows) for table in tables] == [1, 1, 1]


def test_options_that_change_the_data_are_grouped_apart(tmp_path):
    for kind in ("threshold", "dynamic"):
        make_run(tmp_path / kind, dataset_options={"binarization": kind, "context": "none"})
    make_run(tmp_path / "labels", dataset_options={"binarization": "dynamic", "context": "labels"})
    tables = make_tables(find_runs(tmp_path))
    names = ["mnist (binarization=dynamic)", "mnist (binarization=threshold)"]
    assert [table.dataset for table in tables] == names
    assert [column.title for column in tables[0].settings] == ["context"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, [1, 2, 3]),
        ("-test_nll", [3, 2, 1]),
        ("valid.nll", [1, 2, 3]),
        ("optimizer.lr", [3, 1, 2]),
        ("-lr", [2, 1, 3]),
        ("run", [2, 3, 1]),
    ],
)
def test_sorting(tmp_path, sort, expected):
    make_run(tmp_path / "c", lr=1e-3, nll=1)
    make_run(tmp_path / "a", lr=1e-2, nll=2)
    make_run(tmp_path / "b", lr=1e-4, nll=3)
    (table,) = report(tmp_path, sort=sort).tables
    assert [row.cells["test_nll"] for row in table.rows] == expected


@pytest.mark.parametrize("sort", ["test_nll", "-test_nll"])
def test_runs_without_a_result_come_last(tmp_path, sort):
    make_run(tmp_path / "a", status="failed")
    make_run(tmp_path / "b", nll=1)
    (table,) = make_tables(find_runs(tmp_path), sort=sort)
    assert [row.cells["run"] for row in table.rows] == ["b", "a"]


def test_names_that_no_run_has_are_refused(tmp_path):
    make_sweep(tmp_path / "s")
    with pytest.raises(ValueError, match=r"sort=tset_nll.*'test_nll'"):
        report(tmp_path, sort="tset_nll")
    with pytest.raises(ValueError, match=r"group_by=sed.*'seed'"):
        report(tmp_path, group_by="sed")
    assert not (tmp_path / "report.csv").exists()


def test_an_empty_or_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no runs below"):
        report(tmp_path)
    with pytest.raises(ValueError, match="existing folder"):
        report(tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_an_empty_sweep_is_an_error(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").write_text("hydra: {}\n")
    (tmp_path / "sweep" / "results.jsonl").write_text("")
    with pytest.raises(ValueError, match="no runs below"):
        report(tmp_path)


@pytest.mark.parametrize("content", ['{"status": "comp', "", "[1, 2]", '{"test": 3}', "\x00\xff"])
def test_a_results_file_cut_in_half_is_reported(tmp_path, content):
    make_run(tmp_path / "whole")
    cut = make_run(tmp_path / "cut")
    (cut / "results.json").write_text(content)
    found = report(tmp_path)
    rows = {row.cells["run"]: row.cells for row in found.tables[0].rows}
    assert rows["cut"]["status"] == "damaged"
    assert rows["cut"]["test_nll"] is None
    assert rows["cut"]["valid_nll"] == pytest.approx(80.2, abs=0.2)  # from metrics.jsonl
    assert rows["whole"]["test_nll"] == 80.0
    if not content.startswith('{"test'):
        for text in (found.markdown.read_text(), found.page.read_text(), str(found)):
            assert "cannot be read" in text


def test_cut_metrics_and_config(tmp_path):
    folder = make_run(tmp_path / "a", overrides=["optimizer.lr=0.5", "dataset=mnist"])
    whole = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(whole + '{"epoch": 21, "tra')
    (folder / "config.json").write_text("{")
    (run,) = find_runs(folder)
    assert len(run.curve) == 20
    assert run.settings == {"optimizer.lr": 0.5, "dataset.name": "mnist"}
    assert len(run.problems) == 2


def test_status_of_unfinished_runs(tmp_path):
    fresh = make_run(tmp_path / "fresh", status="running")
    stale = make_run(tmp_path / "stale", status="running")
    make_run(tmp_path / "stopped", status="stopped")
    hour_ago = time.time() - 3600
    for path in (*stale.rglob("*"), stale):
        os.utime(path, (hour_ago, hour_ago))
    status = {run.name: run.status for run in find_runs(tmp_path)}
    assert status == {"fresh": "running", "stale": "unfinished", "stopped": "stopped"}
    assert read_run(fresh, "x").epochs == 20
    assert read_run(fresh, "x").seconds == 30.0


def test_a_run_whose_process_was_killed_is_told_with_how_it_goes_on(tmp_path):
    begun = "run = RunDirectory(sys.argv[1]); run.create(); lock = run.locked(); lock.__enter__()"
    killed = "run.start({}, 'abc'); os.kill(os.getpid(), 9)"
    imports = "import os, sys; from made_exp.runs.folder import RunDirectory"
    code = "; ".join([imports, begun, killed])
    folder = tmp_path / "a run"
    assert subprocess.run([sys.executable, "-c", code, str(folder)]).returncode == -9
    found = read_run(folder, "x")
    assert found.status == "unfinished"
    assert found.error == f"nobody works on it: made-train 'resume={folder}' goes on"
    with RunDirectory(folder).locked():  # looking at it takes no lock away
        assert read_run(folder, "x").status == "running"
        assert not is_free(folder)
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"host": "elsewhere"}))
    assert read_run(folder, "x").status == "running"


def test_failed_jobs_that_left_no_folder_are_known_from_the_sweep(tmp_path):
    sweep = make_sweep(tmp_path / "s")
    entry = {"folder": "009_lr-9", "overrides": ["optimizer.lr=9.0", "seed=1"]}
    entry |= {"status": "failed", "error": "optimizer.lr must be < 1"}
    skipped = {"folder": "010_x", "overrides": [], "status": "skipped"}
    escape = {"folder": "../../etc", "overrides": [], "status": "failed"}
    with open(sweep / "results.jsonl", "a") as file:
        file.write("".join(json.dumps(e) + "\n" for e in (entry, skipped, escape)) + '{"fol')
    (table,) = report(tmp_path).tables
    (lost,) = [run for run in table.runs if run.name == "s/009_lr-9"]
    assert lost.error == "optimizer.lr must be < 1"
    assert lost.settings["optimizer.lr"] == 9.0
    assert len(table.runs) == 7


def test_traceback_is_read_from_the_log(tmp_path):
    (run,) = find_runs(make_run(tmp_path / "a", status="failed"))
    assert run.traceback.startswith("Traceback")
    assert run.traceback.endswith("RunError: training diverged")
    assert "step 7" in run.error


def test_only_settings_that_differ_are_shown(tmp_path):
    make_run(tmp_path / "a", optimizer="adam")
    folder = make_run(tmp_path / "b", optimizer="sgd", ordering="random")
    config = json.loads((folder / "config.json").read_text())
    config["optimizer"] |= {"momentum": 0.9}  # only one of the two optimizers has it
    config["ordering"] |= {"seed": 5}
    config["trainer"] |= {"progress": "off"}
    (folder / "config.json").write_text(json.dumps(config))
    assert differing_settings([run.settings for run in find_runs(tmp_path)]) == [
        "optimizer.name",
        "ordering.name",
    ]


def test_titles_are_never_ambiguous(tmp_path):
    make_run(tmp_path / "a", epochs=3)
    make_run(tmp_path / "b", epochs=4, seed=1)
    (table,) = make_tables(find_runs(tmp_path))
    titles = [column.title for column in table.columns]
    assert "trainer.epochs" in titles
    assert len(set(titles)) == len(titles)


def test_text_in_tables_is_escaped(tmp_path):
    for number, note in enumerate([HOSTILE, "a|b\nc", "=1+1", "[red]x[/red]"]):
        make_run(tmp_path / str(number), notes={"why": note}, nll=80 + number)
    tables = make_tables(find_runs(tmp_path))
    markdown = to_markdown(tables)
    assert "<script" not in markdown.replace("\\<", "")
    table_lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in table_lines}) == 1
    rows = list(csv.DictReader(io.StringIO(to_csv(tables))))
    assert [row["notes.why"] for row in rows] == [HOSTILE, "a|b c", "'=1+1", "[red]x[/red]"]
    assert "[red]x[/red]" in report(tmp_path).as_text(300)


def test_settings_that_utf8_cannot_write(tmp_path):
    for number in range(2):
        folder = make_run(tmp_path / str(number))
        config = json.loads((folder / "config.json").read_text())
        config["notes"] = {"\ud800\x00": f"\udfff{number}"}
        (folder / "config.json").write_text(json.dumps(config))
    assert len(csv_rows(report(tmp_path).csv)) == 2


def test_names_that_are_not_utf8(tmp_path):
    odd = os.path.join(os.fsencode(tmp_path), b"run_\xff\x1b[31m")
    make_run(tmp_path / "a")
    os.rename(tmp_path / "a", odd)
    found = report(tmp_path)
    assert "\x1b" not in found.as_text(200)
    assert "\ufffd" in found.csv.read_text()
    assert "\ufffd" in found.page.read_text()


def test_narrow_terminals_keep_settings_and_likelihoods(tmp_path):
    text = report(make_sweep(tmp_path / "s")).as_text(70)
    for part in ("80.000", "completed", "1e+30", "0.0003"):
        assert part in text


def test_overrides_are_parsed():
    overrides = ["optimizer=sgd", "+notes.a=b=c", "seed=3", "optimizer.lr=1e30", "resume=true"]
    overrides += ["model.hidden_sizes=[5,5]", "hydra.run.dir=x", "odd", "a=null", "b='x y'"]
    assert settings_of(overrides) == {
        "optimizer.name": "sgd",
        "notes.a": "b=c",
        "seed": 3,
        "optimizer.lr": 1e30,
        "resume": True,
        "model.hidden_sizes": [5, 5],
        "a": None,
        "b": "x y",
    }


def test_cell_text():
    values = [1e-3, 0.1 + 0.2, True, None, [1, 2], "a", 3, 1e30]
    texts = ["0.001", "0.30000000000000004", "true", "", "[1, 2]", "a", "3", "1e+30"]
    assert [cell_text(value) for value in values] == texts


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_FILES = ("results.json", "status.json", "config.json", "metrics.jsonl", "train.log")


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(_FILES),
        st.binary(max_size=60) | _JSON.map(lambda value: json.dumps(value).encode()),
        min_size=1,
    ),
    st.dictionaries(st.sampled_from(["test", "valid", "status", "epochs", "dataset"]), _JSON),
)
def test_no_content_of_a_file_stops_a_report(tmp_path_factory, files, results):
    root = tmp_path_factory.mktemp("any")
    make_run(root / "good", epochs=2, picture=False)
    bad = make_run(root / "bad", epochs=2, picture=False)
    (bad / "results.json").write_text(json.dumps(results))
    for name, content in files.items():
        (bad / name).write_bytes(content)
    found = report(root)
    assert sum(len(table.runs) for table in found.tables) == 2
    assert str(found)


def test_five_hundred_runs_take_no_more_than_ten_times_as_long_as_fifty(tmp_path):
    """Processor time; in proportion it is much less, for each chart has its price."""
    for number in range(500):
        folder = tmp_path / ("all/few" if number < 50 else "all/more") / f"{number:03d}"
        options = {"lr": 1e-4 * (1 + number % 10), "seed": number // 10, "epochs": 10}
        make_run(folder, nll=80 + number / 10, picture=False, **options)
    seconds = []
    for folder in (tmp_path / "all/few", tmp_path / "all"):
        start = time.process_time()
        found = report(folder, group_by="seed", output=tmp_path / "out")
        seconds.append(time.process_time() - start)
    assert seconds[1] < 10 * seconds[0]
    assert len(found.tables[0].runs) == 500
    assert len(found.tables[0].rows) == 10
