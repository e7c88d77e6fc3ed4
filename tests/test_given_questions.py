"""Questions about given columns, and under conditions on them, against sums over rows of train."""

import numpy as np
import pytest
import torch
from test_given_variables import ROWS, VARIABLES, all_rows, model_of
from test_probability import schema_for, truth
from test_simple_densities import fitted

from made_exp.density import mixture
from made_exp.density.events import Events
from made_exp.density.formula import negation
from made_exp.density.predicate import parse_predicate
from made_exp.density.probability import probability
from made_exp.model.simple import KINDS

SCHEMA = schema_for(VARIABLES)
QUESTIONS = (
    ("count >= 2 and colour = 1", None),
    ("count >= 2 and colour = 1", "group = 2"),
    ("flag = 1", "group != 0 and age < 3"),
    ("flag = 1 and group = 2", "colour is missing"),
    ("group = 1 or flag = 1", "colour = 0 and group <> 2"),
    ("count = 1 and (group = 2 or colour = 1)", "flag = 0 or group = 0"),
    ("group = 2", "flag = 1 or age > 0"),
    ("group = 2", None),
    ("group = 2 and age between 3.99 and 4.01", None),
    ("group = 2 and age between 3.99 and 4.01", "flag = 1"),
)


def formula(text):
    return True if text is None else Events(SCHEMA).formula(parse_predicate(text), text)


def summed(model, event, condition):
    """The ratio of sums over all rows, weighted by the shares of the rows of train."""
    sums = np.zeros(2)
    for given, share in zip(ROWS["rows"], (0.5, 0.3, 0.2), strict=True):
        x = all_rows(given)
        known = truth(Events(SCHEMA), formula(condition), x)
        both = known & truth(Events(SCHEMA), formula(event), x)
        probs = share * model.log_prob(x).exp()
        sums += float(probs[both].sum()), float(probs[known].sum())
    return sums[0] / sums[1]


@pytest.mark.parametrize(("event", "condition"), QUESTIONS)
@pytest.mark.parametrize("ordering", ["natural", "ensemble"])
def test_rows_of_train_are_the_law_of_given_columns(ordering, event, condition, generator):
    model = model_of(ordering, generator)
    found = probability(model, SCHEMA, event, condition)
    assert found.is_exact
    assert found.value == pytest.approx(summed(model, event, condition), rel=1e-10)


@pytest.fixture
def drawing_model(generator, monkeypatch):
    """Nothing is listed, and one of its densities draws whole rows."""
    monkeypatch.setattr(mixture, "MAX_LISTED", 0)
    x = torch.cat([all_rows(given) for given in ROWS["rows"]])
    extras = {"gaussian_mixture": fitted(KINDS["gaussian_mixture"], VARIABLES, x)}
    return model_of("ensemble", generator, extras=extras)


@pytest.mark.parametrize(("event", "condition"), QUESTIONS)
def test_an_event_and_its_opposite_sum_to_one_in_draws(drawing_model, event, condition):
    texts = event, f"not ({event})"
    pair = [probability(drawing_model, SCHEMA, text, condition) for text in texts]
    is_given = {*event.split()}.isdisjoint({"flag", "count", "colour"})  # alone: the same draws
    assert sum(pair) == pytest.approx(1, abs=1e-12 if is_given else 2e-3)


@pytest.mark.parametrize(("event", "condition"), QUESTIONS[:7])
def test_the_error_of_drawn_rows_is_about_their_spread(drawing_model, event, condition):
    found = [
        probability(drawing_model, SCHEMA, event, condition, num_samples=300, seed=seed)
        for seed in range(20)
    ]
    spread, said = np.std(found, ddof=1), np.mean([one.stderr for one in found])
    assert 0 < spread < 1.5 * said
    assert said < 0.03
    wanted = summed(drawing_model, event, condition)
    assert np.mean(found) == pytest.approx(wanted, abs=3 * said / 20**0.5 + 1e-3)


def test_a_rare_row_of_train_has_as_many_draws_as_others(drawing_model):
    drawing_model.given_rows.shares.copy_(torch.tensor([0.999, 0.0009, 0.0001]))
    found = probability(drawing_model, SCHEMA, "flag = 1", "group = 2")
    assert found.stderr < 0.03
    rare = probability(drawing_model, SCHEMA, "group = 2", "flag = 1")
    assert 0 < rare.stderr < 0.1 * rare.value


def test_a_negation_is_true_where_a_formula_is_not():
    events, x = Events(SCHEMA), torch.cat([all_rows(given) for given in ROWS["rows"]])
    for event, _ in QUESTIONS:
        own = formula(event)
        opposite = negation(own, events.domains)
        assert torch.equal(truth(events, opposite, x), ~truth(events, own, x))
        assert negation(opposite, events.domains) == own
