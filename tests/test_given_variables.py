"""Variables that are given: exact conditionals of the others in scores and draws."""

import math
from dataclasses import replace

import pytest
import torch
from builders import build_made, make_schedules, network_settings
from test_simple_densities import fitted

from made_exp.density.density import Density
from made_exp.masks.connectivity import connectivity
from made_exp.model import build
from made_exp.model.checks import check_masks, check_normalisation, check_samples
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.given_rows import GivenRows
from made_exp.model.network_vjp import network_vjp
from made_exp.model.simple import KINDS
from made_exp.variables.outputs import Conditionals
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable

# The given ones stand between the others, so that an order that forgets them is found.
VARIABLES = (
    Variable("flag", Kind.BINARY, 2),
    Variable("group", Kind.CATEGORICAL, 3, is_given=True),
    Variable("count", Kind.INTEGER, 4, transform=Transform(scale=2.0), atoms=(2.0,)),
    Variable("age", Kind.REAL, transform=Transform(shift=1.0, scale=2.0), is_given=True),
    Variable("colour", Kind.CATEGORICAL, 3, may_be_missing=True),
)
GIVEN, MODELLED = [1, 3], [0, 2, 4]
ROWS = {"rows": [[0.0, -1.5], [1.0, 0.25], [2.0, 4.0]], "counts": [5, 3, 2]}
ORDERINGS = {
    "natural": {},
    "reversed": {},
    "random": {},
    "agnostic": {"num_orderings": 4},
    "ensemble": {"num_orderings": 3},
}


def model_of(ordering, generator, variables=VARIABLES, hidden_sizes=(9, 9), extras=(), **options):
    first = [d for d, variable in enumerate(variables) if variable.is_given]
    degrees = {k: v for k, v in options.items() if k == "hidden_degrees"}
    schedules = make_schedules(
        ordering, len(variables), hidden_sizes, first=first, **ORDERINGS[ordering], **degrees
    )
    model = build.build_made(
        variables,
        schedules,
        network_settings(hidden_sizes, False, **options),
        extras=dict(extras),
        given_rows=GivenRows.of(variables, ROWS),
        generator=generator,
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def all_rows(given):
    """All values of what is modelled, (24 + 8, D), beside the given values (2,)."""
    values = torch.cartesian_prod(
        torch.arange(2).double(),
        torch.arange(4).double(),
        torch.tensor([0.0, 1.0, 2.0, math.nan]).double(),
    )
    x = torch.zeros(len(values), len(VARIABLES), dtype=torch.float64)
    x[:, MODELLED], x[:, GIVEN] = values, torch.tensor(given).double()
    return x


@pytest.mark.parametrize("degrees", ["spread", "uniform", "random", "by_variable"])
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_the_others_sum_to_one_for_all_given_values(ordering, degrees, generator):
    model = model_of(ordering, generator, hidden_degrees=degrees)
    totals = [float(model.log_prob(all_rows(given)).exp().sum()) for given in ROWS["rows"]]
    assert totals == pytest.approx([1.0] * 3, abs=1e-12)
    assert check_masks(model).passed
    assert check_normalisation(model).detail.startswith("sum over 32 inputs")


@pytest.mark.parametrize("degrees", ["spread", "uniform", "random", "by_variable"])
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_every_conditional_depends_on_all_that_is_given(ordering, degrees, generator):
    options = {"hidden_degrees": degrees, "activation": "tanh"}  # a relu may be dead
    model = model_of(ordering, generator, hidden_sizes=(30, 30), **options)
    for index in range(model.num_orderings):
        component = model.component(index)
        assert component.masks.ordering[:2].tolist() in ([1, 3], [3, 1])
        assert all((layer >= 2).all() for layer in component.masks.hidden_degrees)
        lost = connectivity(component.masks).lost_pairs
        assert degrees != "spread" or lost == 0
        codes = model.groups.encode(all_rows([1.0, 0.5])[:6])
        changed = {1: codes.clone(), 3: codes.clone()}
        changed[1][:, 1], changed[3][:, 3] = 2.0, 0.9
        for given, other in changed.items():
            moved = component.terms(codes) - component.terms(other)
            first = int(component.masks.ordering[2])
            assert (moved[:, first].abs() > 1e-6).all(), (ordering, degrees, given)
            assert (moved[:, GIVEN] == 0).all()


def test_the_first_conditional_has_a_derivative_by_a_given_number(generator):
    model = model_of("agnostic", generator, direct_connections=False)
    for index in range(4):
        component = model.component(index)
        codes = model.groups.encode(all_rows([1.0, 0.5])[:1]).requires_grad_()
        first = int(component.masks.ordering[2])
        (slope,) = torch.autograd.grad(component.terms(codes)[0, first], codes)
        assert abs(float(slope[0, 3])) > 1e-6
        assert float(slope[0, 4]) == 0


def test_only_pairs_that_end_in_a_modelled_variable_can_be_lost(generator):
    model = model_of("natural", generator, hidden_sizes=(2,), hidden_degrees="uniform")
    masks = model.component(0).masks
    found = connectivity(masks)
    assert found.num_pairs == 10 - 1
    paths = {
        (early, late)
        for early in range(5)
        for late in range(2, 5)
        if early < late and any(early + 1 <= d <= late for d in masks.hidden_degrees[0].tolist())
    }
    assert found.lost_pairs == 9 - len(paths)


@pytest.mark.parametrize("ordering", ["natural", "agnostic", "ensemble"])
def test_samples_have_the_rows_of_train_and_the_exact_table(ordering, generator):
    model = model_of(ordering, generator)
    count = 20_000
    x = model.sample(count, generator=generator)
    is_row = [(x[:, GIVEN] == torch.tensor(row)).all(1) for row in ROWS["rows"]]
    assert sum(map(int, map(torch.sum, is_row))) == count
    for own, row, share in zip(is_row, ROWS["rows"], (0.5, 0.3, 0.2), strict=True):
        assert float(own.double().mean()) == pytest.approx(share, abs=0.015)
        table, drawn = all_rows(row), x[own]
        probs = model.log_prob(table).exp()
        same = (drawn[:, None] == table) | (drawn[:, None].isnan() & table.isnan())
        counts = same.all(2).double().sum(0)
        assert counts.sum() == len(drawn)
        kept = probs * len(drawn) > 5
        chi = ((counts - probs * len(drawn)) ** 2 / (probs * len(drawn)))[kept].sum()
        assert float(chi) < int(kept.sum()) + 5 * (2 * int(kept.sum())) ** 0.5
    assert check_samples(model, generator).passed


def test_a_draw_takes_given_values_that_are_chosen(generator):
    model = model_of("agnostic", generator)
    x = torch.full((4000, 5), math.nan, dtype=torch.float64)
    x[:, GIVEN] = torch.tensor([1.0, 7.125]).double()
    drawn = model.complete(x, model.groups.is_given, generator=generator)
    assert (drawn[:, GIVEN] == x[:, GIVEN]).all()
    table = all_rows([1.0, 7.125])
    flags = float(model.log_prob(table).exp()[table[:, 0] == 1].sum())
    assert float(drawn[:, 0].mean()) == pytest.approx(flags, abs=0.035)
    part = model.completion_log_prob(table, model.groups.is_given)
    torch.testing.assert_close(part, model.log_prob(table))


def test_parts_of_the_columns_add_up_and_given_ones_have_none(generator):
    model, x = model_of("agnostic", generator), all_rows([2.0, 0.5])
    parts = log_probs_by_variable(model, x)
    assert (parts[:, GIVEN] == 0).all()
    torch.testing.assert_close(parts.sum(1), model.log_prob(x))
    assert model.num_modelled == 3


def test_what_is_needed_is_said(generator):
    model, x = model_of("natural", generator), all_rows([1.0, 0.5])[:2]
    x[1, 3] = math.nan
    with pytest.raises(ValueError, match=r"x\[1, 3\] is missing: .* given 'age'"):
        model.log_prob(x)
    x[1, 3], x[0, 1] = 0.5, 9.0
    with pytest.raises(ValueError, match=r"x\[0, 1\] is 9, which is no value .* given 'group'"):
        model.log_prob(x)
    observed = torch.tensor([True, True, False, False, False])
    with pytest.raises(ValueError, match="observed must be true of 'group', 'age'"):
        model.complete(all_rows([1.0, 0.5]), observed)
    model.given_rows = None
    with pytest.raises(ValueError, match="is given 'group', 'age' and knows no values"):
        model.sample(3)


def test_the_likelihood_is_a_density_of_the_others_alone(generator):
    """Log |dz/dx| of a given number does not count."""
    variables = (
        Variable("y", Kind.REAL, transform=Transform(scale=5.0)),
        Variable("age", Kind.REAL, transform=Transform(scale=9.0), is_given=True),
    )
    rows = {"rows": [[0.0]], "counts": [1]}
    schedules = make_schedules("natural", 2, (6,), first=[1])
    model = build_made(variables, schedules, generator=generator).double().eval()
    model.given_rows = GivenRows.of(variables, rows)
    grid = torch.linspace(-400, 400, 80_001).double()
    x = torch.stack([grid, torch.full_like(grid, 3.0)], 1)
    total = torch.trapezoid(model.log_prob(x).exp(), grid)
    assert float(total) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_simple_densities_are_of_the_others_given_them(name, generator):
    x = torch.stack(
        [
            torch.randint(2, (200,), generator=generator),
            torch.randint(3, (200,), generator=generator),
            torch.randint(4, (200,), generator=generator),
            torch.randn(200, generator=generator),
            torch.randint(3, (200,), generator=generator),
        ],
        dim=1,
    ).double()
    x[:, 0] = (x[:, 1] == 1).double()
    density = fitted(KINDS[name], VARIABLES, x)
    model = model_of("natural", generator, extras={name: density})
    for given in ROWS["rows"]:
        table = model.groups.encode(all_rows(given))
        log_probs, terms = density.log_prob(table), density.terms(table)
        assert float(log_probs.exp().sum()) == pytest.approx(1, abs=1e-9)
        torch.testing.assert_close(terms.sum(1), log_probs)
        assert (terms[:, GIVEN] == 0).all()
    if name == "gaussian_mixture":  # it is given the group; counting ignores it
        table = all_rows([1.0, 0.0])
        chance = density.log_prob(model.groups.encode(table)).exp()[table[:, 0] == 1].sum()
        assert float(chance) > 0.6
    drawn = model.sample(500, generator=generator, component=-1)
    assert {tuple(row) for row in drawn[:, GIVEN].tolist()} <= set(map(tuple, ROWS["rows"]))


def test_training_differentiates_what_it_scores(generator):
    """The step without autograd agrees with autograd where variables are given."""
    model = model_of("natural", generator, dropout=0.0, direct_connections=True)
    codes = model.groups.encode(all_rows([1.0, 0.5]))
    component = model.component(0)
    loss = -component.log_prob(codes).mean()
    loss.backward()
    with torch.no_grad():
        features = model.groups.features(codes)
        params, pull = network_vjp(component.network, features, component.masks)
        log_probs, to_params = Conditionals(model.groups, params).log_prob_vjp(codes)
        grads = pull(to_params(torch.full_like(log_probs, -1 / len(codes))))
    for parameter in component.network.parameters():
        torch.testing.assert_close(grads[parameter], parameter.grad)


def test_a_given_value_that_is_missing_is_known_by_default(generator):
    given = replace(VARIABLES[1], may_be_missing=True)
    model = model_of("agnostic", generator, (VARIABLES[0], given, *VARIABLES[2:]))
    x = torch.full((3, len(VARIABLES)), torch.nan, dtype=torch.float64)
    x[:, 3] = 1.5
    drawn = Density(model).complete(x, seed=0)
    assert drawn[:, 1].isnan().all()
    assert drawn[:, 3].eq(1.5).all()
    assert drawn[:, [0, 2]].isfinite().all()
