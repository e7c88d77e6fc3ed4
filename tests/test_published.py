"""Numbers of others beside one's own, and the share of test rows that stand in train too."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from experiment_cases import make_settings
from run_folders import make_run

from made_exp.datasets.base import SPLITS, Dataset, shared_with_train
from made_exp.datasets.published import Published, published
from made_exp.datasets.registry import DATASETS, DEBD_TABLES
from made_exp.experiments.experiment import run
from made_exp.experiments.run_summary import summary
from made_exp.reporting.output import report
from made_exp.reporting.remarks import as_percent
from made_exp.runs.folder import RunDirectory
from made_exp.variables.variable import Kind, Variable, binary_variables


def test_every_table_of_the_twenty_has_a_number():
    for table in DEBD_TABLES:
        seen, *remembered = published("debd", {"table": table})
        assert seen.is_seen
        assert all(not one.is_seen and one.nll < seen.nll for one in remembered)
    assert published("debd", {"table": "dna"}) != published("dna")
    assert published("npz") == published("debd") == ()
    assert all(published(name) for name in DATASETS if DATASETS[name].loader.startswith("uci"))
    assert str(Published(11.68, "RWS-NADE", False)) == "11.68* (RWS-NADE)"
    assert str(Published(88.4, "MADE")) == "88.40 (MADE)"
    assert str(Published(2.0526, "course")) == "2.0526 (course)"


def test_numbers_stand_beside_the_same_data_only():
    assert published("mnist", {"binarization": "threshold", "context": "none"})
    assert published("mnist", {"binarization": "dynamic"}) == ()
    assert published("smiley", {"size": 25, "original": False}) == ()
    assert published("hinton", {"size": 200}) == published("hinton")


def rows(*texts):
    return torch.tensor([[int(bit) for bit in text] for text in texts], dtype=torch.uint8)


def test_rows_that_train_has_too_are_counted():
    train = rows("1010101010", "0000000000", "0000000001")
    test = rows("0000000001", "1111111111", "0000000001", "1010101011")
    valid = rows("0000000010")
    dataset = Dataset("toy", binary_variables(10), train, valid, test)
    assert shared_with_train(dataset) == {"valid": 0, "test": 0.5}
    assert shared_with_train(replace(dataset, test=test[:0])) == {"valid": 0}
    assert shared_with_train(replace(dataset, dynamic_binarization=True)) == {}
    codes = (Variable("colour", Kind.CATEGORICAL, 3),)
    assert (
        shared_with_train(Dataset.of_splits("c", codes, dict.fromkeys(SPLITS, train[:, :1]))) == {}
    )


@pytest.mark.parametrize(
    ("share", "text"), [(0.9, "90 %"), (0.063, "6.3 %"), (0.0, "0 %"), (1, "100 %")]
)
def test_small_shares_are_told_finely(share, text):
    assert as_percent(share) == f"{text} of the rows"


def test_a_run_tells_how_many_test_rows_it_has_seen(tmp_path):
    run(make_settings(tmp_path), tmp_path / "run")
    results = json.loads((tmp_path / "run/results.json").read_text())
    share = results["shared_with_train"]["test"]
    assert 0 < share <= 1  # 50 rows of 8 bits, half of them copies
    told = summary(results, RunDirectory(tmp_path / "run"))
    assert f"{as_percent(share)} of test" in told


def test_a_report_prints_them_beside_the_runs(tmp_path):
    for table, share in (("plants", 0.6), ("accidents", 0.004)):
        options = {"dataset": "debd", "dataset_options": {"table": table}, "picture": False}
        folder = make_run(tmp_path / "runs" / table, **options)
        results = json.loads((folder / "results.json").read_text())
        results["shared_with_train"] = {"valid": 0.1, "test": share}
        (folder / "results.json").write_text(json.dumps(results))
    make_run(tmp_path / "runs" / "mine", dataset="shapes", picture=False)
    found = report(tmp_path / "runs")
    labels = [table.dataset for table in found.tables]
    assert labels == ["debd (table=accidents)", "debd (table=plants)", "shapes"]
    accidents = "reported by others: 26.55 (best of circuits and mixtures)"
    plants = "12.26* (best of circuits and mixtures); * from memory of a paper, to be confirmed"
    page, markdown = found.page.read_text(), found.markdown.read_text()
    for text in (found.as_text(120), page, markdown.replace("\\", "")):
        assert accidents in text
        assert f"{accidents};" not in text
        assert plants in text
        assert "60 % of the rows of test also stand in train" in text
        assert "0.4 % of the rows of test also stand in train" in text
    with open(found.csv) as file:
        numbers = {row["dataset"]: row["published_nll"] for row in csv.DictReader(file)}
    assert numbers == dict(zip(labels, ("26.55", "12.26", ""), strict=True))


def test_a_table_alone_has_its_name(tmp_path):
    make_run(tmp_path / "a", dataset="debd", dataset_options={"table": "ad"}, picture=False)
    (table,) = report(tmp_path / "a").tables
    assert table.dataset == "debd (table=ad)"
