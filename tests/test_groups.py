"""What is computed by groups is what each variable would compute alone."""

import pytest
import torch
from builders import MIXED

from made_exp.variables.groups import VariableGroups, usual_components
from made_exp.variables.outputs import Conditionals
from made_exp.variables.variable import MANY_NUMBERS, Kind, Variable

ALIKE = tuple(Variable(f"c{d}", Kind.CATEGORICAL, 4) for d in range(3))
NUM_ROWS = 7


@pytest.fixture(params=[MIXED, ALIKE], ids=["mixed", "alike"])
def case(request, device, dtype, generator):
    """Groups, examples (B, D) that fit them, and random params (B, P)."""
    options = {"num_components": 3, "encoding": "auto", "smooth_logits": False}
    groups = VariableGroups(request.param, conditional="auto", **options).to(device, dtype)
    columns = [
        torch.rand(NUM_ROWS, generator=generator, dtype=torch.float64) * (one.num_values or 1)
        for one in groups.variables
    ]
    x = torch.stack(columns, 1).to(dtype)
    is_discrete = torch.tensor([one.num_values is not None for one in groups.variables])
    x = torch.where(is_discrete, x.floor(), x)
    num_params = sum(groups.param_widths)
    params = torch.randn(NUM_ROWS, num_params, generator=generator, dtype=torch.float64)
    return groups, x.to(device), params.to(device, dtype)


def own_params(groups, params, variable):
    start = groups.param_starts[variable]
    return params[:, start : start + groups.param_widths[variable]]


def test_features_stand_variable_by_variable(case):
    groups, x, _ = case
    alone = [groups.single_features(d, x[:, d]) for d in range(groups.num_dims)]
    assert [one.shape[1] for one in alone] == list(groups.feature_widths)
    assert torch.equal(groups.features(x), torch.cat(alone, 1))


def test_log_probs_are_those_of_each_variable(case):
    groups, x, params = case
    conditionals, dims = Conditionals(groups, params), range(groups.num_dims)
    parts = [(groups.conditional(d), own_params(groups, params, d)) for d in dims]
    log_probs = torch.stack([c.log_prob(own, x[:, d]) for d, (c, own) in enumerate(parts)], 1)
    torch.testing.assert_close(conditionals.log_prob(x), log_probs)
    torch.testing.assert_close(conditionals.log_prob_vjp(x)[0], log_probs)


def test_what_is_not_observed_counts_nothing(case):
    groups, x, params = case
    observed = torch.arange(x.numel(), device=x.device).view_as(x) % 3 > 0
    log_probs = Conditionals(groups, params, observed).log_prob(x.where(observed, torch.nan))
    assert (log_probs[~observed] == 0).all()
    torch.testing.assert_close(
        log_probs[observed], Conditionals(groups, params).log_prob(x)[observed]
    )


def test_a_variable_is_drawn_from_its_own_params(case, generator):
    groups, x, params = case
    rows = torch.tensor([5, 0, 3], device=x.device)
    for d, width in enumerate(groups.uniform_widths):
        uniforms = torch.rand(3, width, generator=generator, dtype=torch.float64).to(params)
        wanted = groups.conditional(d).sample(own_params(groups, params, d)[rows], uniforms)
        assert torch.equal(Conditionals(groups, params).sample(d, rows, uniforms), wanted)


def test_many_numbers_have_fewer_components():
    def kinds(count):
        numbers = [Variable(f"x{d}", Kind.REAL) for d in range(count)]
        return [*numbers, Variable("k", Kind.BINARY, 2), Variable("g", Kind.REAL, is_given=True)]

    assert usual_components(kinds(MANY_NUMBERS)) == 4
    assert usual_components(kinds(MANY_NUMBERS + 1)) == 2
    options = {"conditional": "auto", "encoding": "auto", "smooth_logits": False}
    groups = VariableGroups(kinds(200), num_components=None, **options)
    assert groups.param_widths[:1] + groups.param_widths[200:] == (6, 1, 0)
    groups = VariableGroups(kinds(200), num_components=3, **options)
    assert groups.param_widths[0] == 9
