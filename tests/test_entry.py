"""The door between data space and codes: round trips, densities of the data, impossible values."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import MIXED, tiny_made

from made_exp.density.density import Density
from made_exp.density.surprise import surprise
from made_exp.model.entry import as_examples, enter, scored
from made_exp.variables.conditionals.number_mixture import NumberMixture
from made_exp.variables.group import make_group
from made_exp.variables.groups import VariableGroups
from made_exp.variables.numbers import ATOM, Numbers
from made_exp.variables.open_range import BEYOND
from made_exp.variables.outputs import Conditionals
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable, binary_variables

BENT = Transform(centre=2.0, bend=3.0, shift=-0.5, scale=1.5)
ODD = (
    Variable("flag", Kind.BINARY, 2, may_be_missing=True),
    Variable("pay", Kind.REAL, transform=BENT, atoms=(0.0, 40.0), resolution=0.01, knots=(-1, 1)),
    Variable("age", Kind.INTEGER, 90, atoms=(17.0,), may_be_missing=True),
    Variable("town", Kind.CATEGORICAL, 6, pooled=(0.5, 0.3, 0.2), reserve=0.01),
    Variable("rain", Kind.REAL, transform=Transform(shift=1e9), may_be_missing=True),
    Variable("rank", Kind.ORDINAL, 5, may_be_missing=True),
    Variable("cash", Kind.REAL, transform=Transform(scale=7.0), atoms=(1.0, 2.0), resolution=0.5),
    Variable("wide", Kind.INTEGER, 10**12, transform=Transform(bend=50.0, scale=3.0)),
)


def odd_rows(count, generator):
    """Possible rows (count, D) float64 of ODD, with atoms and missing values."""
    columns = []
    for variable in ODD:
        if variable.is_real:
            z = torch.randn(count, generator=generator, dtype=torch.float64)
            column = variable.transform.inverse(z)
        else:
            share = torch.rand(count, generator=generator, dtype=torch.float64)
            column = (share * variable.num_values).floor()
        for k, atom in enumerate(variable.atoms):
            column[k::7] = atom
        if variable.may_be_missing:
            column[3::5] = torch.nan
        columns.append(column)
    return torch.stack(columns, 1)


def groups_of(variables, **options):
    options = {"conditional": "auto", "num_components": 3, "encoding": "auto", **options}
    return VariableGroups(variables, smooth_logits=False, **options)


@pytest.mark.parametrize("encoding", ["auto", "one_hot"])
def test_values_come_back_from_their_codes(encoding, generator, device, dtype):
    variables = ODD[:-1] if encoding == "one_hot" else ODD
    groups = groups_of(variables, encoding=encoding).to(device, dtype)
    x = odd_rows(70, generator)[:, : len(variables)].to(device)
    codes = groups.encode(x)
    assert groups.possible(x).all()
    assert not codes.isnan().any()
    assert codes.dtype == (torch.float64 if encoding == "auto" else dtype)
    back = groups.decode(codes)
    assert back.dtype == torch.float64
    if dtype == torch.float32:
        assert torch.allclose(back, x, rtol=1e-5, atol=1e-4, equal_nan=True)
        return
    torch.testing.assert_close(back, x, equal_nan=True)
    exact = [d for d, variable in enumerate(variables) if not variable.is_real]
    assert torch.equal(back[:, exact].nan_to_num(-1), x[:, exact].nan_to_num(-1))


def test_codes_of_tables_without_numbers_are_the_values():
    groups = groups_of((Variable("a", Kind.BINARY, 2), Variable("b", Kind.CATEGORICAL, 3)))
    x = torch.tensor([[1, 2], [0, 1]], dtype=torch.uint8)
    assert groups.is_trivial
    assert groups.encode(x) is x
    assert groups.decode(x) is x
    assert (groups.log_slopes(x) == 0).all()


def test_tables_of_a_group_are_those_of_each_variable(generator):
    variables = [
        Variable("a", Kind.REAL, transform=BENT, atoms=(0.0, 1.0), resolution=0.5, knots=(0, 1)),
        Variable("b", Kind.REAL, transform=Transform(shift=3), atoms=(-1.0, 4.0), knots=(1, 2)),
    ]
    together = Numbers(variables)
    x = torch.randn(30, 2, generator=generator, dtype=torch.float64) * 5
    x[::3, 0], x[::4, 1] = 1.0, 4.0
    codes = together.encode(x)
    for d, variable in enumerate(variables):
        alone = together.of(d)
        assert torch.equal(alone.encode(x[:, d]), codes[:, d])
        for name in ("z", "is_special"):
            found = getattr(alone, name)(codes[:, d])
            assert torch.equal(found, getattr(together, name)(codes)[:, d])
        transform = variable.numeric_transform
        torch.testing.assert_close(together.forward(x)[:, d], transform.forward(x[:, d]))
        torch.testing.assert_close(together.log_slopes(x)[:, d], transform.log_slope(x[:, d]))
        torch.testing.assert_close(together.inverse(x)[:, d], transform.inverse(x[:, d]))


def test_tables_stay_exact_when_the_model_is_cast():
    numbers = Numbers([Variable("a", Kind.REAL, transform=Transform(shift=1e9 + 0.5))])
    numbers.to(torch.float32)
    x = torch.tensor([[1e9 + 0.5]], dtype=torch.float64)
    assert numbers.encode(x).item() == 0
    assert numbers.decode(numbers.encode(x)).item() == 1e9 + 0.5


def test_variables_that_differ_in_place_share_a_group():
    real = [
        Variable(f"r{d}", Kind.REAL, transform=Transform(shift=d), atoms=(float(d),))
        for d in range(4)
    ]
    whole = [Variable(f"n{d}", Kind.INTEGER, 100 + d) for d in range(3)]
    other = [Variable("o", Kind.REAL), Variable("w", Kind.INTEGER, 10**9)]
    groups = groups_of((*real, *whole, *other))
    assert len({id(groups._place[d][0]) for d in range(9)}) == 4
    group = make_group(groups.conditional(0), "auto", groups.variables, [0, 1])
    assert isinstance(group.conditional, NumberMixture)
    assert groups_of(whole).only is not None


@pytest.mark.parametrize("grows_from", [None, 1.0])
def test_density_of_the_data_integrates_to_one(grows_from, device):
    """Over a fine grid and the atoms and echoes, each with its cell."""
    echoes = {"echoes": (5.0, 90.0), "echo_counts": (3, 1)}
    variable = replace(ODD[1], grows_from=grows_from, **echoes)
    wide = 0.01 if grows_from is None else 0.1
    cells = {0.0: 0.01, 5.0: 0.01, 40.0: wide, 90.0: wide}
    model = tiny_made((variable,)).to(device, torch.float64)
    grid = model.groups.variables[0].transform.inverse(torch.linspace(-30, 30, 200001))
    total = torch.trapezoid(model.log_prob(grid[:, None]).exp(), grid.to(device)).item()
    for atom, cell in cells.items():
        near = torch.tensor([[atom], [atom + 2e-4]], dtype=torch.float64)
        both, smooth = model.log_prob(near).exp().tolist()
        total += (both - smooth) * cell
    assert total == pytest.approx(1, abs=1e-3)


def test_probabilities_of_odd_discrete_rows_sum_to_one(device):
    variables = (
        Variable("flag", Kind.BINARY, 2, may_be_missing=True),
        Variable("age", Kind.INTEGER, 12, atoms=(0.0, 7.0), may_be_missing=True, transform=BENT),
        Variable("town", Kind.CATEGORICAL, 5, pooled=(0.6, 0.4), reserve=0.05),
        Variable("rank", Kind.ORDINAL, 3, may_be_missing=True),
    )
    model = tiny_made(variables).to(device, torch.float64)
    values = [
        torch.tensor([*range(v.num_values), *[math.nan] * v.may_be_missing]).double()
        for v in variables
    ]
    x = torch.cartesian_prod(*values).to(device)
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-10)
    drawn = model.sample(40000, generator=torch.Generator().manual_seed(0)).nan_to_num(-1)
    for d in range(4):
        column = x[:, d].nan_to_num(-1)
        for value in column.unique().tolist():
            probability = model.log_prob(x)[column == value].exp().sum().item()
            share = (drawn[:, d] == value).double().mean().item()
            error = math.sqrt(probability * (1 - probability) / len(drawn))
            assert abs(share - probability) < 5 * error + 1e-9


def test_whole_numbers_beyond_an_open_range_have_what_an_end_leaves_them(device):
    """All of them together have one; farther is less likely, and no network sees how far."""
    variables = (
        Variable("age", Kind.INTEGER, 12, atoms=(0.0, 7.0), is_open=True, may_be_missing=True),
        Variable("flag", Kind.BINARY, 2),
    )
    model = tiny_made(variables).to(device, torch.float64)
    far = 2000
    ages = torch.tensor([*range(-far, 12 + far), math.nan], dtype=torch.float64)
    x = torch.cartesian_prod(ages, torch.tensor([0.0, 1.0]).double()).to(device)
    log_probs = model.log_prob(x)
    assert log_probs.exp().sum().item() == pytest.approx(1, abs=2 * BEYOND / far)
    assert (log_probs[: 2 * far].view(-1, 2).diff(dim=0) > 0).all()
    assert (log_probs[2 * (far + 12) : -2].view(-1, 2).diff(dim=0) < 0).all()
    surprises = surprise(model, x)
    torch.testing.assert_close(-surprises.sum(1), log_probs)
    assert surprises[0, 1] == surprises[2 * far, 1]
    odd = torch.tensor([[0.5, 0.0], [math.inf, 0.0]], device=device)
    assert not model.groups.possible(odd).all(1).any()


def test_log_prob_is_that_of_the_codes_and_the_slopes(generator, device, dtype):
    model = tiny_made(ODD).to(device, dtype)
    x = odd_rows(40, generator).to(device)
    entered = enter(model.groups, x)
    log_probs = model.component(0).log_prob(entered.codes)
    assert entered.observed is None
    assert entered.impossible is None
    expected = (log_probs + model.groups.log_slopes(x)).to(dtype)
    torch.testing.assert_close(model.log_prob(x), expected)
    assert model.log_prob(x).isfinite().all()


def test_shift_of_the_data_does_not_change_their_density(generator):
    z = torch.randn(100, 1, generator=generator, dtype=torch.float64)
    found = []
    for shift in (0.0, 1e9):
        variable = Variable("x", Kind.REAL, transform=Transform(shift=shift))
        found.append(tiny_made((variable,)).log_prob(z + shift))
    assert torch.allclose(*found, atol=1e-4)


@pytest.mark.parametrize("value", [1e22, -1e22, 1e200])
def test_far_values_of_real_variables_are_legal(value):
    for transform in (Transform(), BENT):
        model = tiny_made((Variable("x", Kind.REAL, transform=transform),))
        assert model.log_prob(torch.tensor([[value]], dtype=torch.float64)).isfinite().all()


IMPOSSIBLE = [
    (0, 2.0),
    (0, 0.5),
    (0, -1.0),
    (0, math.inf),
    (1, 3.0),
    (1, 0.5),
    (2, math.inf),
    (3, 99.0),
    (3, -1.0),
    (3, 5.5),
    (4, 1.5),
]


@pytest.mark.parametrize(("column", "value"), IMPOSSIBLE)
def test_impossible_values_have_probability_zero(column, value, device, dtype):
    model = tiny_made(MIXED).to(device, dtype)
    x = torch.tensor([[1.0, 2.0, 0.5, 7.0, 3.0, 0.0]]).repeat(2, 1)
    x[1, column] = value
    log_probs = model.log_prob(x)
    assert log_probs[0].isfinite()
    assert log_probs[1] == -torch.inf
    name, observed = MIXED[column].name, torch.ones(6, dtype=torch.bool)
    with pytest.raises(ValueError, match=rf"x\[1, {column}\] is .*, which is no value of '{name}'"):
        model.complete(x, observed)


def test_small_integers_do_not_wrap_around():
    model = tiny_made((Variable("x", Kind.CATEGORICAL, 300),))
    assert model.log_prob(torch.tensor([[255]], dtype=torch.uint8)).isfinite().all()


@pytest.mark.parametrize("shape", [(3,), (3, 5), (2, 3, 6)])
def test_a_wrong_width_is_refused(shape):
    with pytest.raises(ValueError, match=r"x must have shape \(B, 6\), got "):
        tiny_made(MIXED).log_prob(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_arrays_are_taken(dtype):
    x = np.array([[1, 0, 1, 1, 0, 0]], dtype=dtype)
    model = tiny_made(MIXED)
    assert torch.equal(model.log_prob(x), model.log_prob(torch.from_numpy(x.astype(np.int64))))
    with pytest.raises(ValueError, match="x must hold numbers"):
        as_examples(np.array([["a"] * 6]), 6, torch.device("cpu"))


def test_masked_cells_of_arrays_are_missing(generator):
    model = tiny_made(ODD, ordering="agnostic", schedule_options={"num_orderings": 3})
    x = odd_rows(7, generator).nan_to_num(1.0).numpy()
    masked = np.ma.masked_array(x, mask=np.arange(x.size).reshape(x.shape) % 5 == 0)
    wanted = model.log_prob(np.where(masked.mask, np.nan, x))
    assert torch.equal(model.log_prob(masked), wanted)
    assert np.array_equal(Density(model).log_prob(masked), wanted.double().numpy())
    whole = np.ma.masked_array(np.ones((2, 3), np.uint8))
    assert as_examples(whole, 3, torch.device("cpu")).dtype == torch.uint8
    whole[0, 1] = np.ma.masked
    assert as_examples(whole, 3, torch.device("cpu"))[0].isnan().tolist() == [False, True, False]


def test_gradients_are_kept_on_demand_alone():
    model = tiny_made(MIXED).requires_grad_(True)
    x = torch.zeros(3, 6)
    assert not model.log_prob(x).requires_grad
    assert not model.ordering_log_prob(x, 0).requires_grad
    model.log_prob(x, grad=True).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_many_rows_are_scored_part_by_part(generator, device):
    sizes, groups = [], groups_of(binary_variables(2)).to(device)

    def score(codes, context, observed):
        sizes.append(len(codes))
        return codes[:, 0] + context

    x, context = torch.ones(10, 2, device=device), torch.arange(10, device=device)
    found = scored(groups, x, context, score, device, 4)
    assert torch.equal(found, 1.0 + context)
    assert sizes == [4, 4, 2]
    with pytest.raises(ValueError, match=r"context must have shape \(10,\), got \(9,\)"):
        scored(groups, x, context[:9], score, device, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_given_values_come_back_exactly(dtype, generator):
    model = tiny_made(ODD, ordering="agnostic", schedule_options={"num_orderings": 3})
    x = odd_rows(60, generator)
    x[:, 1], x[:, 4], x[:, 7] = 1234567.89, 1e9 + 0.123, 999_999_999_999.0
    x = x.to(dtype) if dtype == torch.float64 else x[:, :7].to(dtype)
    if dtype == torch.float32:
        model = tiny_made(ODD[:7], ordering="agnostic", schedule_options={"num_orderings": 3})
    observed = torch.rand(x.shape, generator=generator) < 0.5
    drawn = model.complete(x, observed, generator=generator)
    assert drawn.dtype == torch.float64
    assert torch.equal(drawn[observed].nan_to_num(-1), x.double()[observed].nan_to_num(-1))
    assert model.groups.possible(drawn).all()
    assert model.completion_log_prob(drawn, observed).isfinite().all()


def test_completion_is_scored_as_a_quotient(generator):
    """p(x_u | x_o) = p(x) / p(x_o), densities of the data."""
    variables = tuple(v for v in ODD if not v.may_be_missing)
    model = tiny_made(variables, ordering="agnostic", schedule_options={"num_orderings": 2})
    model = model.double()
    x = odd_rows(20, generator)[:, [d for d, v in enumerate(ODD) if not v.may_be_missing]]
    observed = torch.tensor([True, False, True, False])
    components = [model.component(index).observed_first(observed) for index in range(2)]
    codes = model.groups.encode(x)
    whole = torch.stack([one.log_prob(codes) for one in components]).logsumexp(0) - math.log(2)
    whole += model.groups.log_slopes(x)
    part = model.log_prob(x.where(observed, torch.nan))
    torch.testing.assert_close(model.completion_log_prob(x, observed), whole - part)


def test_wide_whole_numbers_are_told_apart():
    """Masses of neighbours far out, where float32 knows one number in 65536."""
    variable = Variable("n", Kind.INTEGER, 10**12)
    groups = groups_of((variable,))
    params = groups.initial_params(torch.tensor([[3e11], [3e11 + 1], [5e11]]).double()).float()
    values = 3e11 + torch.arange(1000, dtype=torch.float64)[:, None]
    log_probs = Conditionals(groups, params.expand(1000, -1)).log_prob(groups.encode(values))
    assert log_probs.isfinite().all()
    # The mass of all values is that of a few cuts: F(b) - F(a) over a billion of them.
    conditional = groups.conditional(0)
    assert conditional.is_wide
    ends = groups.encode(torch.tensor([[0.0], [1e12 - 1]], dtype=torch.float64))
    tails = conditional.log_prob(params.double(), ends[:, 0]).exp()
    edges = torch.linspace(1, 1e12 - 2, 200001, dtype=torch.float64).floor()
    masses = conditional.log_prob(params.double(), edges).exp()
    total = torch.trapezoid(masses, edges) + tails.sum()
    assert total.item() == pytest.approx(1, abs=1e-4)


def test_atoms_start_at_their_frequencies(generator):
    variable = Variable("x", Kind.REAL, atoms=(0.0, 5.0), may_be_missing=True)
    x = torch.randn(1000, 1, generator=generator, dtype=torch.float64)
    x[:500], x[500:700], x[700:800] = 0.0, 5.0, torch.nan
    groups = groups_of((variable,))
    params = groups.initial_params(groups.encode(x))
    weights = params[:6].softmax(0)
    expected = torch.tensor([0.2, 0.5, 0.2, 0.1], dtype=torch.float64)
    found = torch.cat([weights[:3].sum()[None], weights[3:]])
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
    assert groups.encode(torch.tensor([[5.0]], dtype=torch.float64)).item() == ATOM - 1
