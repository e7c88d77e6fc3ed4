"""What is drawn of a model beside its data."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from builders import tiny_made

from made_exp.datasets.base import Dataset
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import TableSchema
from made_exp.experiments import pictures, table_rows
from made_exp.experiments.run_summary import summary
from made_exp.reporting.comparison import compare
from made_exp.runs.folder import RunDirectory
from made_exp.variables.variable import Kind, Variable, binary_variables


@pytest.fixture
def drawn(monkeypatch):
    """What the figures get, by the name of the figure."""
    calls = {}
    for name in ("table_picture", "image_grid", "density_plane"):
        monkeypatch.setattr(
            pictures.figures,
            name,
            lambda *given, _name=name, **options: calls.update({_name: (given, options)}),
        )
    return calls


def draw(model, dataset):
    samples, context = pictures.draw_samples(model, dataset, num_samples=9, seed=0)
    pictures.pictures_of(model, dataset, samples, context=context)
    return samples


def bits(image_shape):
    model = tiny_made()
    x = torch.zeros(5, 8, dtype=torch.uint8)
    return model, Dataset("bits", model.groups.variables, x, x, x, image_shape=image_shape)


def test_a_table_is_compared_by_many_samples(drawn):
    model, dataset = bits(None)
    samples = draw(model, dataset)
    (data, shown, fields, comparison), _ = drawn["table_picture"]
    assert data.shape == (10, 8)  # train and valid
    assert np.array_equal(shown, samples.double())
    assert shown.shape == (5000, 8)
    assert [field.name for field in fields] == [v.name for v in dataset.variables]
    assert fields[0].names == ("0", "1")
    wanted = compare(data, shown, fields)
    assert (comparison.columns, comparison.pairs) == (wanted.columns, wanted.pairs)


def test_of_images_as_many_are_drawn_as_were_asked_for(drawn):
    draw(*bits((2, 4)))
    assert drawn["image_grid"][0][0].shape == (9, 8)


def test_samples_of_a_table_have_the_classes_of_its_rows(drawn):
    model = tiny_made(num_classes=3)
    x, labels = torch.zeros(50, 8, dtype=torch.uint8), torch.arange(50) // 40 * 2
    splits = dict.fromkeys(("train", "valid", "test"), x)
    dataset = Dataset.of_splits(
        "bits", model.groups.variables, splits, dict.fromkeys(splits, labels), num_classes=3
    )
    samples, context = pictures.draw_samples(model, dataset, num_samples=9, seed=0)
    assert samples.shape == (5000, 8)
    assert torch.bincount(context).tolist() == [4000, 0, 1000]


def test_two_real_columns_are_a_plane_with_the_learned_density(drawn):
    variables = tuple(Variable(name, Kind.REAL) for name in "uv")
    model = tiny_made(variables)
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    draw(model, Dataset("plane", variables, x, x, x))
    (learned, (x_ends, y_ends)), options = drawn["density_plane"]
    assert options["names"] == ("u", "v")
    middle = [(x_ends[53] + x_ends[54]) / 2, (y_ends[70] + y_ends[71]) / 2]
    point = torch.tensor([middle])
    wanted = model.log_prob(point.float()).double().exp()
    assert learned[53, 70] == pytest.approx(float(wanted), rel=1e-4)
    assert x_ends[0] < x[:, 0].quantile(0.002) < x[:, 0].quantile(0.998) < x_ends[-1]


def test_columns_of_every_kind_are_read_as_the_file_has_them():
    """What is shown is what the table's own writer writes, as a number."""
    frame = pl.DataFrame(
        {
            "day": [date(2020, 1, 1) + timedelta(days=n % 90) for n in range(200)],
            "at": [f"2021-03-04 {n % 24:02}:{n % 60:02}" for n in range(200)],
            "stay": [timedelta(days=n % 37) for n in range(200)],
            "price": [f"{2000 + 7 * (n % 31)}" for n in range(200)],
            "rate": [f"{n % 53 / 100 + 0.003 * (n % 7):.3f}" for n in range(200)],
            "kind": [None if n % 9 == 0 else "abcde"[n % 5] for n in range(200)],
        }
    )
    raw = RawTable.of_frame(frame, Origin(("t",)))
    schema = TableSchema.fit(raw, np.arange(150), missing="model")
    x = torch.from_numpy(schema.encode(raw))
    dataset = Dataset("t", schema.variables, x[:150], x[150:], x[:9], schema=schema.to_dict())
    read = table_rows.as_read(dataset, x)
    fields = {field.name: field for field in table_rows.fields_of(dataset)}
    places = {variable.name: d for d, variable in enumerate(schema.variables)}
    assert [name for name, field in fields.items() if field.is_date] == ["day", "at"]
    written = schema.decode(x.numpy())
    for row in range(200):
        shown = {name: read[row, d] for name, d in places.items()}
        assert fields["day"].text(shown["day"]) == written["day"][row]
        assert fields["at"].text(shown["at"]) == f"{written['at'][row]}:00".removesuffix(
            " 00:00:00"
        )
        assert shown["stay"] == float(written["stay"][row]) == 86400 * (row % 37)
        assert shown["price"] == float(written["price"][row])
        assert shown["rate"] == pytest.approx(float(written["rate"][row]), abs=1e-12)
        kind = written["kind"][row]
        assert (
            np.isnan(shown["kind"]) if kind is None else fields["kind"].text(shown["kind"]) == kind
        )
    assert fields["kind"].is_missing_a_value


def test_rows_are_read_as_the_file_has_them():
    variables = (
        Variable("year", Kind.INTEGER, 10),
        Variable("price", Kind.REAL),
        Variable("kind", Kind.CATEGORICAL, 3, categories=("a", "b", "c")),
    )
    columns = [("year", 2000, 0), ("price", 0, 1), ("kind", 0, 0)]
    schema = {"columns": [{"name": n, "offset": o, "decimals": d} for n, o, d in columns]}
    x = torch.tensor([[3.0, 1.26, 2.0], [4.0, float("nan"), 0.0]])
    dataset = Dataset("t", variables, x, x, x, schema=schema)
    read = table_rows.as_read(dataset, x)
    np.testing.assert_allclose(read, [[2003, 1.3, 2], [2004, np.nan, 0]])
    assert table_rows.fields_of(dataset)[2].names == ("a", "b", "c")
    assert table_rows.is_table(dataset)
    rows, labels = table_rows.some_rows(dataset)
    assert rows.shape == (4, 3)
    assert labels is None
    told = table_rows.told(table_rows.compare_rows(dataset, x))
    assert [sorted(record) for record in told["pairs"]] == [["columns", "data", "samples", "z"]] * 3


def test_rare_values_are_compared_together_with_those_never_seen():
    """Train has no value that was never seen; samples have as many as new rows will."""
    variable = Variable(
        "name", Kind.CATEGORICAL, 6, categories=tuple("abcde"), pooled=(0.1, 0.1, 0.1, 0.7)
    )
    row = torch.arange(6.0, dtype=torch.float64)
    x = torch.cat([row, torch.tensor([torch.nan])])[:, None]
    dataset = Dataset("t", (variable,), x, x, x)
    assert table_rows.fields_of(dataset)[0].names == ("a", "b", "3 rare ones")
    assert table_rows.as_read(dataset, x)[:, 0].tolist()[:-1] == [0, 1, 2, 2, 2, 2]
    drawn = x[[0, 1, 5, 5, 5]].repeat(100, 1)
    compared = table_rows.compare_rows(Dataset("t", (variable,), x[:5], x[:5], x[:5]), drawn)
    assert compared.columns[0]["z"] < 3


def test_the_summary_names_what_differs_most(tmp_path):
    records = [{"columns": ["a"], "z": 12.3}, {"columns": ["b"], "z": 3.0}]
    pairs = [{"columns": ["a", "b"], "z": -5.0}]
    results = {
        "test": {
            "nll": 1,
            "nll_stderr": 1,
            "bits_per_dim": 1,
            "num_examples": 1,
            "num_orderings": 1,
        },
        **{"baselines": {}, "sample_comparison": {"columns": records, "pairs": pairs}},
        **{"best_epoch": 1, "epochs": 1, "train_seconds": 1.0, "examples_per_second": 1.0},
    }
    text = summary(results, RunDirectory(tmp_path))
    assert "in a (z 12.3), a x b (z -5.0)" in text


def test_a_small_table_of_ones_own_has_its_names(drawn):
    variables = (Variable("v", Kind.CATEGORICAL, 2, categories=("1", "1.0")), *binary_variables(1))
    x = torch.zeros(40, 2)
    schema = {"columns": []}
    dataset = Dataset("own", variables, x, x, x, schema=schema)
    assert table_rows.is_table(dataset)
    assert not table_rows.is_table(replace(dataset, schema=None))
