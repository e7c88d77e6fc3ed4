"""Rows that are kept for all questions: what they are, and answers from them against sums."""

import threading

import numpy as np
import pytest
import torch
from builders import MIXED, tiny_made
from test_probability import DISCRETE, SCHEMA, brute_force
from test_simple_densities import discrete_rows
from test_simple_members import model_of

from made_exp.density import kept, mixture
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events
from made_exp.density.kept import Kept, kept_of
from made_exp.density.mixture import Effort, estimate
from made_exp.density.paths import Walk
from made_exp.density.predicate import parse_predicate
from made_exp.density.probability import probability
from made_exp.density.spread import spread_of
from made_exp.density.starts import starts_of
from made_exp.density.uniforms import Uniforms, uniforms_of

EVENTS = (
    "count > 2 and level <= 1",
    "switch = 1 and colour = 1 and level >= 2",
    "colour not in {2} and (level between 1 and 2 or count = 3)",
    "count >= 1.5 and count < 3.5 and colour = 0 and switch is not missing",
)


@pytest.fixture(scope="module", params=["ensemble", "random"])
def model(request):
    generator = torch.Generator().manual_seed(0)
    return model_of(request.param, DISCRETE, discrete_rows(300, generator), generator).double()


@pytest.fixture(params=["last column", "some columns"])
def draws(request, monkeypatch):
    """Nothing is listed; paths begin before the last column that is asked, or earlier."""
    monkeypatch.setattr(mixture, "MAX_LISTED", 0)
    if request.param == "some columns":
        monkeypatch.setattr(kept, "_FEWEST_AT_END", 1e9)
    return request.param


def walk_of(model, event, index=0):
    events = Events(SCHEMA)
    formula = events.formula(parse_predicate(event), event)
    component = model.component(index)
    diagram = Diagram.of(formula, component.masks.ordering.tolist(), events.domains)
    return Walk(model, component, diagram, starts_of(model, formula, events.domains))


@pytest.mark.parametrize("variables", [DISCRETE, MIXED])
def test_what_is_kept_is_what_the_network_says(variables):
    model = tiny_made(variables, ordering="random", direct_connections=True).double()
    rows = Kept.of(model, model.component(0), None, 100, 0)
    order = model.component(0).masks.ordering
    codes = rows.codes[:, order.argsort()]
    assert torch.equal(model.groups.decode(codes).double().nan_to_num(-1), rows.x.nan_to_num(-1))
    params = model.component(0).params(model.groups.features(codes))
    for step, d in enumerate(order.tolist()):
        start = model.groups.param_starts[d]
        own = params[:, start : start + model.groups.param_widths[d]]
        torch.testing.assert_close(rows.params[step], own, rtol=1e-9, atol=1e-9)


def test_paths_begin_with_rows_that_are_as_wanted(model, draws):
    walk = walk_of(model, EVENTS[1])
    rows = kept_of(model, walk, 40, 0, 1)
    begun = rows.begin(walk, 40)
    asked = [level.variable for level in walk.diagram.levels if level.variable in walk.order]
    taken = [d for d in asked if d in walk.order[: begun.num_steps]]
    assert 0 < begun.num_steps < len(walk.order)
    assert len(taken) < len(asked)
    assert (begun.params is None) == (kept._FEWEST_AT_END > 1)
    every = rows.x[kept._PILOT : kept._PILOT + begun.num_begun]
    inside = torch.ones(len(every), dtype=torch.bool)
    for d in taken:
        inside &= walk.level(d).subsets[0].contains(every[:, d])
    assert torch.equal(torch.nonzero(inside).flatten(), begun.numbers)
    assert torch.equal(every[inside].nan_to_num(-1), begun.x.nan_to_num(-1))


@pytest.mark.parametrize("condition", [None, "level >= 1 or switch = 1"])
def test_answers_are_off_the_sums_by_their_standard_errors(model, draws, condition):
    deviations = []
    for event in EVENTS:
        wanted = brute_force(model, SCHEMA, event, condition)
        for seed in range(4):
            found = probability(
                model, SCHEMA, event, condition, num_samples=100, seed=10 * seed, keep=True
            )
            assert not found.is_exact
            deviations.append((found.value - wanted) / found.stderr)
    found = torch.tensor(deviations)
    assert float(found.abs().max()) < 4.5
    assert 0.2 < float(found.square().mean().sqrt()) < 1.2  # even draws: less than they say
    assert abs(float(found.mean())) < 0.8


@pytest.mark.parametrize("condition", [None, "level >= 2", "count > 2 and switch = 1"])
@pytest.mark.parametrize("place", range(3))
def test_distributions_are_off_the_sums_by_their_standard_errors(model, draws, place, condition):
    events, deviations = Events(SCHEMA), []
    known = True if condition is None else events.formula(parse_predicate(condition), condition)
    spread = spread_of(model, events, place, known, Effort(500, keeps=True))
    is_begun = any(terms.numbers is not None for terms in spread.found.terms)
    assert is_begun or draws == "some columns"
    for number, (value, part) in enumerate(zip(spread.values, spread.subsets, strict=True)):
        test = "is missing" if part.missing else f"= {value:g}"
        wanted = brute_force(model, SCHEMA, f"{DISCRETE[place].name} {test}", condition)
        share, stderr = spread.mean_of(np.eye(len(spread.values))[number])
        assert stderr < (0.04 if draws == "last column" else 0.2)
        deviations.append((share - wanted) / max(stderr, 1e-12))
    assert max(map(abs, deviations)) < 4


@pytest.mark.parametrize("width", [3, 1001])
def test_uniforms_go_on_where_they_stopped_and_are_even_if_they_are_not_many(width):
    source = Uniforms(width, 5)
    found = torch.cat([source.draw(20), source.draw(44)])
    assert torch.equal(found, uniforms_of(64, width, 5))
    assert bool(((found >= 0) & (found < 1)).all())
    most = torch.bincount((64 * found[:, 1]).long()).max()  # in a 64th of the way
    assert (most == 1) == (width == 3)


def test_nothing_is_kept_unless_it_is_wanted(model, draws, monkeypatch):
    events, event = Events(SCHEMA), EVENTS[1]
    formula = events.formula(parse_predicate(event), event)
    for keeps in (False, True):
        effort = Effort(100, keeps=keeps)
        found = estimate(model, formula, frozenset(), effort, events.domains)
        assert any(terms.numbers is not None for terms in found.terms) == keeps
    for seed in (0, 3):
        of_seed = {
            keep: probability(model, SCHEMA, event, num_samples=100, seed=seed, keep=keep)
            for keep in (None, False, True)
        }
        assert of_seed[None] == of_seed[seed == 0]
        assert of_seed[True].num_samples > of_seed[False].num_samples
    walk = walk_of(model, event)
    assert kept_of(model, walk, 100, 0, 1) is not None
    monkeypatch.setattr(kept, "_MOST_PRODUCTS", 2**10)
    assert kept_of(model, walk, 100, 0, 1) is None


def test_networks_of_any_order_keep_nothing():
    model = tiny_made(DISCRETE, ordering="agnostic", schedule_options={"num_orderings": 2})
    assert kept_of(model, walk_of(model, EVENTS[0]), 100, 0, 1) is None


def test_rows_are_drawn_once_until_the_weights_change(monkeypatch):
    model = tiny_made(DISCRETE, ordering="random").double()
    calls, drawn = [], Kept.of

    def counted(*arguments):
        calls.append(arguments)
        return drawn(*arguments)

    monkeypatch.setattr(Kept, "of", counted)
    found = []

    def ask():
        found.append(kept_of(model, walk_of(model, EVENTS[0]), 100, 0, 1))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert all(one is found[0] for one in found)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(1.0)
    ask()
    assert len(calls) == 2
    assert found[-1] is not found[0]
    for seed in range(9):
        kept_of(model, walk_of(model, EVENTS[0]), 100, seed, 1)
    assert len(kept._SHELF.of_models[model]) == kept._MOST_SEEDS


def test_paths_of_which_none_are_left_have_no_probability(model):
    walk = walk_of(model, EVENTS[1])
    begun = kept_of(model, walk, 100, 0, 1).begin(walk, 100)
    none = torch.zeros(0, dtype=torch.long)
    left = type(begun)(begun.x[:0], begun.codes[:0], none, none, 50, begun.params[:0])
    terms = walk.resumed(left, begun.x)
    assert terms.each(terms.logs.exp()).tolist() == [0.0] * 50
