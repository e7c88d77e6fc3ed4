"""Samples against data: bins, chance and differences that are told."""

import numpy as np
import pytest

from made_exp.reporting.comparison import compare, compare_pairs
from made_exp.reporting.fields import Field, bins_of

FIELDS = (
    Field("a"),
    Field("b"),
    Field("c", ("no", "yes")),
    Field("d", is_missing_a_value=True),
    Field("e"),
)


def rows(generator, count):
    """Five dependent columns: a real one, a spiky one, a binary one, integers, and many missing."""
    common = generator.normal(size=count)
    a, b, c, d, e = common * 0.7 + generator.normal(size=(5, count)) * 0.7
    d = np.where(generator.random(count) < 0.2, np.nan, np.round(d))
    e = np.where(generator.random(count) < 0.3, np.nan, np.exp(2 * e))
    return np.stack([a, np.maximum(b, 0.4), c > 1.2, d, e], axis=1)


@pytest.mark.parametrize(("num_data", "num_samples"), [(2000, 2000), (80, 1500)])
def test_z_is_about_standard_normal_where_both_are_drawn_alike(num_data, num_samples):
    generator = np.random.default_rng(0)
    columns, pairs = [], []
    for _ in range(150):
        found = compare(rows(generator, num_data), rows(generator, num_samples), FIELDS)
        columns.append([record["z"] for record in found.columns])
        pairs += [record["z"] for record in found.pairs]
    assert np.abs(np.mean(columns, axis=0)).max() < 0.3
    assert np.std(columns, axis=0).max() < 1.3
    assert np.abs(columns).max() < 5
    assert abs(np.mean(pairs)) < 0.3
    assert np.std(pairs) < 1.4
    assert np.abs(pairs).max() < 6


def test_the_column_and_the_pair_that_differ_are_named():
    generator = np.random.default_rng(1)
    data, samples = rows(generator, 3000), rows(generator, 3000)
    samples[:, 2] = generator.permutation(samples[:, 2])
    samples[:, 1] += 0.2 * (samples[:, 1] > 0.4)
    found = compare(data, samples, FIELDS)
    assert max(found.columns, key=lambda record: record["z"])["columns"] == ["b"]
    assert all("c" in record["columns"] for record in found.pairs[:4])
    assert found.pairs[0]["z"] < -8
    assert found.pairs[0]["data"] > 0.03 > found.pairs[0]["samples"]


def test_columns_that_differ_by_themselves_are_no_pair_that_differs():
    generator = np.random.default_rng(3)
    data, samples = rows(generator, 3000), rows(generator, 3000)
    samples = samples[(samples[:, 2] == 0) | (generator.random(3000) < 0.3)]
    samples[:, 1] += 0.5
    found = compare(data, samples, FIELDS)
    assert min(found.columns[1]["z"], found.columns[2]["z"]) > 8
    of_c = [
        record
        for record in found.pairs
        if "c" in record["columns"] and "b" not in record["columns"]
    ]
    assert max(abs(record["z"]) for record in of_c) < 4


@pytest.mark.parametrize("kind", ["turned around", "only in the samples"])
def test_dependence_of_another_kind_is_found(kind):
    generator = np.random.default_rng(2)
    x, noise = generator.normal(size=(2, 2000)), generator.normal(size=(2, 2000))
    data = np.stack([x[0], x[0] + noise[0]], axis=1)
    samples = np.stack([x[1], -x[1] + noise[1]], axis=1)
    if kind == "only in the samples":
        data[:, 1] = noise[0]
    (record,) = compare_pairs(data, samples, FIELDS[:2])
    assert abs(record["z"]) > 15
    assert record["data"] > 0 > record["samples"] or record["samples"] > 0 > record["data"]


def test_columns_are_told_in_their_own_words():
    data = np.array([[0.0, 0], [10, 1], [20, 1], [np.nan, 1]] * 50)
    samples = np.array([[30.0, 0], [40, 0]] * 50)
    number, category = compare(data, samples, (Field("n"), Field("c", ("no", "yes")))).columns
    assert (number["data"], number["samples"]) == (10, 35)
    assert number["deviation"]["samples"] == 5
    assert number["mean_z"] == pytest.approx(25 / np.sqrt((200 / 3) / 150 + 25 / 100))
    assert number["distance"] == 1
    assert category["columns"] == ["c"]
    shares = {"no": (0.25, 1.0), "yes": (0.75, 0.0)}
    assert (category["data"], category["samples"]) == shares[category["value"]]
    assert category["distance"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("data", "samples"),
    [
        (np.zeros((1, 3)), np.ones((1, 3))),
        (np.full((7, 3), np.nan), np.zeros((7, 3))),
        (np.random.default_rng(0).normal(size=(3, 3)), np.zeros((500, 3))),
    ],
)
def test_few_constant_and_missing_rows_are_compared(data, samples):
    found = compare(data, samples, FIELDS[:3])
    numbers = [record["z"] for record in found.columns + found.pairs]
    assert np.isfinite(numbers).all()
    assert len(found.pairs) == 3


def test_spikes_missing_cells_and_rare_categories_have_bins():
    x = np.array([0.0] * 50 + list(np.linspace(1, 9, 49)) + [np.nan])
    bins = bins_of(x, Field("x", is_missing_a_value=True), 4)
    assert bins.labels[0] == "0"
    codes = bins.codes(np.array([0.0, -1.0, 1e-9, 5.0, 100.0, np.nan]))
    assert codes[0] == 0
    assert codes[1] == codes[2] > 0
    assert codes[3] < codes[4] < codes[5] == len(bins.labels) - 1
    assert bins_of(x, Field("x"), 4).codes(np.array([np.nan])).tolist() == [-1]
    names = bins_of(np.repeat([3.0, 1.0, 0.0, 2.0], [9, 6, 2, 1]), Field("n", tuple("stuv")), 3)
    assert names.labels == ("v", "t", "other", "missing")
    assert names.codes(np.array([3.0, 1.0, 0.0, 2.0])).tolist() == [0, 1, 2, 2]


def test_bins_of_numbers_rise_and_hold_about_as_many_rows_each():
    x = np.random.default_rng(0).lognormal(size=1000)
    bins = bins_of(x, Field("x"), 8)
    codes = bins.codes(x)
    assert np.array_equal(np.argsort(x, kind="stable"), np.lexsort((x, codes)))
    assert np.bincount(codes).tolist() == [125] * 8


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (Field("x"), 1234567.4, "1 234 567"),
        (Field("x"), 0.0123456, "0.01235"),
        (Field("x", ("no", "yes")), 1, "yes"),
        (Field("x", is_date=True), 18262, "2020-01-01"),
        (Field("x", is_date=True), 18262.5, "2020-01-01 12:00:00"),
    ],
)
def test_values_are_called_as_people_do(field, value, text):
    assert field.text(value) == text
