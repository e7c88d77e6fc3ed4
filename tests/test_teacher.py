"""One network out of many: runs that learn from rows drawn from a finished run."""

import itertools
import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from experiment_cases import (
    NUM_DIMS,
    evaluate_run,
    make_config,
    make_settings,
    read_metrics,
    read_results,
    write_table,
)

from made_exp import load_run
from made_exp import sample as made_sample
from made_exp.cli.app import main
from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config
from made_exp.cli.teaching import taught
from made_exp.cli.validate import settings_from
from made_exp.errors import ConfigError
from made_exp.experiments.experiment import run
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.teacher import Teacher
from made_exp.runs.folder import RunDirectory, RunState
from made_exp.settings.experiment import from_dict

MIXTURE = {"name": "ensemble", "num_orderings": 3, "natural": 0.34}
ANY_ORDER = {
    "name": "agnostic", "num_orderings": 0, "resample": "order", "eval_orderings": 1,
}  # fmt: skip
SHORT = (
    "trainer.max_steps=40", "trainer.min_steps=40", "trainer.tensorboard=false",
    "trainer.progress=off", "trainer.num_samples=4", "model.hidden_sizes=[12]",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of eight binary columns, and a run of three networks on it, `many`."""
    folder = tmp_path_factory.mktemp("teacher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        run(make_settings(folder, image=False, ordering=MIXTURE), folder / "many")
        yield folder


def student(folder, ordering=ANY_ORDER, **changes):
    trainer = {
        "epochs": 12,
        "draws": 1500,
        "real_share": 0.0,
        "batch_size": 50,
        **changes.pop("trainer", {}),
    }
    model = {"name": "made", "hidden_sizes": [40], "dropout": 0.0}
    return make_settings(
        folder,
        image=False,
        ordering=ordering,
        teacher=str(folder / "many"),
        **{"model": model, **changes, "trainer": trainer},
    )


def test_a_network_learns_the_mixture_of_its_teacher(folder, tmp_path):
    run(student(folder), tmp_path / "one")
    every = torch.tensor([*itertools.product((0, 1), repeat=NUM_DIMS)], dtype=torch.uint8)
    one, many = (FinishedRun(path, "cpu").model for path in (tmp_path / "one", folder / "many"))
    assert len(one.members) == one.num_orderings == 1
    p, q = many.double().log_prob(every), one.double().log_prob(every)
    assert q.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert 0 < (p.exp() * (p - q)).sum().item() < 0.05  # nats; the uniform density has 1.1

    results, taught = read_results(tmp_path / "one"), read_results(folder / "many")["test"]
    teacher = results["teacher"]
    assert teacher["run"] == str(folder / "many")
    assert teacher["test"]["nll"] == pytest.approx(taught["nll"], rel=1e-6)
    loss = results["test"]["nll"] - taught["nll"]
    assert teacher["loss"]["nll"] == pytest.approx(loss, abs=1e-6)
    assert abs(loss) < 0.1
    assert all(check["passed"] for check in results["checks"].values())
    # The rows of the table itself are what is told of it and what it is compared with.
    assert evaluate_run(tmp_path / "one")["nll"] == pytest.approx(results["test"]["nll"])
    assert results["baselines"] == read_results(folder / "many")["baselines"]


def test_what_is_drawn_is_a_function_of_seed_and_epoch(folder):
    settings = student(folder)
    dataset = FinishedRun(folder / "many", "cpu").dataset
    teachers = [Teacher.of(settings, dataset, torch.device("cpu")) for _ in range(2)]
    rows, labels = teachers[0].draw(3)
    assert labels is None
    assert rows.shape == (1500, NUM_DIMS)
    assert rows.dtype == dataset.train.dtype
    assert torch.equal(rows, teachers[1].draw(3)[0])
    assert not torch.equal(rows, teachers[0].draw(4)[0])
    other = Teacher.of(replace(settings, seed=1), dataset, torch.device("cpu"))
    assert not torch.equal(rows, other.draw(3)[0])


def test_a_share_of_the_rows_is_of_train(folder):
    dataset = FinishedRun(folder / "many", "cpu").dataset
    # A value that no row has, in place of train, tells them apart.
    marked = replace(dataset, train=torch.full_like(dataset.train, 9))
    settings = student(folder, trainer={"real_share": 0.2})
    teacher = Teacher(FinishedRun(folder / "many", "cpu"), marked, settings)
    rows, _ = teacher.draw(0)
    assert (rows == 9).all(1).sum() == 300
    assert (rows != 9).all(1).sum() == 1200
    whole = Teacher(teacher.run, dataset, student(folder, trainer={"real_share": 1.0})).draw(0)[0]
    known = {tuple(row) for row in dataset.train.tolist()}
    assert {tuple(row) for row in whole.tolist()} <= known
    grey = torch.full_like(dataset.train, 51)  # one in five is white
    dynamic = replace(dataset, train=grey, dynamic_binarization=True)
    rows = Teacher(teacher.run, dynamic, student(folder, trainer={"real_share": 1.0})).draw(0)[0]
    assert rows.double().mean().item() == pytest.approx(0.2, abs=0.02)


def test_interrupted_and_resumed_equals_uninterrupted(folder, tmp_path):
    short = {"draws": 200, "max_steps": 13, "epochs": 9}  # four steps an epoch
    for name, settings in (
        ("whole", student(folder, trainer=short)),
        ("parts", student(folder, trainer=short | {"max_steps": 6})),
        ("parts", replace(student(folder, trainer=short), resume=True)),
    ):
        run(settings, tmp_path / name, reports=False)
    assert read_metrics(tmp_path / "whole")[-1] == read_metrics(tmp_path / "parts")[-1]
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_members_in_processes_learn_the_same(folder, tmp_path):
    pair = {"name": "ensemble", "num_orderings": 2}
    for count in ("1", "2"):
        short = {"draws": 200, "max_steps": 10, "processes": count}
        run(student(folder, pair, trainer=short), tmp_path / count, reports=False)
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def weights(folder):
    return torch.load(folder / "checkpoints/last.pt")["model"]


def test_labels_are_drawn_as_train_has_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    labelled = make_settings(tmp_path, labels=True, trainer={"epochs": 1})
    run(labelled, tmp_path / "many", reports=False)
    dataset = FinishedRun(tmp_path / "many", "cpu").dataset
    taught = replace(labelled, teacher=str(tmp_path / "many"))
    rows, labels = Teacher.of(taught, dataset, torch.device("cpu")).draw(0)
    shares = torch.bincount(labels, minlength=3) / len(rows)
    expected = torch.bincount(dataset.train_context, minlength=3) / len(dataset.train)
    assert torch.allclose(shares, expected, atol=0.03)


def test_other_data_are_refused(folder, tmp_path):
    (tmp_path / "other").mkdir()
    write_table(tmp_path / "other", image=True)
    config = make_config(tmp_path / "other", teacher=str(folder / "many"))
    with pytest.raises(ConfigError, match="learned from other data than dataset=npz holds"):
        run(from_dict(config), tmp_path / "one")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A folder with the run `many` of a table given one of its columns, and `one` out of it."""
    folder = tmp_path_factory.mktemp("tables")
    source = random.Random(0)
    rows = [
        f"{kind[0] if source.random() < 0.9 else 'c'},{kind},{source.gauss(len(kind), 1):.2f},"
        f"{source.choice(['', '1', '2', '3'])}"
        for kind in source.choices(["cat", "horse"], [3, 2], k=300)
    ]
    (folder / "t.csv").write_text("\n".join(["colour,class,the weight,mark", *rows]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        table = ["dataset=table", "dataset.path=t.csv", 'dataset.kinds={"the weight": real}']
        table += ["dataset.context=[class]", "dataset.drop=[mark]"]
        mixture = ["ordering=ensemble", "ordering.num_orderings=2", "model.baselines=[independent]"]
        assert main([*table, *mixture, *SHORT, "hydra.run.dir=many"]) == 0
        (folder / "elsewhere").mkdir()
        patch.chdir(folder / "elsewhere")
        taught = ["experiment=distil", "teacher=../many", "trainer.draws=1000", *SHORT]
        assert main([*taught, "hydra.run.dir=../one"]) == 0
        yield folder


def test_the_table_of_the_teacher_is_taken(tables):
    results, config = (
        json.loads((tables / "one" / name).read_text()) for name in ("results.json", "config.json")
    )
    many = json.loads((tables / "many/config.json").read_text())
    assert config["dataset"] == many["dataset"]
    assert set(results["test"]["columns"]) == {"colour", "the weight"}
    assert np.isfinite(results["teacher"]["loss"]["nll"])
    assert "its teacher" in (tables / "one/train.log").read_text()
    model = load_run(tables / "one")
    assert len(model.made.members) == 1
    frame = pl.DataFrame({"colour": ["c"], "class": ["horse"], "the weight": [5.0]})
    assert np.isfinite(model.log_prob(frame)).all()
    assert model.sample(5, seed=0).columns == ["colour", "class", "the weight"]


def test_the_settings_of_a_table_are_taken_as_they_are(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    odd = {"net worth (k$), 'net'": "real", "größe": "integer", "a.b": "date"}
    settings = make_settings(
        tmp_path,
        dataset={
            "name": "table",
            "path": [str(tmp_path / "t.csv")],
            "kinds": odd,
            "drop": ["x, y", 'the "best"', "null"],
            "missing_values": ["", "-9", "null"],
            "missing": "model",
            "delimiter": ";",
            "valid_fraction": 0.25,
        },
    )
    saved = RunDirectory(tmp_path)
    saved.start(asdict(settings), "")
    saved.write_status(RunState.COMPLETED, "", objective=1.0)
    command = taught(parse_command_line([f"teacher={tmp_path}"]))
    composed = settings_from(compose_config(command, command.overrides))
    assert composed.dataset == settings.dataset
    assert composed.teacher == str(tmp_path)


def test_rows_are_written_as_those_of_the_table(tables, monkeypatch):
    monkeypatch.chdir(tables)
    assert made_sample.main(["run=one", "num_samples=20", "path=rows.csv"]) == 0
    header, *rows = Path("rows.csv").read_text().splitlines()
    assert header == "colour,class,the weight"
    assert len(rows) == 20


def test_a_run_is_resumed_from_its_folder_alone(tables, monkeypatch):
    monkeypatch.chdir(tables)
    assert main(["resume=one", "trainer.max_steps=44", "trainer.min_steps=40"]) == 0
    assert json.loads(Path("one/results.json").read_text())["steps"] == 44


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["teacher=mony"], "teacher: 'mony' is no folder of a finished run. Did you mean 'many'?"),
        (["teacher=data"], "teacher: 'data' is no folder of a finished run"),
        (["-m", "teacher=many,one"], "teacher: one run is wanted, got several"),
        (["teacher=many", "trainer.draws=0"], "trainer.draws must be >= 1, got 0"),
        (["teacher=many", "dataset.valid_fraction=0"], "was trained on all rows"),
        ([], "teacher: the folder of a finished run is wanted"),
    ],
)
def test_mistakes_are_answered_in_a_line(tables, monkeypatch, capsys, typed, message):
    monkeypatch.chdir(tables)
    before = sorted(tables.rglob("*"))
    assert main(["experiment=distil", *typed]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tables.rglob("*")) == before
