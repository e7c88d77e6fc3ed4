"""A real mixed table from a CSV file with empty cells: trained, scored, sampled, completed."""

import csv

import numpy as np
import pytest
import torch
from builders import encode_rows, load_dataset
from experiment_cases import evaluate_run, make_settings, read_results, sample_run

from made_exp import load_run
from made_exp.datasets.table.schema import TableSchema
from made_exp.errors import ConfigError
from made_exp.experiments.experiment import run
from made_exp.experiments.finished import FinishedRun

HEADER = ["cultivar", "alcohol", "proline", "flavanoids", "hue", "strong"]
CULTIVARS = ("barolo", "grignolino", "barbera")
NUMBERS = (1, 2, 3)


def wine_rows():
    """178 wines, 13 measurements of each (Forina et al. 1991): some of them, in every kind."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    hues = np.quantile(wine.data[:, 10], [0.25, 0.5, 0.75])
    return [
        [
            CULTIVARS[cultivar],
            f"{row[0]:.2f}",
            f"{row[12]:.0f}",
            f"{row[6]:.2f}",
            ("pale", "ruby", "deep", "dark")[int(np.searchsorted(hues, row[10]))],
            "yes" if row[0] > 13 else "no",
        ]
        for row, cultivar in zip(wine.data, wine.target, strict=True)
    ]


def write(path, rows, header=HEADER):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read(path):
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == HEADER
    return rows


def blanked(rows, share=0.15):
    rng = np.random.default_rng(0)
    return [["" if rng.random() < share else text for text in row] for row in rows]


def table_settings(path, **changes):
    options = {
        "dataset": {"name": "csv", "path": str(path), "kinds": {"proline": "integer"}},
        "model": {"name": "made", "hidden_sizes": [60], "hidden_degrees": "by_variable"},
        "ordering": {"name": "agnostic", "num_orderings": 8, "valid_orderings": 4},
        "trainer": {"epochs": 80, "batch_size": 30, "samples_every": 0, "weight_averaging": 0.98}
        | {"eval_every": 25},
    }
    return make_settings(path.parent, **{**options, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """wine.csv with empty cells, full.csv, and the finished run of the first."""
    folder = tmp_path_factory.mktemp("wine")
    write(folder / "full.csv", wine_rows())
    write(folder / "wine.csv", blanked(wine_rows()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        run(table_settings(folder / "wine.csv"), folder / "run")
        yield folder


def test_a_loaded_run_knows_what_is_often_missing(folder):
    finished = FinishedRun(folder / "run", "cpu")
    shares = finished.dataset.train.isnan().double().mean(0)
    assert finished.data["missing"] == shares.tolist()
    for index in range(8):
        order = finished.model.component(index).masks.ordering
        often = shares[order] > 0.2
        assert not (often[:-1] & ~often[1:]).any()


def test_a_mixed_table_with_empty_cells_is_learned(folder):
    results = read_results(folder / "run")
    independent = results["baselines"]["independent"]
    assert results["test"]["nll"] < independent - 0.8  # which also leaves empty cells out
    assert all(check["passed"] for check in results["checks"].values())
    assert results["connectivity"]["lost_pairs"] == 0
    assert (folder / "run/samples/final.png").exists()
    compared = results["sample_comparison"]
    names = {tuple(record["columns"]) for record in compared["columns"]}
    assert names == {
        (variable.name,) for variable in FinishedRun(folder / "run", "cpu").model.groups.variables
    }
    num_columns = len(names)
    assert len(compared["pairs"]) == num_columns * (num_columns - 1) // 2
    outcome = evaluate_run(folder / "run", compare=folder / "run", device="cpu")
    assert outcome["nll"] == pytest.approx(results["test"]["nll"], rel=1e-5)
    assert outcome["comparison"]["nll_difference"] == 0
    assert len(outcome["nll_stderr_by_num_orderings"]) == 8


def test_the_schema_travels_with_the_checkpoint(folder):
    finished = FinishedRun(folder / "run", "cpu")
    model, schema = finished.model, TableSchema.from_dict(finished.data["table"])
    assert [str(v.kind) for v in schema.variables] == [
        "categorical", "real", "integer", "real", "categorical", "binary",
    ]  # fmt: skip
    assert schema.variables == model.groups.variables
    encoded = encode_rows(folder / "full.csv", schema)
    assert torch.isfinite(model.log_prob(encoded.float())).all()


def test_sampled_rows_look_like_the_table(folder):
    path = sample_run(folder / "run", num_samples=1500, path=folder / "new.csv")
    assert path.read_bytes().count(b"\r\n") == 1501  # as in the table
    rows, real = read(path), wine_rows()
    assert len(rows) == 1500
    for column in (0, 4, 5):
        real_texts, texts = ([row[column] for row in table] for table in (real, rows))
        assert set(texts) <= set(real_texts)
        for text in set(real_texts):
            share = real_texts.count(text) / len(real)
            assert texts.count(text) / len(rows) == pytest.approx(share, abs=0.12), text
    tables = [np.array([[float(row[d]) for d in NUMBERS] for row in t]) for t in (real, rows)]
    error = np.abs(tables[0].mean(0) - tables[1].mean(0)) / tables[0].std(0)
    assert (error < 0.3).all()
    ratio = tables[1].std(0) / tables[0].std(0)
    assert ((ratio > 0.7) & (ratio < 1.4)).all()
    richest = [
        np.mean([float(row[3]) for row in t if row[0] == "barolo"])
        - np.mean([float(row[3]) for row in t if row[0] == "barbera"])
        for t in (real, rows)
    ]
    assert richest[1] > 0.5 * richest[0] > 0
    assert all(0 <= int(row[2]) <= 1680 + 0.25 * (1680 - 278) for row in rows)
    assert all(len(row[1].partition(".")[2]) == 2 for row in rows)


def test_empty_cells_are_drawn_and_others_stay(folder):
    path = sample_run(
        folder / "run", observed=str(folder / "wine.csv"), path=folder / "completed.csv"
    )
    given, rows, full = read(folder / "wine.csv"), read(path), read(folder / "full.csv")
    drawn = []
    for before, after, truth in zip(given, rows, full, strict=True):
        for column, text in enumerate(before):
            assert after[column] == text or text == ""
            assert after[column]
            if text == "" and column == 0:
                drawn.append(after[0] == truth[0])
    assert len(drawn) > 15
    assert np.mean(drawn) > 0.55  # one in three by chance


def test_cells_are_drawn_from_their_conditional(folder):
    """One unknown cell: the shares of its values among the draws are their probabilities."""
    from scipy.stats import chisquare

    finished = FinishedRun(folder / "run", "cpu")
    model, schema = finished.model, TableSchema.from_dict(finished.data["table"])
    x = encode_rows(write(folder / "row.csv", [["", "12.90", "750", "2.0", "deep", "no"]]), schema)
    observed = ~torch.isnan(x[0])
    values = x.repeat(4, 1)  # the last are cultivars never seen
    values[:, 0] = torch.arange(4)
    probs = model.completion_log_prob(values, observed).double().exp()
    assert probs.sum().item() == pytest.approx(1, abs=1e-5)
    assert probs[:3].min() > 0.01
    generator = torch.Generator().manual_seed(0)
    drawn = model.complete(x.expand(4000, -1), observed, generator=generator)[:, 0]
    counts = torch.bincount(drawn.long(), minlength=4).numpy()
    assert chisquare(counts, probs.numpy() / probs.sum().item() * 4000).pvalue > 1e-3


def test_rows_and_one_row_of_missing_cells_have_the_marginal_probability(folder):
    """p(what is known) is the sum over the values of the unknown cell."""
    finished = FinishedRun(folder / "run", "cpu")
    model, schema = finished.model, TableSchema.from_dict(finished.data["table"])
    x = encode_rows(write(folder / "one.csv", [["", "13.00", "700", "1.9", "ruby", "no"]]), schema)
    values = x.repeat(4, 1)
    values[:, 0] = torch.arange(4)
    known = ~torch.isnan(x[0])
    components = [model.component(index).observed_first(known) for index in range(8)]
    codes, log_slopes = model.groups.encode(values), model.groups.log_slopes(values)
    total = sum((one.log_prob(codes) + log_slopes).exp().sum() for one in components) / 8
    assert model.log_prob(x).double().exp().item() == pytest.approx(total.item(), rel=1e-4)


def test_test_rows_with_empty_cells_can_be_completed_in_part(folder):
    path = sample_run(
        folder / "run", observed="random_half", num_examples=6, num_samples=3,
        path=folder / "half.npz",
    )  # fmt: skip
    with np.load(path) as archive:
        known, drawn, x = archive["observed"], archive["completions"], archive["x"]
    assert drawn.shape == (6, 3, 6)
    assert np.isfinite(drawn).all()
    assert np.array_equal(drawn[:, 1][known], x[known])
    assert not known[np.isnan(x)].any()
    with pytest.raises(ValueError, match="needs images; use random_half"):
        sample_run(folder / "run", observed="top_half")


def test_a_fixed_order_refuses_empty_cells_at_the_start(folder, tmp_path):
    settings = table_settings(folder / "wine.csv", ordering={"name": "natural"})
    with pytest.raises(
        ConfigError, match=r"missing values .*take experiment=table.*use ordering=agn"
    ):
        run(settings, tmp_path / "run")
    assert not (tmp_path / "run/checkpoints/last.pt").exists()
    shown = load_dataset("csv", seed=0, data_dir=folder, path=str(folder / "full.csv"))
    assert not torch.isnan(shown.train).any()


BAD_ROWS = [
    (lambda rows: rows[3].append("1"), "line 5 has 7 fields, the header has 6"),
    (lambda rows: rows[7].__setitem__(2, "many"), "line 9, column 'proline': 'many' is not a"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD_ROWS)
def test_a_bad_table_is_refused_before_training(tmp_path, spoil, message):
    rows = wine_rows()
    spoil(rows)
    with pytest.raises(ConfigError, match=message):
        run(table_settings(write(tmp_path / "bad.csv", rows)), tmp_path / "run")


def test_rows_to_complete_that_are_called_data_are_said(folder, tmp_path, caplog):
    sample_run(folder / "run", data=str(folder / "new.csv"), path=tmp_path / "out.csv")
    assert f"rows to complete are observed={folder / 'new.csv'}" in caplog.text


def test_values_that_train_did_not_have_are_given_as_they_are(folder, tmp_path, caplog):
    row = ["merlot", "19.00", "", "1.9", "ruby", "no"]
    path = write(tmp_path / "new.csv", [row, ["barolo", "13.00", "9000", "", "ruby", "no"]])
    done = read(sample_run(folder / "run", observed=str(path), path=tmp_path / "out.csv"))
    assert [row[:2] for row in done] == [["merlot", "19.00"], ["barolo", "13.00"]]
    assert done[1][2] == "9000"
    assert int(done[0][2]) > 0 < float(done[1][3])
    assert "line 2, column 'cultivar': 'merlot' is not in the training rows" in caplog.text
    assert "line 3, column 'proline': '9000' is outside" in caplog.text
    write(path, [row[1:]], HEADER[1:])
    (drawn,) = read(sample_run(folder / "run", observed=str(path), path=tmp_path / "out.csv"))
    assert drawn[1] == "19.00"
    assert drawn[0]
    assert "lacks columns that the table has, which are drawn: cultivar" in caplog.text


def test_several_completions_of_a_row_are_numbered(folder, tmp_path):
    path = write(
        tmp_path / "new.csv", [["barolo", "", "", "1.9", "", " no"], ["", "13.1", *[""] * 4]]
    )
    out = sample_run(folder / "run", observed=str(path), num_samples=3, path=tmp_path / "out.CSV")
    with open(out, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["row", "completion", *HEADER]
    assert [row[:2] for row in rows] == [[str(n), str(k)] for n in range(2) for k in range(3)]
    assert all((row[2], row[5], row[7]) == ("barolo", "1.9", " no") for row in rows[:3])
    assert all(row[3] == "13.1" and all(row) for row in rows[3:])
    assert len({row[3] for row in rows[:3]}) == 3


@pytest.mark.parametrize("name", ["wine.csv", "./wine.csv", "rows.csv"])
def test_what_is_read_is_never_written_over(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    rows = write(folder / "rows.csv", [["", "12.60", "700", "1.9", "ruby", "no"]])
    before = [path.read_bytes() for path in (folder / "wine.csv", rows)]
    options = {"observed": "rows.csv"} if name == "rows.csv" else {}
    with pytest.raises(ConfigError, match=f"path: '{name}' is read from; give the file another"):
        sample_run(folder / "run", path=name, **options)
    assert [path.read_bytes() for path in (folder / "wine.csv", rows)] == before


def test_rows_are_drawn_without_the_data_and_pictures_where_they_have_moved(folder, tmp_path):
    import shutil

    shutil.copytree(folder / "run", tmp_path / "run")
    (folder / "wine.csv").rename(tmp_path / "moved.csv")
    try:
        for name in ("new.csv", "new.tsv.gz", "new.parquet", "new.npz"):
            assert sample_run(tmp_path / "run", num_samples=3, path=tmp_path / name).exists()
        with pytest.raises(ConfigError, match=r"not found.*say data=FILE"):
            sample_run(tmp_path / "run", num_samples=3, path=tmp_path / "s.png")
        moved = tmp_path / "moved.csv"
        sample_run(tmp_path / "run", num_samples=3, path=tmp_path / "s.PNG", data=moved)
        outcome = evaluate_run(tmp_path / "run", data=moved, num_orderings=1, device="cpu")
        assert outcome["num_examples"] == 18
        with pytest.raises(ConfigError, match=r"full.csv is not what it learned"):
            evaluate_run(tmp_path / "run", data=folder / "full.csv", device="cpu")
        with pytest.raises(ConfigError, match=r"not found: movd.csv \(data\); set MADE_DATA_DIR"):
            evaluate_run(tmp_path / "run", data="movd.csv", device="cpu")
    finally:
        (tmp_path / "moved.csv").rename(folder / "wine.csv")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 5))}, r"shape \(2, 5\), not \(N, 6\)"),
        ({"y": np.zeros((2, 6))}, "cannot read array 'x'"),
        ({"x": np.zeros((2, 6)), "observed": np.ones((3, 6))}, r"'observed' of .* \(3, 6\)"),
        ({"x": np.full((2, 6), 4.0)}, "row 0, column 'cultivar' is 4.0; it holds whole numbers 0"),
    ],
)
def test_given_examples_must_fit_the_model(folder, tmp_path, arrays, message):
    np.savez(tmp_path / "given.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        sample_run(folder / "run", observed=str(tmp_path / "given.npz"), path=tmp_path / "o.csv")


def test_load_run_needs_only_the_folder(folder):
    model = load_run(folder / "run")
    x = torch.tensor([[0, 13.0, torch.nan, 3.0, torch.nan, 1.0]])
    assert torch.isfinite(model.log_prob(x)).all()
    completed = model.complete(x, ~torch.isnan(x))
    assert torch.isfinite(completed).all()
