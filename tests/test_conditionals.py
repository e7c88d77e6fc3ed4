import math

import pytest
import torch

from made_exp.variables.conditionals.base import DiscreteConditional, conditional_for
from made_exp.variables.conditionals.bernoulli import Bernoulli
from made_exp.variables.conditionals.categorical import Categorical
from made_exp.variables.conditionals.gaussian_mixture import GaussianMixture
from made_exp.variables.conditionals.logistic_mixture import DiscretizedLogisticMixture
from made_exp.variables.encodings import cosine_basis
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
DISCRETE = TABLES + [
    DiscretizedLogisticMixture(2, 1),
    DiscretizedLogisticMixture(9, 3),
    DiscretizedLogisticMixture(256, 4),
    DiscretizedLogisticMixture(300, 2),
]
REAL = [GaussianMixture(1), GaussianMixture(4, shift=-3.0, scale=0.2)]
EVERY = pytest.mark.parametrize("conditional", DISCRETE + REAL, ids=repr)
EVERY_DISCRETE = pytest.mark.parametrize("conditional", DISCRETE, ids=repr)
EVERY_REAL = pytest.mark.parametrize("conditional", REAL, ids=repr)
EXTREMES = [0.0, 1.0, -1.0, 20.0, -20.0, 1e8, -1e8, 1e30, -1e30]


def random_params(conditional, *shape, generator, device, dtype, size=1.5):
    params = torch.randn(*shape, conditional.num_params, generator=generator, dtype=torch.float64)
    return (size * params).to(device, dtype)


def some_values(conditional, *shape, generator, device, dtype):
    if not isinstance(conditional, DiscreteConditional):
        z = torch.randn(*shape, generator=generator, dtype=torch.float64).to(device, dtype)
        return conditional.shift + conditional.scale * z
    return torch.randint(conditional.num_values, shape, generator=generator).to(device)


def even_uniforms(conditional, num_draws, device, dtype):
    """Midpoints of cells of equal volume in the unit interval, or square."""
    points = (torch.arange(num_draws, dtype=dtype, device=device) + 0.5) / num_draws
    if conditional.num_uniforms == 1:
        return points[:, None]
    return torch.cartesian_prod(points, points)


@EVERY_DISCRETE
def test_probabilities_sum_to_one(conditional, generator, device, dtype):
    params = random_params(conditional, 3, 5, generator=generator, device=device, dtype=dtype)
    probs = conditional.probs(params)
    assert probs.shape == (3, 5, conditional.num_values)
    atol = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(probs.sum(-1), torch.ones_like(probs[..., 0]), rtol=0, atol=atol)


@EVERY_REAL
def test_density_of_the_data_as_given_integrates_to_one(conditional, generator, device, dtype):
    params = random_params(conditional, 5, generator=generator, device=device, dtype=dtype, size=1)
    grid = conditional.shift + conditional.scale * torch.linspace(-60, 60, 60001, dtype=dtype)
    density = conditional.log_prob(params[:, None], grid.to(device)).exp()
    total = torch.trapezoid(density, grid.to(device))
    atol = 1e-9 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=atol)


@EVERY_DISCRETE
def test_probabilities_agree_with_log_prob(conditional, generator, device, dtype):
    params = random_params(conditional, 4, generator=generator, device=device, dtype=dtype)
    for value in {0, 1, min(conditional.num_values, 256) - 1}:
        x = torch.full((4,), value, dtype=torch.uint8, device=device)
        expected = conditional.probs(params)[:, value].log()
        torch.testing.assert_close(conditional.log_prob(params, x), expected)


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
        counts = torch.bincount(drawn.long(), minlength=conditional.num_values)
        frequencies = counts.to(dtype) / len(uniforms)
        # Each boundary between two values, in each component, is off by half a cell at most.
        assert (frequencies - conditional.probs(params)).abs().max() <= 5 / num_draws


@EVERY_REAL
def test_real_draws_have_the_density_of_log_prob(conditional, generator, device, dtype):
    params = random_params(conditional, generator=generator, device=device, dtype=dtype, size=1)
    uniforms = even_uniforms(conditional, 300, device, dtype)
    drawn = conditional.sample(params.expand(len(uniforms), -1), uniforms)
    grid = conditional.shift + conditional.scale * torch.linspace(-60, 60, 60001, dtype=dtype)
    grid = grid.to(device)
    density = conditional.log_prob(params, grid).exp()
    cumulative = torch.cumulative_trapezoid(density, grid)
    empirical = torch.searchsorted(drawn.sort().values, grid[1:]).to(dtype) / len(drawn)
    assert (empirical - cumulative).abs().max() <= 5 / 300


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
def test_extreme_parameters_give_finite_numbers(conditional, generator, device, dtype):
    extremes = torch.tensor(EXTREMES, dtype=dtype, device=device)
    index = torch.randint(len(EXTREMES), (300, conditional.num_params), generator=generator)
    params = extremes[index.to(device)].requires_grad_()
    x = some_values(conditional, 300, generator=generator, device=device, dtype=dtype)
    if not isinstance(conditional, DiscreteConditional):
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
        if isinstance(conditional, DiscreteConditional):
            assert (drawn >= 0).all()
            assert (drawn < conditional.num_values).all()


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
    spreads = [conditional.sample(params, uniforms, t).std().item() for t in (1.0, 0.05)]
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
    "conditional", [DiscretizedLogisticMixture(100, 4), GaussianMixture(4, 40.0, 30.0)], ids=repr
)
def test_mixtures_start_spread_over_the_data(conditional, generator, device, dtype):
    """Far better than one component, with equal weights and no two components alike."""
    low = 20 + 5 * torch.randn(3000, generator=generator)
    high = 80 + 5 * torch.randn(1000, generator=generator)
    x = torch.cat([low, high]).round().clamp(0, 99).to(device, dtype)
    params = conditional.initial_params(x)
    logits, means, _ = params.unflatten(-1, (3, 4))
    assert logits.eq(0).all()
    assert (means.diff() > 0.1).all()
    start = conditional.log_prob(params, x).mean()
    # The best single normal density.
    single = -0.5 * math.log(2 * math.pi * math.e * x.var().item())
    assert start > single


@EVERY
@pytest.mark.parametrize("data", [[], [1.0], [0.0] * 50, [math.nan, 1.0, 1.0, 0.0], [math.nan]])
def test_initial_params_of_poor_data_are_finite(conditional, data, device, dtype):
    params = conditional.initial_params(torch.tensor(data, dtype=dtype, device=device))
    assert params.shape == (conditional.num_params,)
    assert params.isfinite().all()
    if isinstance(conditional, DiscretizedLogisticMixture | GaussianMixture):
        means = params.unflatten(-1, (3, -1))[1]
        assert means.unique().numel() == conditional.num_components


def test_mixtures_learn_two_bumps_from_their_start(generator, device, dtype):
    low = 20 + 3 * torch.randn(1000, generator=generator)
    high = 70 + 8 * torch.randn(1000, generator=generator)
    x = torch.cat([low, high]).round().clamp(0, 99).to(device, dtype)
    conditional = DiscretizedLogisticMixture(100, 2)
    params = conditional.initial_params(x).requires_grad_()
    optimizer = torch.optim.Adam([params], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -conditional.log_prob(params, x).mean()
        loss.backward()
        optimizer.step()
    entropy = math.log(2) + 0.5 * math.log(2 * math.pi * math.e) + 0.5 * math.log(3 * 8)
    assert loss.item() < entropy + 0.04


@pytest.mark.parametrize("conditional", DISCRETE[1:], ids=repr)
def test_values_that_do_not_exist_have_probability_zero(conditional, device, dtype):
    params = torch.zeros(3, conditional.num_params, dtype=dtype, device=device)
    x = torch.tensor([-1, conditional.num_values, 0], device=device)
    assert conditional.log_prob(params, x).isneginf().tolist() == [True, True, False]


def test_gaussian_mixture_agrees_with_torch(generator, device, dtype):
    conditional = GaussianMixture(3, shift=10.0, scale=4.0)
    params = random_params(conditional, 6, generator=generator, device=device, dtype=dtype)
    logits, means, raw = params.unflatten(-1, (3, 3)).unbind(-2)
    components = torch.distributions.Normal(10 + 4 * means, 4 * (raw.exp() + 1e-3))
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
        (Kind.INTEGER, DiscretizedLogisticMixture(5, 3)),
        (Kind.REAL, GaussianMixture(3, 1.5, 2.0)),
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
