"""No command touches a file that is not its own, whatever it is asked and wherever it points."""

import hashlib
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_exp.cli.app import main as train
from made_exp.eval import main as evaluate
from made_exp.export import main as export
from made_exp.query import main as query
from made_exp.report import main as report
from made_exp.sample import main as sample

FAST = ["trainer=debug", "trainer.progress=off", "trainer.tensorboard=false", "trainer.device=cpu"]
RUN = ["config.json", "train.log", "metrics.jsonl", "results.json", "status.json", "command.json"]
RUN += [".hydra/config.yaml", ".hydra/overrides.yaml", "samples/final.png", "checkpoints/best.pt"]
RUN += ["git.json", "diff.patch", "config.resolved.yaml", "samples/epoch_0000.png"]
# What somebody may have, by folder.
FOREIGN = {
    ".": ["notes.txt", "report.csv", "report.html", ".hidden", "results.json", "config.yaml"],
    "outputs": ["report.md", "thesis.tex", ".last.pt.1.tmp"],
    "outputs/runs/kept": ["a.txt", "samples/mine.png", "checkpoints/mine.pt", ".x.tmp", "b.json"],
    "out": ["rows.csv.bak", "report.csv", "report_report.html", "x.json", "model.pt", ".rows.tmp"],
    "sweep": ["results.jsonl", "multirun.yaml", "mine.txt"],
    **{f"mine{i}": [RUN[i], "essay.txt"] for i in range(len(RUN))},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table, a run of it, and many files of somebody."""
    folder = tmp_path_factory.mktemp("place")
    rng, before = np.random.default_rng(0), Path.cwd()
    colours = rng.choice(["red", "blue", "green"], 80)
    frame = pl.DataFrame({"age": rng.integers(18, 70, 80), "colour": colours})
    frame.write_csv(folder / "table.csv")
    frame[:5].write_csv(folder / "new.csv")
    (folder / "questions.txt").write_text("age > 30\ncolour = red\n")
    os.chdir(folder)
    environment = os.environ.get("MADE_DATA_DIR")
    os.environ["MADE_DATA_DIR"] = str(folder / "data")
    arguments = ["dataset=table", "dataset.path=table.csv", "ordering=agnostic"]
    assert train([*arguments, *FAST, "hydra.run.dir=outputs/runs/kept"]) == 0
    for parent, names in FOREIGN.items():
        for name in names:
            path = folder / parent / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(f"somebody's {parent}/{name}\n")
    yield folder
    os.chdir(before)
    os.environ.pop("MADE_DATA_DIR")
    if environment is not None:
        os.environ["MADE_DATA_DIR"] = environment


def foreign_files(folder):
    """Path -> checksum of what is somebody's: by its content, or what was given to the commands."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and (
            path.read_bytes()[:10] == b"somebody's" or path.suffix in (".csv", ".txt")
        ):
            found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def words(*choices):
    return st.sampled_from(choices)


FOLDERS = words(*FOREIGN, "new/folder", "outputs/runs/kept/samples", "table.csv", "new.csv/x", "")
KEPT = words("outputs/runs/kept", "outputs/runs/kept", "outputs/runs", "mine0", "nowhere", "mine9")
PATHS = words(
    "out/a.csv", "out/a.png", "out/a.npz", "out/a.parquet", "out/a.xyz", "out", "fresh/b.csv"
)
WRONG = words(
    "", "", "trainer.epochs=-1", "no.such=1", "seed=x", "resume=true", "dataset.path=nowhere"
)


def command(program, *parts):
    return st.tuples(st.just(program), st.tuples(*parts).map(lambda p: [x for x in p if x]))


def option(name, values):
    return st.one_of(st.just(""), values.map(lambda value: f"{name}={value}"))


def fixed(name, values):
    return values.map(lambda value: f"{name}={value}")


TABLE = [st.just("dataset=table"), st.just("dataset.path=table.csv"), *map(st.just, FAST)]
COMMANDS = st.one_of(
    command(train, *TABLE, option("hydra.run.dir", FOLDERS), WRONG),
    command(train, st.just("resume=outputs/runs/kept"), option("trainer.epochs", words(3, "x"))),
    command(train, st.just("-m"), *TABLE, option("hydra.sweep.dir", FOLDERS), WRONG),
    command(
        evaluate,
        fixed("run", KEPT),
        option("data", words("new.csv", "table.csv", "notes.txt", "nowhere.csv")),
        option("path", PATHS),
        option("top", words(2, -1)),
        option("split", words("valid", "none")),
    ),
    command(
        sample,
        fixed("run", KEPT),
        option("path", PATHS),
        option("report", words("true", "maybe")),
        option("where", words("age > 30", "age >", "colour = red")),
        option("num_samples", words(3, 0)),
    ),
    command(
        query,
        fixed("run", KEPT),
        words("age > 30", "age >", "mean(age)", "distribution(colour)", ""),
        option("file", words("questions.txt", "nowhere.txt", "new.csv")),
        option("path", words("out/q.json", "out/q.csv", "out/q.png", "out", "fresh/q.json")),
    ),
    command(export, fixed("run", KEPT), option("path", words("out/m.safetensors", "out/m.xyz"))),
    command(
        report,
        option("path", words("outputs", "outputs/runs", ".", "out", "mine0", "nowhere")),
        option("output", words("out", "fresh", ".", "outputs/runs", "table.csv")),
        option("group_by", words("seed", "nothing")),
    ),
)


def check(place, asked):
    program, arguments = asked
    before = foreign_files(place)
    code = program(arguments)
    after = foreign_files(place)
    changed = [path for path, content in before.items() if after.get(path) != content]
    ours = {place / "out/a.csv", place / "out/q.csv", place / "fresh/b.csv"}
    ours |= {place / "outputs/runs" / name for name in ("report.csv",)} | {
        place / "fresh/report.csv"
    }
    assert not set(changed) - ours, (arguments, code)
    assert code in (0, 1, 2)


@pytest.mark.parametrize("folder", [f"mine{i}" for i in range(len(RUN))])
@pytest.mark.parametrize("typed", [[], ["resume=true"]])
def test_a_folder_of_somebody_is_no_place_for_a_run(place, folder, typed, capsys):
    before = foreign_files(place)
    arguments = ["dataset=table", "dataset.path=table.csv", *FAST, f"hydra.run.dir={folder}"]
    assert train([*arguments, *typed]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert foreign_files(place) == before


def test_a_folder_of_somebody_is_no_place_for_a_sweep(place, capsys):
    before = foreign_files(place)
    arguments = ["dataset=table", "dataset.path=table.csv", *FAST, "hydra.sweep.dir=sweep"]
    assert train(["-m", *arguments]) == 2
    assert "files that one would write (results.jsonl)" in capsys.readouterr().err
    assert foreign_files(place) == before


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=25, **QUIET)
@given(asked=COMMANDS)
def test_files_of_others_are_as_they_were(place, asked):
    check(place, asked)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(max_examples=200, **QUIET)
@given(asked=COMMANDS)
def test_files_of_others_are_as_they_were_after_two_hundred_commands(place, asked):
    check(place, asked)
