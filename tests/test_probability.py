"""Probabilities of predicates against sums over every row, in float64."""

import math

import pytest
import torch
from builders import tiny_made
from hypothesis import given, settings
from hypothesis import strategies as st
from test_given_variables import ROWS
from test_given_variables import VARIABLES as GIVEN_VARIABLES
from test_given_variables import model_of as given_model
from test_simple_densities import DISCRETE, all_codes, discrete_rows
from test_simple_members import model_of

from made_exp.datasets.table.plain import schema_of
from made_exp.density import mixture
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events
from made_exp.density.formula import variables_of
from made_exp.density.mixture import in_order
from made_exp.density.predicate import parse_predicate
from made_exp.density.probability import Probability, probability, ratio
from made_exp.density.terms import Terms
from made_exp.model.evaluation import fit_mixture
from made_exp.variables.variable import Kind, Variable

ORDERINGS = ("agnostic", "ensemble", "random")


def schema_for(variables):
    return schema_of({"variables": [variable.to_dict() for variable in variables]})


SCHEMA = schema_for(DISCRETE)


@pytest.fixture(scope="module", params=ORDERINGS)
def model(request):
    generator = torch.Generator().manual_seed(0)
    x = discrete_rows(300, generator)
    model = model_of(request.param, DISCRETE, x, generator).double()
    fit_mixture(model, discrete_rows(100, generator), batch_size=100)
    with torch.no_grad():
        weights = torch.randn(len(model.mixture._log_weights), generator=generator).double()
        model.mixture._log_weights.copy_(weights.log_softmax(0))
    return model


@pytest.fixture
def draws(monkeypatch):
    """Nothing is listed."""
    monkeypatch.setattr(mixture, "MAX_LISTED", 0)
    monkeypatch.setattr("made_exp.density.simple_events.MAX_ROWS", 0)


def brute_force(model, schema, event, condition=None):
    """The ratio of two sums over all rows, each density with the order that it answers in."""
    events = Events(schema)
    formulas = [
        events.formula(parse_predicate(text), text) if text else True
        for text in (f"({event}) and ({condition})" if condition else event, condition)
    ]
    first = variables_of(formulas[1])
    codes = all_codes(schema.variables).to(model.groups.code_dtype)
    x = model.groups.decode(codes).double()
    sums = []
    for formula in formulas:
        inside = truth(events, formula, x)
        total = 0.0
        for index, log_weight in model.weighted().items():
            density = model.density(index)
            if index >= 0:
                density = in_order(density, first, variables_of(formula), ())
            probs = density.log_prob(codes).double().exp()
            total += math.exp(log_weight) * float(probs[inside].sum())
        sums.append(total)
    return sums[0] / sums[1]


def truth(events, formula, x):
    if isinstance(formula, bool):
        return torch.full((len(x),), formula)
    diagram = Diagram.of(formula, range(x.shape[1]), events.domains)
    return diagram.contains(x)


EVENTS = (
    "switch = 1",
    "switch != 1",
    "switch is missing",
    "not switch = 1",
    "count > 2 and level <= 1",
    "count in {0, 3} or switch is missing",
    "colour not in {2} and (level between 1 and 2 or count = 3)",
    "not (colour = 0 and level >= 1) and count is not missing",
    "switch = 0 and colour = 1 and count = 4 and level = 3",
    "level not between 1 and 2",
    "count >= 1.5 and count < 3.5",
)
CONDITIONS = (None, "level >= 2", "colour = 1 and switch is not missing", "count = 0 or level = 0")


@pytest.mark.parametrize("hits", [0, 1, 1000])
def test_draws_that_all_miss_or_hit_have_a_standard_error(hits):
    log_hit = math.log(0.3 / 1000)
    logs = torch.full((1000,), -math.inf, dtype=torch.float64)
    logs[:hits] = log_hit
    drawn = Terms(logs, False, log_hit=log_hit)
    exact = Terms(torch.tensor([0.1, 0.05], dtype=torch.float64).log(), True)
    share = {0: 1 / 1002, 1: 1 / 1000, 1000: 1 / 1002}[hits]
    wanted = 0.3 * math.sqrt(share * (1 - share) / 1000)
    found = ratio(mixture.Estimate((drawn, exact)), None)
    assert found.value == pytest.approx(0.15 + 0.3 * hits / 1000)
    assert found.stderr == pytest.approx(wanted, rel=2e-3)
    alone = ratio(mixture.Estimate((drawn,)), None)
    assert alone.stderr == pytest.approx(wanted, rel=2e-3)


def test_hits_of_a_density_count_as_its_weight_says(model, draws, monkeypatch):
    monkeypatch.setattr("made_exp.density.simple_events.MAX_BOXES", 0)
    formula = Events(SCHEMA).formula(parse_predicate("count > 2"), "count > 2")
    effort = mixture.Effort(1000)
    found = mixture.estimate(model, formula, frozenset(), effort, Events(SCHEMA).domains)
    counted = [terms for terms in found.terms if terms.log_hit is not None]
    assert counted
    for terms in counted:
        hits = terms.logs[terms.logs > -math.inf]
        assert torch.allclose(hits, torch.full_like(hits, terms.log_hit))


def test_what_is_hardly_ever_so_has_an_error_of_its_own_size(model, draws):
    event = "switch = 1 and colour = 0 and count = 4 and level = 3"
    wanted = brute_force(model, SCHEMA, event)
    found = probability(model, SCHEMA, event, num_samples=500)
    assert wanted < 0.02
    assert 0 < found.stderr < 0.3 * wanted
    assert abs(found.value - wanted) < 4.5 * found.stderr + 1e-8


@pytest.mark.parametrize("condition", CONDITIONS[::3])
@pytest.mark.parametrize("event", EVENTS)
def test_listed_probabilities_are_sums(model, event, condition):
    found = probability(model, SCHEMA, event, condition)
    assert found.is_exact
    assert found.stderr == 0
    assert found.value == pytest.approx(brute_force(model, SCHEMA, event, condition), abs=1e-9)


@pytest.mark.parametrize("condition", CONDITIONS[:3:2])
@pytest.mark.parametrize("event", EVENTS[4:8])
def test_drawn_probabilities_are_near_the_sums_as_they_say(model, draws, event, condition):
    wanted = brute_force(model, SCHEMA, event, condition)
    found = probability(model, SCHEMA, event, condition, num_samples=2000, seed=3)
    if wanted == 0:
        assert "contradiction" in found.note
        return
    assert not found.is_exact
    assert found.stderr < 0.05
    assert abs(found.value - wanted) < 4.5 * found.stderr + 1e-9
    again = probability(model, SCHEMA, event, condition, num_samples=2000, seed=3)
    assert (again.value, again.stderr) == (found.value, found.stderr)


TESTS = st.sampled_from(
    ["switch = 1", "switch is missing", "colour = 2", "colour in {0, 1}", "count >= 3"]
    + ["count = 0", "count is missing", "level < 2", "level = 3", "level between 1 and 2"]
)
PREDICATES = st.recursive(
    TESTS,
    lambda part: st.one_of(
        st.tuples(part, st.sampled_from(["and", "or"]), part).map(" ".join).map("({})".format),
        part.map("not {}".format),
    ),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(event=PREDICATES, condition=st.one_of(st.none(), PREDICATES))
def test_any_predicates_are_sums(event, condition):
    model = _one_model()
    events = Events(SCHEMA)
    known = events.formula(parse_predicate(condition), condition) if condition else True
    if known is False:
        with pytest.raises(ValueError, match="probability 0"):
            probability(model, SCHEMA, event, condition)
        return
    found = probability(model, SCHEMA, event, condition)
    assert found.value == pytest.approx(brute_force(model, SCHEMA, event, condition), abs=1e-9)
    x = model.groups.decode(all_codes(DISCRETE).to(model.groups.code_dtype)).double()
    assert truth(events, events.formula(parse_predicate(event), event), x).tolist() == [
        holds(event, row) for row in x.tolist()
    ]


def holds(event, row):
    """What Python makes of a predicate."""
    names = dict(zip([v.name for v in DISCRETE], row, strict=True))
    words = event
    for name in names:
        words = words.replace(f"{name} is missing", f"{name} != {name}")
        words = words.replace(f"{name} between 1 and 2", f"1 <= {name} <= 2")
    words = words.replace(" = ", " == ").replace("not ", " not ")
    return bool(eval(words, {}, names))


_MODELS = {}


def _one_model():
    if not _MODELS:
        _MODELS["one"] = tiny_made(
            DISCRETE, ordering="agnostic", schedule_options={"num_orderings": 2}
        ).double()
    return _MODELS["one"]


REALS = (
    Variable("size", Kind.REAL),
    Variable("colour", Kind.CATEGORICAL, 3),
    Variable("weight", Kind.REAL),
    Variable("count", Kind.INTEGER, 40),
)


@pytest.mark.parametrize("ordering", ["natural", "agnostic"])
def test_reals_are_integrals(ordering):
    """P(size < 0.3, colour = 1, weight > -0.5, count >= 7) by a grid over both reals."""
    model = tiny_made(REALS, ordering=ordering, schedule_options={"num_orderings": 2}).double()
    text = "size < 0.3 and colour = 1 and weight > -0.5 and weight < 1.5 and count >= 7"
    schema = schema_for(REALS)
    events = Events(schema)
    formula = events.formula(parse_predicate(text), text)
    width = 0.05
    size = torch.arange(-9.7, 0.3, width).double() + width / 2
    weight = torch.arange(-0.5, 1.5, width).double() + width / 2
    count = torch.arange(7, 40).double()
    grid = torch.cartesian_prod(size, weight, count)
    x = torch.stack([grid[:, 0], torch.ones(len(grid)), grid[:, 1], grid[:, 2]], 1)
    codes = model.groups.encode(x)
    wanted = 0.0
    for index in range(model.num_orderings):
        component = in_order(model.component(index), frozenset(), variables_of(formula), ())
        for part in codes.split(2**16):
            wanted += float(component.log_prob(part).exp().sum()) * width**2 / model.num_orderings
    found = probability(model, schema, text, num_samples=4000)
    assert not found.is_exact
    assert abs(found.value - wanted) < 4.5 * found.stderr + 0.01 * wanted
    assert found.stderr < 0.1 * wanted


@pytest.mark.parametrize("ordering", ["natural", "agnostic", "ensemble"])
def test_given_columns_have_the_values_of_train_or_of_the_condition(ordering):
    generator = torch.Generator().manual_seed(0)
    model = given_model(ordering, generator)
    schema = schema_for(GIVEN_VARIABLES)
    whole = 0.0
    for row, share in zip(ROWS["rows"], (0.5, 0.3, 0.2), strict=True):
        text = f"group = {row[0]:.0f} and age between {row[1] - 0.01} and {row[1] + 0.01}"
        own = probability(model, schema, "count >= 2 and colour = 1", text)
        whole += share * own.value
        assert own.is_exact
    found = probability(model, schema, "count >= 2 and colour = 1")
    assert found.value == pytest.approx(whole, rel=0.02)
    x = torch.tensor([[math.nan, ROWS["rows"][1][0], math.nan, ROWS["rows"][1][1], math.nan]])
    bits = torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(4)).double()
    rows = x.double().repeat(len(bits), 1)
    rows[:, [0, 2, 4]] = bits
    rows[:, 4] = rows[:, 4].where(rows[:, 4] < 3, torch.nan)
    inside = (rows[:, 2] >= 2) & (rows[:, 4] == 1)
    wanted = float(model.log_prob(rows)[inside].exp().sum())
    if ordering != "agnostic":  # whose rows are scored in other orders than these are asked in
        text = "group = 1 and age between 0.24 and 0.26"
        found = probability(model, schema, "count >= 2 and colour = 1", text)
        assert found.value == pytest.approx(wanted, rel=1e-9)


def test_a_known_row_has_the_probability_that_scores_have():
    model = _one_model()
    text = "switch = 1 and count = 3 and level = 2"
    row = torch.tensor([[1.0, math.nan, 3.0, 2.0]], dtype=torch.float64)
    assert probability(model, SCHEMA, text).value > 0
    tree = Events(SCHEMA).formula(parse_predicate(text), text)
    component = [
        in_order(model.component(i), frozenset(), variables_of(tree), ()).masks.ordering[:3]
        for i in range(2)
    ]
    assert all(set(order.tolist()) == {0, 2, 3} for order in component)
    plain = tiny_made(
        [v for v in REALS if v.num_values],
        ordering="agnostic",
        schedule_options={"num_orderings": 3},
    ).double()
    row = torch.tensor([[1.0, math.nan], [math.nan, 5.0]], dtype=torch.float64)
    schema = schema_for([v for v in REALS if v.num_values])
    found = [probability(plain, schema, text).value for text in ("colour = 1", "count = 5")]
    torch.testing.assert_close(plain.log_prob(row).exp(), torch.tensor(found).double())


def test_binary_models_of_many_columns():
    model = tiny_made(hidden_sizes=(30, 30), ordering="natural").double()
    schema = schema_for(model.groups.variables)
    x = torch.cartesian_prod(*[torch.arange(2)] * 8).double()
    wanted = model.log_prob(x)[(x[:, 1] == 1) & ((x[:, 6] == 0) | (x[:, 7] == 1))].exp().sum()
    text = "x1 = 1 and (x6 = 0 or x7 = 1)"
    assert probability(model, schema, text).value == pytest.approx(float(wanted))


def test_what_cannot_be_is_said(model):
    found = probability(model, SCHEMA, "count > 3 and count < 4")
    assert (found.value, found.stderr, found.is_exact) == (0.0, 0.0, True)
    assert "contradiction" in found.note
    assert probability(model, SCHEMA, "level = 1", "level = 2").value == 0
    assert probability(model, SCHEMA, "level >= 1", "level = 2").value == 1
    assert probability(model, SCHEMA, "level = 1 or not level = 1").value == 1
    for condition in ("level = 1 and level = 2", "level > 7"):
        with pytest.raises(ValueError, match="condition has probability 0"):
            probability(model, SCHEMA, "colour = 1", condition)


@pytest.mark.parametrize("options", [{"num_samples": 1}, {"seed": -1}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        probability(_one_model(), SCHEMA, "level = 1", **options)


def test_a_probability_is_a_number():
    found = Probability(0.25, 0.01, 100, False)
    assert found == 0.25
    assert found.rows(200) == 50
    assert "0.25" in repr(found)
    import copy
    import pickle

    assert pickle.loads(pickle.dumps(found)).stderr == 0.01
    assert copy.copy(found).num_samples == 100
