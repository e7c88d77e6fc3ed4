"""Missing values: every example has an ordering of its own, its observed variables first."""

import pytest
import torch
from builders import MIXED, all_binary, make_schedules, tiny_made

from made_exp.datasets.base import Dataset
from made_exp.experiments.proofs import check_missing
from made_exp.kernels.dense import per_example_linear
from made_exp.masks.observed import observed_in
from made_exp.training.batches import Batches
from made_exp.training.step import NegativeLogLikelihood
from made_exp.variables.missing import all_values, left_out
from made_exp.variables.variable import Kind, Variable, binary_variables

KINDS = {
    "plain": {"hidden_sizes": (14,)},
    "deep, direct": {"hidden_sizes": (11, 9), "direct_connections": True},
    "conditioning weights": {"hidden_sizes": (11, 9), "conditioning_weights": True},
    "residual": {"hidden_sizes": (10, 10, 10), "residual": True},
    "classes": {"hidden_sizes": (14,), "num_classes": 3},
}


def agnostic(variables=None, num_orderings=3, **options):
    schedule = {"num_orderings": num_orderings, **options.pop("schedule", {})}
    return tiny_made(variables, ordering="agnostic", schedule_options=schedule, seed=1, **options)


def mixed_rows(count, generator, dtype):
    x = torch.stack(
        [
            torch.randn(count, generator=generator, dtype=dtype) * variable.transform.scale
            + variable.transform.shift
            if variable.num_values is None
            else torch.randint(variable.num_values, (count,), generator=generator).to(dtype)
            for variable in MIXED
        ],
        1,
    )
    observed = torch.rand(x.shape, generator=generator) < 0.6
    return torch.where(observed, x, torch.nan), observed


@pytest.mark.parametrize("which", ["inputs", "outputs", "both"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_layer_with_degrees_for_each_example_obeys_its_definition(which, has_bias, generator):
    weight = torch.randn(9, 10, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(9, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = bias if has_bias else None
    x = torch.randn(6, 10, generator=generator, dtype=torch.float64, requires_grad=True)
    variables = torch.stack([torch.randperm(5, generator=generator) for _ in range(6)])
    ins = variables.repeat_interleave(2, 1) if which != "outputs" else torch.randint(5, (10,))
    outs = torch.randint(5, (6, 9) if which != "inputs" else (9,), generator=generator)
    mask = outs.expand(6, 9)[:, :, None] >= ins.expand(6, 10)[:, None, :]
    expected = torch.where(mask, weight, 0) @ x[:, :, None]
    expected = expected[:, :, 0] + (0 if bias is None else bias)
    actual = per_example_linear(x, weight, bias, ins, outs)
    assert torch.allclose(actual, expected)
    upstream = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    for tensor in (x, weight, *(() if bias is None else (bias,))):
        gradients = [
            torch.autograd.grad(y, tensor, upstream, retain_graph=True)[0]
            for y in (actual, expected)
        ]
        assert torch.allclose(*gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_scored_together_as_they_are_alone(kind, device, dtype, generator):
    model = agnostic(MIXED, **KINDS[kind]).to(device, dtype)
    x, observed = mixed_rows(12, generator, dtype)
    x, observed = x.to(device), observed.to(device)
    context = torch.arange(12, device=device) % 3 if kind == "classes" else None
    for index in range(3):
        component = model.component(index)
        together = component.observed_first(observed).log_prob(x, context, observed)
        for row in range(12):
            alone = component.observed_first(observed[row]).log_prob(
                x[row : row + 1],
                None if context is None else context[row : row + 1],
                observed[row : row + 1],
            )
            assert torch.allclose(together[row], alone[0], atol=1e-4 if dtype.itemsize == 4 else 0)


@pytest.mark.parametrize("kind", ["plain", "deep, direct", "residual"])
def test_log_prob_of_a_part_is_the_sum_over_what_is_missing(kind, device, dtype):
    """Under the orderings that put the observed first, which define the model of such a part."""
    model = agnostic(**KINDS[kind]).to(device, dtype)
    x = torch.full((3, 8), torch.nan, dtype=dtype, device=device)
    x[0, [1, 4, 6]] = torch.tensor([1.0, 0.0, 1.0], dtype=dtype, device=device)
    x[1, [0, 1, 2, 3, 5, 6, 7]] = 1.0
    table = all_binary(8).to(device)
    for row, log_prob in zip(x, model.log_prob(x), strict=True):
        known = ~torch.isnan(row)
        fits = table[(table[:, known] == row[known]).all(1)]
        components = [model.component(index).observed_first(known) for index in range(3)]
        total = sum(component.log_prob(fits).exp().sum() for component in components) / 3
        assert log_prob.exp().item() == pytest.approx(total.item(), rel=1e-4)
    assert model.log_prob(x)[2].item() == pytest.approx(0, abs=1e-6)


def test_missing_variables_get_no_gradient_and_do_not_matter(dtype, generator):
    model = agnostic(MIXED, hidden_sizes=(14,)).to(dtype).requires_grad_(True)
    x, observed = mixed_rows(20, generator, dtype)
    component = model.component(1).observed_first(observed)
    filled = torch.where(observed, x, 1)
    losses = [-component.log_prob(values, None, observed).sum() for values in (x, filled)]
    assert torch.equal(*losses)
    (gradient,) = torch.autograd.grad(losses[0], model.members[0].output.weight)
    assert torch.isfinite(gradient).all()
    lonely = torch.tensor([[False, True, False, False, False, False]])
    component = model.component(1).observed_first(lonely)
    loss = component.log_prob(x[:1].nan_to_num(1.0), None, lonely).sum()
    (gradient,) = torch.autograd.grad(loss, model.members[0].output_bias)
    first, last = model.groups.param_starts[1], model.groups.param_starts[2]
    assert gradient[first:last].abs().sum() > 0
    gradient[first:last] = 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_the_loss_of_training_leaves_out_what_is_missing(dtype, generator):
    model = agnostic(MIXED, hidden_sizes=(14,)).to(dtype)
    x, observed = mixed_rows(20, generator, dtype)
    component = model.component(2)
    loss = NegativeLogLikelihood(model, has_missing=True)(x, component, None)
    expected = -component.observed_first(observed).log_prob(x, None, observed).mean()
    torch.testing.assert_close(loss, expected)


def test_whether_values_are_missing_is_decided_once_for_all_batches():
    numbers = torch.tensor([[1.0, 2.0], [3.0, torch.nan]])
    assert Batches(numbers, 1, seed=0, device=torch.device("cpu")).has_missing
    complete = Batches(numbers[:1], 1, seed=0, device=torch.device("cpu"))
    assert not complete.has_missing
    assert observed_in(torch.zeros(4, 2, dtype=torch.uint8)) is None
    assert observed_in(numbers).tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("ordering", ["natural", "connectivity"])
def test_fixed_orders_need_complete_data(ordering):
    options = {"ordering": "natural"}
    if ordering == "connectivity":
        options = {"ordering": "agnostic", "resample": "connectivity"}
    schedules = make_schedules(num_dims=3, hidden_sizes=(5,), **options)
    nan, whole = torch.nan, torch.tensor([[0.0, 1.0, 0.0]])

    def dataset(*row):
        return Dataset("t", binary_variables(3), whole, torch.tensor([[0.0, 0.0, 0.0], row]), whole)

    message = "'t' has missing values .first in column 'x1', row 1 of valid.: use ordering=agnostic"
    with pytest.raises(ValueError, match=message):
        check_missing(schedules, dataset(1.0, nan, 0.0))
    check_missing(schedules, dataset(1.0, 0.0, 0.0))
    # The last variables of the order may be missing: they are never looked at.
    check_missing(schedules, dataset(1.0, nan, nan))
    check_missing(make_schedules("agnostic", 3, (5,)), dataset(1.0, nan, 0.0))


def test_every_member_of_an_ensemble_needs_what_is_missing_last():
    schedules = make_schedules("ensemble", 3, (5,), num_orderings=4, natural=0.25)
    assert [one.ordering[-1] for one in schedules] == [2, 0, 2, 2]
    x = torch.tensor([[1.0, 0.0, torch.nan]])
    dataset = Dataset("t", binary_variables(3), x, x, x)
    with pytest.raises(ValueError, match="first in column 'x2', row 0 of train"):
        check_missing(schedules, dataset)
    check_missing(schedules[2:], dataset)


def test_the_last_variables_of_a_fixed_order_may_be_missing(device, dtype):
    model = tiny_made(ordering="reversed").to(device, dtype)
    x = torch.ones(1, 8, device=device, dtype=dtype)
    x[0, :3] = torch.nan
    table = all_binary(8).to(device)
    fits = table[(table[:, 3:] == 1).all(1)]
    expected = model.log_prob(fits).exp().sum()
    assert model.log_prob(x).exp().item() == pytest.approx(expected.item(), rel=1e-5)
    x[0, 5] = torch.nan
    with pytest.raises(ValueError, match="one fixed ordering"):
        model.log_prob(x)


@pytest.mark.parametrize("variables", [None, MIXED])
def test_many_patterns_are_completed_as_few_are(variables, device, dtype, generator):
    """Up to D patterns one after the other, more of them together: the same draws."""
    model = agnostic(variables, hidden_sizes=(12,)).to(device, dtype)
    num_dims = model.num_dims
    x = torch.randint(2, (60, num_dims), generator=generator).to(device, dtype)
    observed = (torch.rand(60, num_dims, generator=generator) < 0.5).to(device)
    assert len(torch.unique(observed, dim=0)) > num_dims

    def completed(count, batch_size=250):
        generator = torch.Generator().manual_seed(3)
        rows = torch.where(observed, x, torch.nan)[:count]
        return model.complete(rows, observed[:count], generator=generator, batch_size=batch_size)

    few, many = completed(num_dims), completed(60)
    assert torch.equal(many[observed], x[observed])
    assert torch.allclose(few, many[:num_dims], atol=1e-4)
    assert torch.allclose(completed(60, batch_size=7), many, atol=1e-4)
    one, all_at_once = (model.completion_log_prob(many[:n], observed[:n]) for n in (1, 60))
    assert torch.allclose(one, all_at_once[:1], atol=1e-4)


def test_a_missing_cell_is_left_out_or_one_more_value():
    variables = (Variable("a", Kind.BINARY, 2), Variable("b", Kind.INTEGER, 3, may_be_missing=True))
    x = torch.tensor([[torch.nan, torch.nan], [1.0, torch.nan], [5.0, 2.0]])
    assert left_out(x, variables).tolist() == [[True, False], [False, False], [False, False]]
    assert not left_out(x.nan_to_num().byte(), variables).any()
    assert all_values(variables[0]).tolist() == [0, 1]
    assert str(all_values(variables[1]).tolist()) == "[0.0, 1.0, 2.0, nan]"
