import math

import pytest
import torch

from made_exp.variables.conditionals.base import DiscreteConditional, conditional_for
from made_exp.variables.conditionals.bernoulli import Bernoulli
from made_exp.variables.conditionals.categorical import Categorical
from made_exp.variables.conditionals.gaussian_mixture import GaussianMixture
from made_exp.variables.conditionals.logistic_mixture import DiscretizedLogisticMixture
from made_exp.variables.encodings import cosine_basis
from made_exp.variables.numbers import ATOM
from made_exp.variables.transform import Transform
from made_exp.variables.variable import ALLOWED_CONDITIONALS, Kind, Variable

TABLES = [
    Bernoulli(),
    Categorical(2),
    Categorical(7),
    Categorical(7, smooth=True),
    Categorical(100, smooth=True),
    Categorical(256),
    Categorical(300),
]
BENT = Transform(centre=3.0, bend=2.0, shift=0.5, scale=1.5)
POOL = (0.5, 0.3, 0.2)


def whole(num_values, num_components, **options):
    variable = Variable("count", Kind.INTEGER, num_values, **options)
    return conditional_for("logistic_mixture", variable, num_components)


def real(num_components, **options):
    return conditional_for("auto", Variable("x", Kind.REAL, **options), num_components)


MISSING = [
    Categorical(3, may_be_missing=True),
    Categorical(8, smooth=True, may_be_missing=True),
    Categorical(8, pooled=POOL, reserve=0.01),
    Categorical(8, may_be_missing=True, pooled=POOL),
]
WHOLE = [
    whole(2, 1),
    whole(9, 3),
    whole(256, 4),
    whole(300, 2),
    whole(9, 2, atoms=(0.0, 4.0)),
    whole(30, 2, atoms=(7.0,), may_be_missing=True, transform=BENT),
    whole(200, 2, transform=Transform(bend=0.3)),
    whole(30, 2, echoes=(3.0, 7.0, 29.0), echo_counts=(2, 5, 1)),
    whole(30, 2, atoms=(7.0,), may_be_missing=True, echoes=(0.0, 9.0), echo_counts=(4, 1)),
]
DISCRETE = TABLES + MISSING + WHOLE
REAL = [
    GaussianMixture(1),
    real(4, transform=Transform(shift=-3.0, scale=0.2)),
    real(2, atoms=(-1.0, 0.0, 2.5), resolution=0.5, transform=BENT),
    real(1, atoms=(40.0,), may_be_missing=True),
    real(3, may_be_missing=True),
    real(2, echoes=(-1.0, 0.5), echo_counts=(3, 1), transform=BENT, resolution=0.1),
    real(2, atoms=(2.0,), may_be_missing=True, echoes=(0.5, 1.0), echo_counts=(3, 1)),
]
EVERY = pytest.mark.parametrize("conditional", DISCRETE + REAL, ids=repr)
EVERY_DISCRETE = pytest.mark.parametrize("conditional", DISCRETE, ids=repr)
EVERY_REAL = pytest.mark.parametrize("conditional", REAL, ids=repr)
EXTREMES = [0.0, 1.0, -1.0, 20.0, -20.0, 1e8, -1e8, 1e30, -1e30]


def place(conditional, device):
    """Move what a conditional of numbers reads, as a model does."""
    if hasattr(conditional, "numbers"):
        conditional.numbers.to(device)


def random_params(conditional, *shape, generator, device, dtype, size=1.5):
    place(conditional, device)
    params = torch.randn(*shape, conditional.num_params, generator=generator, dtype=torch.float64)
    return (size * params).to(device, dtype)


def some_values(conditional, *shape, generator, device, dtype):
    place(conditional, device)
    if isinstance(conditional, GaussianMixture):
        codes = torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)
        special = ATOM - torch.arange(conditional.num_special, dtype=dtype, device=device)
        if len(special):
            codes.view(-1)[: len(special)] = special[: codes.numel()]
        return codes
    codes = all_codes(conditional).to(device)
    return codes[torch.randint(len(codes), shape, generator=generator).to(device)]


def all_codes(conditional):
    """Codes of all values, in their order."""
    if not isinstance(conditional, DiscretizedLogisticMixture):
        return torch.arange(conditional.num_values)
    numbers = conditional.numbers
    values = torch.arange(int(numbers.num_values), dtype=torch.float64)
    codes = torch.cat([values, values.new_full((int(numbers.may_be_missing),), torch.nan)])
    return encoded(conditional, codes)


def encoded(conditional, values):
    """Codes of the values (N,) of a conditional of one variable."""
    return conditional.numbers.encode(values.to(next(conditional.numbers.buffers()).device))


def all_probs(conditional, params):
    codes = all_codes(conditional).to(params.device)
    return conditional.log_prob(params[..., None, :], codes).exp()


def as_index(conditional, drawn):
    """Where drawn codes stand among `all_codes`."""
    if isinstance(conditional, DiscretizedLogisticMixture):
        drawn = conditional.numbers.levels(drawn)
    return drawn.long()


def even_uniforms(conditional, num_draws, device, dtype):
    """Midpoints of cells of equal volume in the unit interval, or square."""
    points = (torch.arange(num_draws, dtype=dtype, device=device) + 0.5) / num_draws
    if conditional.num_uniforms == 1:
        return points[:, None]
    return torch.cartesian_prod(points, points)


@EVERY_DISCRETE
def test_probabilities_sum_to_one(conditional, generator, device, dtype):
    params = random_params(conditional, 3, 5, generator=generator, device=device, dtype=dtype)
    probs = all_probs(conditional, params)
    assert probs.shape == (3, 5, len(all_codes(conditional)))
    atol = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(probs.sum(-1), torch.ones_like(probs[..., 0]), rtol=0, atol=atol)


@EVERY_REAL
def test_density_integrates_to_one(conditional, generator, device, dtype):
    params = random_params(
        conditional, 5, generator=generator, device=device, dtype=dtype, size=0.7
    )
    grid = torch.linspace(-60, 60, 240001, dtype=dtype)
    density = conditional.log_prob(params[:, None], grid.to(device)).exp()
    total = torch.trapezoid(density, grid.to(device))
    numbers = conditional.numbers.to(device)
    for k in range(conditional.num_special):
        code = params.new_full((5,), ATOM - k)
        at_atom = conditional.log_prob(params, code).exp()
        if k < conditional.num_atoms:
            # Beside the smooth density there, a unit mass over its cell.
            beside = params.new_tensor(float(numbers.special_z[k])).expand(5)
            at_atom = at_atom - conditional.log_prob(params, beside).exp()
        total = total + at_atom / numbers.special_logs[k].exp().to(dtype)
    for value in [] if numbers.echoes is None else numbers.echoes.levels:
        code = numbers.encode(value[None])[0]
        assert float(code) <= ATOM - numbers.num_special
        at_echo, beside = (
            conditional.log_prob(params, at.to(dtype).expand(5)).exp()
            for at in (code, numbers.forward(value))
        )
        unit = (numbers.log_slopes(value) + numbers._resolution.log()).exp()
        total = total + (at_echo - beside) * unit.to(dtype)
    atol = 1e-9 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=atol)


@EVERY_DISCRETE
def test_probabilities_agree_with_log_prob(conditional, generator, device, dtype):
    params = random_params(conditional, 4, generator=generator, device=device, dtype=dtype)
    codes = all_codes(conditional).to(device)
    for value in {0, 1, min(len(codes), 256) - 1}:
        x = codes[value].expand(4) if codes[value] < 0 else codes.to(torch.uint8)[value].expand(4)
        expected = all_probs(conditional, params)[:, value].log()
        torch.testing.assert_close(conditional.log_prob(params, x), expected)
    if isinstance(conditional, DiscreteConditional):
        torch.testing.assert_close(conditional.probs(params), all_probs(conditional, params))


@EVERY_DISCRETE
def test_draws_have_the_probabilities_of_log_prob(conditional, generator, device, dtype):
    num_draws = 20000 if conditional.num_uniforms == 1 else 400
    uniforms = even_uniforms(conditional, num_draws, device, dtype)
    for size in (0.5, 3.0):
        params = random_params(
            conditional, generator=generator, device=device, dtype=dtype, size=size
        )
        drawn = conditional.sample(params.expand(len(uniforms), -1), uniforms)
        assert drawn.dtype == dtype
        probs = all_probs(conditional, params)
        counts = torch.bincount(as_index(conditional, drawn), minlength=len(probs))
        frequencies = counts.to(dtype) / len(uniforms)
        # Each boundary between two values, in each component, is off by half a cell at most.
        assert (frequencies - probs).abs().max() <= 5 / num_draws


@EVERY_REAL
def test_real_draws_have_the_density_of_log_prob(conditional, generator, device, dtype):
    params = random_params(conditional, generator=generator, device=device, dtype=dtype, size=1)
    uniforms = even_uniforms(conditional, 300, device, dtype)
    drawn = conditional.sample(params.expand(len(uniforms), -1), uniforms)
    grid = torch.linspace(-60, 60, 60001, dtype=dtype).to(device)
    density = conditional.log_prob(params, grid).exp()
    cumulative = torch.cumulative_trapezoid(density, grid)
    smooth = drawn[drawn > ATOM]
    empirical = torch.searchsorted(smooth.sort().values, grid[1:]).to(dtype) / len(drawn)
    assert (empirical - cumulative).abs().max() <= 5 / 300
    weights = params[: -2 * conditional.num_components].softmax(-1)
    for k in range(conditional.num_special):
        share = (drawn == ATOM - k).to(dtype).mean()
        assert abs(share - weights[conditional.num_components + k]) <= 1.01 / 300


@EVERY
def test_leading_dimensions_are_independent(conditional, generator, device, dtype):
    params = random_params(conditional, 3, 4, generator=generator, device=device, dtype=dtype)
    x = some_values(conditional, 3, 4, generator=generator, device=device, dtype=dtype)
    uniforms = torch.rand(3, 4, conditional.num_uniforms, generator=generator).to(device, dtype)
    log_prob, drawn = conditional.log_prob(params, x), conditional.sample(params, uniforms)
    assert log_prob.shape == drawn.shape == (3, 4)
    torch.testing.assert_close(conditional.log_prob(params[1, 2], x[1, 2]), log_prob[1, 2])
    torch.testing.assert_close(conditional.sample(params[1, 2], uniforms[1, 2]), drawn[1, 2])
    # The incremental sampler stores everything the other way round.
    turned = [t.movedim(-1, 0).contiguous().movedim(0, -1) for t in (params, uniforms)]
    torch.testing.assert_close(conditional.sample(*turned), drawn)
    torch.testing.assert_close(conditional.log_prob(turned[0], x), log_prob)


@EVERY
def test_gradients_by_params(conditional, generator, device):
    kwargs = {"generator": generator, "device": device, "dtype": torch.float64}
    params = random_params(conditional, 3, **kwargs).requires_grad_()
    x = some_values(conditional, 3, **kwargs)
    assert torch.autograd.gradcheck(lambda p: conditional.log_prob(p, x), params)


@EVERY
def test_written_out_gradients_are_those_of_autograd(conditional, generator, device):
    kwargs = {"generator": generator, "device": device, "dtype": torch.float64}
    params = random_params(conditional, 20, 3, **kwargs, size=3.0)
    params.view(-1)[::17] = 2e6
    params = params.flatten(1).requires_grad_()
    x = some_values(conditional, 20, 3, **kwargs)
    upstream = torch.randn(20, 3, generator=generator, dtype=torch.float64).to(device)
    expected = conditional.log_probs(params, x)
    found, pullback = conditional.log_probs_vjp(params.detach(), x)
    torch.testing.assert_close(found, expected.detach())
    (gradient,) = torch.autograd.grad(expected, params, upstream)
    torch.testing.assert_close(pullback(upstream), gradient)


@EVERY
def test_extreme_parameters_give_finite_numbers(conditional, generator, device, dtype):
    extremes = torch.tensor(EXTREMES, dtype=dtype, device=device)
    index = torch.randint(len(EXTREMES), (300, conditional.num_params), generator=generator)
    params = extremes[index.to(device)].requires_grad_()
    x = some_values(conditional, 300, generator=generator, device=device, dtype=dtype)
    if conditional in REAL:
        x[::3] = 1e6
    log_prob = conditional.log_prob(params, x)
    assert log_prob.isfinite().all()
    log_prob.sum().backward()
    assert params.grad.isfinite().all()
    params = params.detach()
    eps = torch.finfo(dtype).eps
    for uniform in (0.0, 0.5, 1 - eps):
        uniforms = params.new_full((300, conditional.num_uniforms), uniform)
        drawn = conditional.sample(params, uniforms)
        assert drawn.isfinite().all()
        if conditional not in REAL:
            index = as_index(conditional, drawn)
            assert (index >= 0).all()
            assert (index < len(all_codes(conditional))).all()


@pytest.mark.parametrize("conditional", TABLES, ids=repr)
def test_low_temperature_draws_the_mode(conditional, generator, device, dtype):
    params = random_params(conditional, 50, generator=generator, device=device, dtype=dtype)
    uniforms = torch.rand(50, 1, generator=generator).to(device, dtype)
    drawn = conditional.sample(params, uniforms, temperature=1e-6)
    assert drawn.long().equal(conditional.probs(params).argmax(-1))


@EVERY
def test_lower_temperature_draws_closer_together(conditional, generator, device, dtype):
    params = random_params(conditional, generator=generator, device=device, dtype=dtype, size=0.5)
    uniforms = even_uniforms(conditional, 200, device, dtype)
    params = params.expand(len(uniforms), -1)
    drawn = [conditional.sample(params, uniforms, t) for t in (1.0, 0.05)]
    if conditional in WHOLE + REAL:
        drawn = [conditional.numbers.z(one) for one in drawn]
    spreads = [one.std().item() for one in drawn]
    assert spreads[1] < spreads[0]


@pytest.mark.parametrize(
    "conditional", [Bernoulli(), Categorical(2), Categorical(7), Categorical(7, smooth=True)]
)
def test_initial_params_are_the_marginal(conditional, generator, device, dtype):
    weights = torch.rand(conditional.num_values, generator=generator) + 0.2
    x = torch.multinomial(weights, 50000, replacement=True, generator=generator).to(device)
    frequencies = torch.bincount(x, minlength=conditional.num_values).to(dtype) / len(x)
    params = conditional.initial_params(x.to(dtype))
    assert params.shape == (conditional.num_params,)
    assert params.dtype == dtype
    torch.testing.assert_close(conditional.probs(params), frequencies, rtol=0, atol=2e-3)
    assert conditional.initial_params(x.to(torch.uint8)).dtype == torch.get_default_dtype()


def test_smooth_initial_params_follow_the_shape_of_many_values(generator, device, dtype):
    draws = (50 + 15 * torch.randn(20000, generator=generator)).round().clamp(0, 199)
    conditional = Categorical(200, smooth=True)
    probs = conditional.probs(conditional.initial_params(draws.to(device, dtype)))
    truth = torch.exp(-0.5 * ((torch.arange(200) - 50) / 15.0) ** 2)
    truth = (truth / truth.sum()).to(device, dtype)
    divergence = (truth * (truth / probs).log()).sum()
    assert divergence < 0.01


@pytest.mark.parametrize(
    "conditional", [whole(100, 4), real(4, transform=Transform(shift=40.0, scale=30.0))], ids=repr
)
def test_mixtures_start_spread_over_the_data(conditional, generator, device, dtype):
    """Far better than one component, with equal weights and no two components alike."""
    place(conditional, device)
    low = 20 + 5 * torch.randn(3000, generator=generator)
    high = 80 + 5 * torch.randn(1000, generator=generator)
    x = torch.cat([low, high]).round().clamp(0, 99).to(device, dtype)
    codes = encoded(conditional, x).to(dtype)
    params = conditional.initial_params(codes)
    logits, means, _ = params.unflatten(-1, (3, 4))
    assert logits.eq(0).all()
    assert (means.diff() > 0.1).all()
    start = conditional.log_prob(params, codes).mean()
    if conditional in REAL:
        start += conditional.numbers.log_slopes(x).mean()
    # The best single normal density.
    single = -0.5 * math.log(2 * math.pi * math.e * x.var().item())
    assert start > single


@EVERY
@pytest.mark.parametrize("data", [[], [1.0], [0.0] * 50, [math.nan, 1.0, 1.0, 0.0], [math.nan]])
def test_initial_params_of_poor_data_are_finite(conditional, data, device, dtype):
    place(conditional, device)
    params = conditional.initial_params(torch.tensor(data, dtype=dtype, device=device))
    assert params.shape == (conditional.num_params,)
    assert params.isfinite().all()
    if isinstance(conditional, DiscretizedLogisticMixture | GaussianMixture):
        first = conditional.num_components + conditional.num_special
        means = params[first : first + conditional.num_components]
        assert means.unique().numel() == conditional.num_components


def test_mixtures_learn_two_bumps_from_their_start(generator, device, dtype):
    low = 20 + 3 * torch.randn(1000, generator=generator)
    high = 70 + 8 * torch.randn(1000, generator=generator)
    x = torch.cat([low, high]).round().clamp(0, 99).to(device, dtype)
    conditional = whole(100, 2)
    params = conditional.initial_params(x).requires_grad_()
    optimizer = torch.optim.Adam([params], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -conditional.log_prob(params, x).mean()
        loss.backward()
        optimizer.step()
    entropy = math.log(2) + 0.5 * math.log(2 * math.pi * math.e) + 0.5 * math.log(3 * 8)
    assert loss.item() < entropy + 0.04


@pytest.mark.parametrize("conditional", TABLES[1:], ids=repr)
def test_values_that_do_not_exist_have_probability_zero(conditional, device, dtype):
    params = torch.zeros(3, conditional.num_params, dtype=dtype, device=device)
    x = torch.tensor([-1, conditional.num_values, 0], device=device)
    assert conditional.log_prob(params, x).isneginf().tolist() == [True, True, False]


def test_gaussian_mixture_agrees_with_torch(generator, device, dtype):
    conditional = GaussianMixture(3)
    params = random_params(conditional, 6, generator=generator, device=device, dtype=dtype)
    logits, means, raw = params.unflatten(-1, (3, 3)).unbind(-2)
    components = torch.distributions.Normal(means, raw.exp() + 1e-3)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=logits), components
    )
    x = some_values(conditional, 6, generator=generator, device=device, dtype=dtype)
    torch.testing.assert_close(conditional.log_prob(params, x), mixture.log_prob(x))


def test_density_of_a_repeated_value_is_bounded(device, dtype):
    conditional = GaussianMixture(1)
    params = torch.tensor([0.0, 0.0, -1e6], dtype=dtype, device=device)
    log_prob = conditional.log_prob(params, params.new_tensor(0.0)).item()
    assert log_prob == pytest.approx(math.log(1000 / math.sqrt(2 * math.pi)), rel=1e-5)


def test_one_observation_raises_its_neighbours_when_smooth(device, dtype):
    conditional = Categorical(200, smooth=True)
    params = torch.zeros(conditional.num_params, dtype=dtype, device=device, requires_grad=True)
    conditional.log_prob(params, torch.tensor(77, device=device)).backward()
    raised = conditional.logits(params.grad).detach()
    assert raised.argmax() == 77
    assert raised[75:80].min() > raised[77] / 2
    assert raised[[20, 140]].abs().max() < raised[77] / 3


@pytest.mark.parametrize("num_values", [2, 7, 65])
def test_smooth_logits_can_be_any_table(num_values, generator, device):
    basis = cosine_basis(num_values, num_values - 1, torch.float64, device)
    logits = torch.randn(num_values, generator=generator, dtype=torch.float64).to(device)
    logits -= logits.mean()
    params = torch.linalg.lstsq(basis.T, logits).solution
    found = Categorical(num_values, smooth=True).logits(params)
    torch.testing.assert_close(found, logits)


def test_basis_first_used_in_inference_serves_training(device, dtype):
    cosine_basis.cache_clear()
    conditional = Categorical(11, smooth=True)
    params = torch.zeros(conditional.num_params, dtype=dtype, device=device)
    with torch.inference_mode():
        conditional.probs(params)
    params = params.clone().requires_grad_()
    conditional.log_prob(params, torch.tensor(3, device=device)).backward()
    assert params.grad.abs().sum() > 0


def test_conditionals_of_the_same_settings_are_equal():
    assert Categorical(5) == Categorical(5)
    assert len({Categorical(5), Categorical(5), Categorical(5, smooth=True), Bernoulli()}) == 3


def variable_of(kind):
    return Variable(
        "age",
        kind,
        {Kind.BINARY: 2, Kind.REAL: None}.get(kind, 5),
        transform=Transform(shift=1.5, scale=2.0),
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.BINARY, Bernoulli()),
        (Kind.CATEGORICAL, Categorical(5)),
        (Kind.ORDINAL, Categorical(5)),
        (Kind.INTEGER, whole(5, 3)),
        (Kind.REAL, GaussianMixture(3)),
    ],
)
def test_auto_picks_by_kind(kind, expected):
    assert conditional_for("auto", variable_of(kind), num_components=3) == expected


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "name", ["bernoulli", "categorical", "logistic_mixture", "gaussian_mixture", "poisson"]
)
def test_conditional_that_does_not_suit_is_refused(kind, name):
    variable = variable_of(kind)
    if name in ALLOWED_CONDITIONALS[kind]:
        assert conditional_for(name, variable, 2).num_params >= 1
        return
    with pytest.raises(ValueError, match=rf"{kind} variable 'age' must be auto or .*got '{name}'"):
        conditional_for(name, variable, 2)


def test_smooth_logits_are_for_ordered_values_only():
    smooth = [
        conditional_for("auto", variable_of(kind), 4, smooth_logits=True)
        for kind in (Kind.ORDINAL, Kind.CATEGORICAL)
    ]
    assert smooth == [Categorical(5, smooth=True), Categorical(5)]
    integer = conditional_for("categorical", variable_of(Kind.INTEGER), 4, smooth_logits=True)
    assert integer == Categorical(5, smooth=True)


def test_echoes_are_drawn_by_their_counts_and_a_row_in_training_is_not_told_of_itself():
    conditional = real(1, echoes=(-1.0, 0.5, 4.0), echo_counts=(6, 3, 1), resolution=0.1)
    params = torch.tensor([-40.0, 0.0, 0.0, 0.0], dtype=torch.float64)  # echoes alone
    uniforms = torch.rand(20000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = conditional.sample(params.expand(20000, -1), uniforms)
    values = conditional.numbers.decode(drawn)
    shares = [float((values == v).double().mean()) for v in (-1.0, 0.5, 4.0)]
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.015)
    codes = encoded(conditional, torch.tensor([-1.0, 0.5, 4.0, 0.6]))
    density = conditional.log_prob(params.expand(4, -1), codes).exp()
    assert density.tolist() == pytest.approx([6, 3, 1, 0], abs=1e-9)  # shares over cells of 0.1
    conditional.numbers.train()
    density = conditional.log_prob(params.expand(4, -1), codes).exp()
    assert density.tolist() == pytest.approx([50 / 9, 20 / 9, 0, 0], abs=1e-9)


def test_codes_of_draws_are_those_of_their_values(generator, dtype, device):
    for conditional in (WHOLE[4], WHOLE[5], WHOLE[-1], WHOLE[-2]):
        params = random_params(conditional, generator=generator, device=device, dtype=dtype, size=1)
        uniforms = even_uniforms(conditional, 100, device, dtype)
        drawn = conditional.sample(params.expand(len(uniforms), -1), uniforms)
        numbers = conditional.numbers.to(device)
        assert torch.equal(numbers.encode(numbers.decode(drawn)).to(drawn), drawn)


def test_no_smooth_density_is_higher_than_that_of_a_cell_of_the_last_digit():
    variable = Variable(
        "x", Kind.REAL, transform=Transform(scale=0.2), resolution=0.1, knots=(-1.0, 1.0)
    )
    conditional = conditional_for("auto", variable, 1)
    params = torch.tensor([0.0, 0.0, -50.0], dtype=torch.float64)  # as narrow as can be
    x = torch.zeros(1, dtype=torch.float64)
    log_density = conditional.log_prob(params, x) + conditional.numbers.log_slopes(x)
    assert float(log_density.exp()) == pytest.approx(1 / 0.1, rel=0.01)
