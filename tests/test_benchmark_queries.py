"""The benchmark of queries: its rival estimates the same, and its errors are those of counting."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import tiny_made
from test_probability import DISCRETE, SCHEMA
from test_simple_densities import all_codes

from made_exp.density.events import Events
from made_exp.density.mixture import Effort
from made_exp.density.probability import probability_of

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture
def queries(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from benchmarks import queries

    return queries


def test_plain_progressive_sampling_estimates_what_is_exact(queries):
    torch.manual_seed(0)
    model = tiny_made(DISCRETE, ordering="random").double()
    x = model.groups.decode(all_codes(DISCRETE).to(model.groups.code_dtype)).double()
    events = Events(SCHEMA)
    formulas = queries.random_queries(x, events, 5, (2, 3))
    for formula in formulas:
        exact = float(probability_of(model, events, formula, True, Effort()))
        for every in (False, True):
            found = queries.plain_progressive(model, events, formula, 4000, every=every)
            assert found == pytest.approx(exact, rel=0.15)
        assert queries._counted(x, formula, events)[0] > 0


def test_q_errors_are_ratios(queries):
    errors = queries._errors(np.array([0.2, 0.1, 0.0]), np.array([100, 100, 1]), 1000)
    assert errors["q_error_median"] == pytest.approx(1.5)
    assert errors["q_error_max"] == pytest.approx(2)
    assert errors["q_error_all_max"] == pytest.approx(2)
    assert errors["num_of_100_rows"] == 2
