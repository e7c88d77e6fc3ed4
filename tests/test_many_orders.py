"""Many orders of one network computed together are each of them alone."""

import pytest
import torch
from builders import tiny_made
from test_conditionals import EVERY, EXTREMES, random_params, some_values
from test_entry import ODD, odd_rows

from made_exp.model import terms
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.many_orders import suits
from made_exp.model.terms import terms_of
from made_exp.variables.variable import binary_variables

NETWORKS = {
    "plain": {"hidden_sizes": (14,)},
    "deep, direct": {"hidden_sizes": (11, 9), "direct_connections": True},
    "tanh": {"hidden_sizes": (11,), "activation": "tanh"},
}


def agnostic(dtype, degrees="spread", **options):
    schedule = {"num_orderings": 5, "resample": "order", "hidden_degrees": degrees}
    options = {"hidden_sizes": (12,), **options}
    return tiny_made(ODD, ordering="agnostic", schedule_options=schedule, **options).to(dtype)


@EVERY
def test_params_that_stand_first_give_the_same(conditional, generator, device, dtype):
    options = {"generator": generator, "device": device, "dtype": dtype}
    params = random_params(conditional, 3, 40, **options)
    x = some_values(conditional, 40, **options)
    expected = conditional.log_prob(params, x.expand(3, 40))
    found = conditional.log_prob_turned(params.movedim(-1, 0).contiguous(), x)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found.to(expected.dtype), expected, rtol=tolerance, atol=tolerance)


@EVERY
def test_params_that_stand_first_may_be_extreme(conditional, generator, device, dtype):
    x = some_values(conditional, 30, generator=generator, device=device, dtype=dtype)
    for size in EXTREMES:
        params = torch.full((conditional.num_params, 2, 30), size, dtype=dtype, device=device)
        found = conditional.log_prob_turned(params, x)
        assert found.shape == (2, 30)
        assert not found.isnan().any()


@EVERY
def test_params_whose_exponentials_are_out_of_range_give_the_same(conditional, device, generator):
    options = {"generator": generator, "device": device, "dtype": torch.float64}
    params = random_params(conditional, 40, size=100, **options).float()
    x = some_values(conditional, 40, **options).float()
    expected = conditional.log_prob(params, x)
    found = conditional.log_prob_turned(params.t(), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("degrees", ["spread", "by_variable"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_together_they_are_what_each_is_alone(kind, degrees, dtype, generator):
    model = agnostic(dtype, degrees, **NETWORKS[kind])
    codes = model.groups.encode(odd_rows(50, generator))
    observed = torch.ones(codes.shape, dtype=torch.bool)
    observed[::3, 2] = observed[::4, 5] = observed[7] = False
    densities = [model.component(m) for m in (3, 0, 4)]
    assert terms._together(densities) == [[0, 1, 2]]
    for seen in (None, observed):
        given = codes if seen is None else codes.where(seen, torch.nan)
        found = terms_of(densities, given, None, seen)
        alone = [one.observed_first(seen).terms(given, None, seen) for one in densities]
        tolerance = 1e-12 if dtype == torch.float64 else 1e-3
        torch.testing.assert_close(
            found, torch.stack(alone).double(), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("ordering", ["random", "ensemble"])
def test_fixed_orders_are_scored_as_in_training(ordering, dtype, generator):
    model = tiny_made(ODD, (12,), ordering=ordering).to(dtype)
    x = odd_rows(30, generator)
    x = x.where(~x.isnan() | torch.tensor([v.may_be_missing for v in ODD]), 1.0)
    codes = model.groups.encode(x)
    densities = [model.component(m) for m in range(model.num_orderings)]
    found = terms_of(densities, codes, None, None)
    alone = torch.stack([one.terms(codes) for one in densities]).double()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(found, alone, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        model.log_prob(x), model.log_prob(x, grad=True), rtol=tolerance, atol=tolerance
    )


def test_rows_and_orders_are_taken_in_bounded_numbers(generator, monkeypatch):
    model = agnostic(torch.float64)
    x = odd_rows(40, generator)
    whole = log_probs_by_variable(model, x), model.log_prob(x)
    monkeypatch.setattr("made_exp.model.many_orders.ROWS", 7)
    monkeypatch.setattr("made_exp.model.many_orders._MAX_NUMBERS", 300)
    torch.testing.assert_close((log_probs_by_variable(model, x), model.log_prob(x)), whole)
    torch.testing.assert_close(whole[0].sum(1), whole[1])


def test_many_patterns_are_computed_row_by_row(generator, monkeypatch):
    model = agnostic(torch.float64)
    x = odd_rows(40, generator)
    x[torch.rand(x.shape, generator=generator) < 0.3] = torch.nan
    assert len(torch.unique(x.isnan(), dim=0)) > terms._MAX_PATTERNS
    found = model.log_prob(x)
    monkeypatch.setattr(terms, "_MAX_PATTERNS", 100)
    torch.testing.assert_close(model.log_prob(x), found)


def test_gradients_are_kept_where_they_are_asked_for(generator):
    model = agnostic(torch.float64).requires_grad_(True)
    x = odd_rows(9, generator)
    with_grad = model.log_prob(x, grad=True)
    assert with_grad.requires_grad
    torch.testing.assert_close(model.log_prob(x), with_grad.detach())


def test_what_it_is_not_made_for_goes_one_by_one(generator):
    narrow = tiny_made(
        binary_variables(8), ordering="agnostic", schedule_options={"num_orderings": 5}
    )
    conditioned = agnostic(torch.float64, conditioning_weights=True)
    for model in (narrow, conditioned, agnostic(torch.float64).train()):
        assert not suits(model.members[0], 5)
    model = agnostic(torch.float64)
    assert suits(model.members[0], 5)
    assert not suits(model.members[0], 1)
