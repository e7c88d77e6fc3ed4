"""Answers of models whose data lack cells: those of the density that samples are drawn from."""

import numpy as np
import pytest
import torch
from builders import MIXED, tiny_made
from test_probability import SCHEMA, schema_for, truth
from test_simple_densities import DISCRETE, all_codes

from made_exp.density import mixture
from made_exp.density.chosen_rows import rows_where
from made_exp.density.events import Events
from made_exp.density.measures import mean, quantile
from made_exp.density.mixture import Effort
from made_exp.density.predicate import parse_predicate
from made_exp.density.probability import probability
from made_exp.density.spread import spread_of

QUESTIONS = (
    ("switch = 1", None),
    ("count >= 3 or switch is missing", None),
    ("colour = 1", "switch = 1"),
    ("level <= 1 and count = 2", "colour in {0, 2} or switch = 0"),
)


def agnostic(variables, missing=()):
    options = {"num_orderings": 3, "missing": missing}
    return tiny_made(variables, ordering="agnostic", schedule_options=options).double()


@pytest.fixture(scope="module")
def model():
    """What is missing most is the first column, then the third."""
    return agnostic(DISCRETE, (0.6, 0.0, 0.1, 0.0))


@pytest.fixture(scope="module")
def probs(model):
    """All rows, and the probability of each as rows are scored."""
    x = model.groups.decode(all_codes(DISCRETE).to(model.groups.code_dtype)).double()
    whole = [model.ordering_log_prob(x, index) for index in model.weighted()]
    # NaN is a value here: a row with one is whole.
    return x, torch.stack(whole).double().exp().mean(0)


def formula_of(text):
    return Events(SCHEMA).formula(parse_predicate(text), text)


def summed(probs, event, condition=None):
    x, probs = probs
    inside = [truth(Events(SCHEMA), formula_of(text), x) for text in (event, condition) if text]
    known = probs if condition is None else probs[inside[1]]
    own = inside[0] if condition is None else inside[0] & inside[1]
    return float(probs[own].sum() / known.sum())


@pytest.mark.parametrize(("event", "condition"), QUESTIONS)
def test_exact_answers_are_sums_of_what_rows_are_scored(model, probs, event, condition):
    assert float(probs[1].sum()) == pytest.approx(1.0)
    found = probability(model, SCHEMA, event, condition)
    assert found.is_exact
    assert found.value == pytest.approx(summed(probs, event, condition), rel=1e-9)


@pytest.mark.parametrize("keep", [False, True])
def test_drawn_answers_are_off_the_sums_by_their_standard_errors(model, probs, keep, monkeypatch):
    monkeypatch.setattr(mixture, "MAX_LISTED", 0)
    deviations = []
    for event, condition in QUESTIONS:
        wanted = summed(probs, event, condition)
        for seed in range(4):
            found = probability(
                model, SCHEMA, event, condition, num_samples=300, seed=10 * seed, keep=keep
            )
            assert not found.is_exact
            assert (found.num_samples > 600) == keep
            deviations.append((found.value - wanted) / found.stderr)
    assert max(map(abs, deviations)) < 4
    assert 0.1 < np.std(deviations) < 1.3


def test_rows_that_are_so_are_of_the_same_density(model, probs):
    text, count = "count >= 3 or switch is missing", 4000
    found = rows_where(model, Events(SCHEMA), formula_of(text), count, Effort(seed=1))
    for event in ("switch is missing", "colour = 1", "level = 0 and count = 3"):
        share = float(truth(Events(SCHEMA), formula_of(event), found.x).double().mean())
        wanted = summed(probs, event, text)
        assert abs(share - wanted) < 4 * (wanted * (1 - wanted) / count) ** 0.5


@pytest.mark.parametrize("way", ["listed", "drawn", "kept"])
def test_means_quantiles_and_distributions_are_those_of_samples(way, monkeypatch):
    if way != "listed":
        monkeypatch.setattr(mixture, "MAX_LISTED", 0)
    model = agnostic(MIXED, (0.0, 0.3, 0.6, 0.0, 0.1, 0.0))
    x = model.sample(20_000, generator=torch.Generator().manual_seed(2)).double()
    events, effort = Events(schema_for(MIXED)), Effort(3000, keeps=way == "kept")
    for text, rows in ((None, x), ("flag = 1 and level >= 1", x[(x[:, 5] == 1) & (x[:, 4] > 0)])):
        known = True if text is None else events.formula(parse_predicate(text), text)
        weight = spread_of(model, events, 2, known, effort)
        assert weight.found.is_exact == (way == "listed")
        assert any(terms.numbers is not None for terms in weight.found.terms) == (way == "kept")
        value, stderr = mean(weight)
        drawn = float(rows[:, 2].std()) / len(rows) ** 0.5
        assert abs(value - float(rows[:, 2].mean())) < 3.5 * np.hypot(stderr, drawn)
        for level in (0.25, 0.5, 0.9):
            value, _ = quantile(weight, level)
            assert float((rows[:, 2] < value).double().mean()) == pytest.approx(level, abs=0.02)
        colour = spread_of(model, events, 1, known, effort)
        shares = torch.bincount(rows[:, 1].long(), minlength=3) / len(rows)
        assert np.abs(colour.probs - shares.numpy()).max() < 0.02


def test_tables_without_missing_cells_are_asked_in_orders_that_begin_with_what_is_asked():
    asked, plain = frozenset({2}), agnostic(DISCRETE, (0.0,) * 4)
    for index in range(3):
        component = plain.component(index)
        moved = mixture.in_order(component, frozenset({1}), asked, ()).masks.ordering
        others = [d for d in component.masks.ordering.tolist() if d in (0, 3)]
        assert moved.tolist() == [1, 2, *others]
