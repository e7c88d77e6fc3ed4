"""Real columns that others determine by a linear formula: their densities have no bound."""

import numpy as np
import polars as pl
import pytest

from made_exp.datasets.table import dependent
from made_exp.datasets.table.raw import Origin, RawTable
from made_exp.datasets.table.schema import fit_table

RANDOM = np.random.default_rng(0)
A, B, C = RANDOM.normal(size=(3, 400))


def said(**columns):
    raw = RawTable.of_frame(pl.DataFrame(columns), Origin(("t.csv",)), None)
    fitted = fit_table(raw, {"train": np.arange(len(raw))})
    return [line for line in fitted.suspicions if "linear formula" in line or "determine" in line]


@pytest.mark.parametrize(
    ("columns", "name", "by"),
    [
        ({"a": A, "b": 2 * A + 1, "c": C}, "b", "a"),
        ({"a": A, "b": B, "c": C, "sum": A - 3 * B}, "sum", "a, b"),
        ({"a": 1e6 + A, "b": B, "f": 32 + 1.8 * (1e6 + A)}, "f", "a"),
        ({"a": np.where(B > 1, np.nan, A), "b": B, "c": 2 * A}, "c", "a"),
        ({"a": 1e300 * A, "b": B, "c": 1e300 * A + 1e300 * B}, "c", "a, b"),
    ],
)
def test_a_column_that_follows_from_others_is_named(columns, name, by):
    (line,) = said(**columns)
    assert line.startswith(f"column '{name}' follows from {by} by a linear formula")
    assert line.endswith(f"'dataset.drop=[{name}]'")


@pytest.mark.parametrize(
    "columns",
    [
        {"a": A, "b": 2 * A + 1e-6 * B, "c": C},
        {"a": A, "b": A**2, "c": A * B},
        {"a": A.round(3), "b": (A / 3).round(3)},
        {"a": A, "k": (A > 0).astype(int)},
        {str(i): RANDOM.normal(size=30) for i in range(40)},
        {"a": A, "e": 10 ** RANDOM.uniform(-300, 300, 400), "f": B},
        {"a": 1e308 * np.tanh(A), "e": 10 ** RANDOM.uniform(-300, 300, 400), "f": 1e-300 * B},
        {"a": A, "e": 1e16 + 2 * (B > 0), "f": C},
    ],
)
def test_others_are_not(columns):
    assert said(**columns) == []


def test_many_are_counted():
    lines = said(a=A, **{f"b{i}": (i + 2) * A for i in range(9)})
    assert len(lines) == dependent._MOST + 1
    assert lines[-1] == "... and 4 more columns that others determine"
