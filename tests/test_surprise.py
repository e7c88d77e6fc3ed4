"""Surprises of cells: they add up, and those given all others are ratios of sums of the density."""

import math
from dataclasses import replace

import pytest
import torch
from builders import MIXED, tiny_made
from test_missing import mixed_rows

from made_exp.density.surprise import serves_any_order, surprise, surprise_given_others
from made_exp.masks.observed import with_observed_first
from made_exp.variables.variable import Kind, Variable

DISCRETE = (
    Variable("a", Kind.BINARY, 2),
    Variable("b", Kind.CATEGORICAL, 3),
    Variable("c", Kind.INTEGER, 4),
    Variable("d", Kind.BINARY, 2, may_be_missing=True),
)
DEGREES = ("spread", "by_variable")


def agnostic(variables, dtype, num_orderings=3, hidden_degrees="by_variable", **options):
    schedule = {"num_orderings": num_orderings, "hidden_degrees": hidden_degrees}
    model = tiny_made(variables, ordering="agnostic", schedule_options=schedule, **options)
    return model.to(dtype)


def all_rows():
    values = [torch.arange(float(v.num_values)) for v in DISCRETE]
    values[3] = torch.tensor([0.0, 1.0, math.nan])
    return torch.cartesian_prod(*values).double()


def same(x, row, columns):
    return torch.stack([(x[:, d] == row[d]) | (x[:, d].isnan() & row[d].isnan()) for d in columns])


@pytest.mark.parametrize("ordering", ["random", "agnostic", "ensemble"])
def test_surprises_add_up_to_the_whole(ordering, dtype, generator):
    schedule = {} if ordering == "random" else {"num_orderings": 3}
    model = tiny_made(MIXED, ordering=ordering, schedule_options=schedule).to(dtype)
    x, observed = mixed_rows(40, generator, torch.float64)
    x = x if ordering == "agnostic" else x.nan_to_num(1.0)
    found = surprise(model, x, batch_size=16)
    assert found.dtype == torch.float64
    torch.testing.assert_close(-found.sum(1), model.log_prob(x).double(), rtol=1e-5, atol=1e-5)
    if ordering == "agnostic":
        assert (found[~observed] == 0).all()


@pytest.mark.parametrize("hidden_degrees", DEGREES)
def test_given_all_others_is_the_ratio_of_the_mixture_with_the_variable_last(
    hidden_degrees, generator
):
    """By brute force: each order is moved, and its whole table of probabilities made."""
    model = agnostic(DISCRETE, torch.float64, hidden_degrees=hidden_degrees)
    x = all_rows()
    found = surprise_given_others(model, x)
    for d in range(4):
        others = torch.ones(4, dtype=torch.bool)
        others[d] = False
        moved = [model.component(m).observed_first(others) for m in range(3)]
        codes = model.groups.encode(x)
        joint = torch.stack([one.log_prob(codes) for one in moved]).logsumexp(0).exp() / 3
        assert joint.sum().item() == pytest.approx(1)
        rest = [c for c in range(4) if c != d]
        sums = torch.stack([joint[same(x, row, rest).all(0)].sum() for row in x])
        torch.testing.assert_close(found[:, d], -(joint / sums).log())


@pytest.mark.parametrize("hidden_degrees", DEGREES)
def test_with_missing_cells_the_others_are_those_that_are_there(hidden_degrees, generator):
    """By brute force: b, which is missing, is last in each order and summed out."""
    model = agnostic(DISCRETE, torch.float64, hidden_degrees=hidden_degrees)
    whole = all_rows()
    patterns = torch.tensor([True, False, False, True]), torch.tensor([True, False, True, True])
    codes, joint = model.groups.encode(whole), torch.zeros(len(whole), dtype=torch.float64)
    for m in range(3):
        one = model.component(m)
        for pattern in reversed(patterns):  # a and d, then c, then b
            masks = with_observed_first(one.network.schedule, one.masks, pattern)
            one = replace(one, masks=masks)
        joint += one.log_prob(codes).exp() / 3
    lacking = whole.clone()
    lacking[:, 1] = math.nan
    mixed = torch.cat([lacking, whole])[torch.randperm(2 * len(whole), generator=generator)]
    found = surprise_given_others(model, mixed, batch_size=31)
    assert (found[mixed[:, 1].isnan(), 1] == 0).all()
    for row in lacking[::3]:
        both, rest = (joint[same(whole, row, c).all(0)].sum() for c in ((0, 2, 3), (0, 3)))
        here = same(mixed, row, (0, 1, 2, 3)).all(0)
        torch.testing.assert_close(found[here, 2], -(both / rest).log().expand(int(here.sum())))


def test_a_cell_that_is_no_value_is_infinitely_surprising_and_missing_for_the_others():
    model = agnostic(DISCRETE, torch.float64)
    x = torch.tensor([[0.0, 7.0, 2.0, 1.0], [0.0, math.nan, 2.0, 1.0]], dtype=torch.float64)
    found = surprise_given_others(model, x)
    assert found[0, 1] == math.inf
    torch.testing.assert_close(found[0, [0, 2, 3]], found[1, [0, 2, 3]])
    assert surprise(model, x)[0, 1] == math.inf


@pytest.mark.parametrize("column", [0, 1, 3])
def test_the_others_of_a_cell_that_is_no_value_add_up_to_what_they_are_without_it(column):
    """By brute force: the cell is last in each order and summed out; d is not taken for missing."""
    model = agnostic(DISCRETE, torch.float64)
    x = all_rows()
    others = torch.arange(4) != column
    moved = [model.component(m).observed_first(others) for m in range(3)]
    joint = torch.stack([one.log_prob(model.groups.encode(x)) for one in moved]).logsumexp(0).exp()
    rest = [d for d in range(4) if d != column]
    sums = torch.stack([joint[same(x, row, rest).all(0)].sum() for row in x]) / 3
    x[:, column] = 7
    found = surprise(model, torch.cat([x, all_rows()]))
    assert (found[: len(x), column] == math.inf).all()
    torch.testing.assert_close(found[: len(x), rest].sum(1), -sums.log())
    assert torch.isfinite(found[len(x) :]).all()


def test_in_a_fixed_order_nothing_is_known_after_a_cell_that_is_no_value():
    model = tiny_made(DISCRETE, ordering="natural").double()
    x = all_rows()
    before = surprise(model, x)
    x[:, 2] = 9
    found = surprise(model, x)
    torch.testing.assert_close(found[:, :2], before[:, :2])
    assert (found[:, 2] == math.inf).all()
    assert (found[:, 3] == 0).all()


def test_real_values_have_the_density_of_the_data(dtype, generator):
    model = agnostic(MIXED, torch.float64, num_orderings=2)
    x, _ = mixed_rows(3, generator, torch.float64)
    x = x.nan_to_num(1.0)
    grid = torch.linspace(-60, 60, 24_001, dtype=torch.float64)
    rows = x[:1].repeat(len(grid), 1)
    rows[:, 2] = grid
    density = surprise_given_others(model, rows)[:, 2].neg().exp()
    assert torch.trapezoid(density, grid).item() == pytest.approx(1, abs=1e-3)


def test_fixed_orders_have_no_conditional_given_all_others():
    model = tiny_made(DISCRETE)
    assert not serves_any_order(model)
    with pytest.raises(ValueError, match="ordering=agnostic"):
        surprise_given_others(model, all_rows())
