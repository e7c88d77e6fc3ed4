import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from made_exp.variables.distributions import (
    bernoulli_log_prob,
    categorical_log_prob,
    categorical_quantile,
    floored_log_scale,
    log1mexp,
    logistic_cell_log_prob,
    mixture_log_prob,
    normal_log_prob,
    normal_quantile,
)

SCALES = [1e-8, 1e-3, 0.3, 1.0, 7.0, 1e3, 1e8]
MEANS = [-1e8, -3.0, 0.0, 0.5, 4.2, 9.0, 12.0, 1e8]


def close_to(dtype):
    return {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 2e-6}


def logistic_table(mean, scale, num_values, dtype, device):
    values = torch.arange(num_values, dtype=dtype, device=device)
    mean = torch.full_like(values, mean)
    log_scale = torch.full_like(values, math.log(scale))
    return cells_log_prob(values, mean, log_scale, num_values)


def cells_log_prob(values, means, log_scales, num_values):
    """Log masses of the cells of width one around values, whose ends take the tails."""
    width = torch.exp(-log_scales.clamp(-30, 30))
    below, above = (values - 0.5 - means) * width, (values + 0.5 - means) * width
    return logistic_cell_log_prob(below, above, width, values == 0, values == num_values - 1)


@pytest.mark.parametrize("exponent", [-30, -8, -3, -0.2, 0, 1, 1.8])
def test_log1mexp_has_full_precision_at_both_ends(exponent, device, dtype):
    x = 10.0**exponent
    expected = math.log(-math.expm1(-x)) if x < 0.7 else math.log1p(-math.exp(-x))
    found = log1mexp(torch.tensor([x], dtype=dtype, device=device)).item()
    rel = 1e-13 if dtype == torch.float64 else 1e-5
    assert found == pytest.approx(expected, rel=rel, abs=1e-45)


def test_log1mexp_gradients(device):
    x = torch.tensor([1e-3, 0.5, 0.69, 0.7, 5.0, 30.0], dtype=torch.float64, device=device)
    assert torch.autograd.gradcheck(log1mexp, x.requires_grad_())


def test_bernoulli_agrees_with_torch_and_keeps_tiny_probabilities(device, dtype):
    logits = torch.linspace(-5, 5, 11, dtype=dtype, device=device)
    for value in (0, 1):
        x = torch.full((11,), value, dtype=torch.uint8, device=device)
        expected = torch.distributions.Bernoulli(logits=logits).log_prob(x.to(dtype))
        torch.testing.assert_close(bernoulli_log_prob(logits, x), expected)
    # -log(1 + exp(-50)), which x * logit - softplus(logit) would round to zero.
    found = bernoulli_log_prob(logits.new_tensor(50.0), torch.tensor(1, device=device))
    assert found.item() == pytest.approx(-math.exp(-50), rel=1e-5)


def test_categorical_agrees_with_torch_and_broadcasts(device, dtype, generator):
    logits = torch.randn(4, 1, 5, generator=generator).to(device, dtype)
    x = torch.arange(5, device=device)
    expected = torch.log_softmax(logits, -1).squeeze(1)
    torch.testing.assert_close(categorical_log_prob(logits, x), expected)
    torch.testing.assert_close(categorical_log_prob(logits, x.to(torch.uint8)), expected)
    torch.testing.assert_close(categorical_log_prob(logits, x.to(dtype)), expected)


def test_values_that_do_not_exist_have_probability_zero(device, dtype):
    x = torch.tensor([-1.0, 5.0, math.nan, 2.0], dtype=dtype, device=device)
    log_probs = categorical_log_prob(torch.zeros(4, 5, dtype=dtype, device=device), x)
    assert log_probs.isneginf().tolist() == [True, True, True, False]


@given(
    weights=st.lists(
        st.sampled_from([0.0, 1e-12, 0.1, 0.25, 1.0, 7.0]), min_size=1, max_size=12
    ).filter(any),
    uniform=st.floats(0, 1),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_categorical_quantile_is_the_inverse_cumulative_function(weights, uniform, dtype):
    probs = torch.tensor(weights, dtype=dtype)
    index = categorical_quantile(probs, torch.tensor(uniform, dtype=dtype)).item()
    assert probs[index] > 0
    total, eps = math.fsum(weights), 1e-6 if dtype == torch.float32 else 1e-14
    target = uniform * total
    below = math.fsum(float(p) for p in weights[:index])
    assert below <= target + eps * total
    assert below + weights[index] >= target - eps * total


@pytest.mark.parametrize("num_values", [3, 7, 1000])
def test_categorical_quantile_at_the_end_of_the_interval(num_values, device, dtype, generator):
    probs = torch.softmax(torch.randn(500, num_values, generator=generator), -1).to(device, dtype)
    probs[:, [0, -1]] = 0
    for uniform in (0.0, 1 - torch.finfo(dtype).eps, 1.0):
        index = categorical_quantile(probs, probs.new_full((500,), uniform))
        assert (index == (1 if uniform == 0 else num_values - 2)).all()


def test_categorical_quantile_takes_any_layout(device, dtype, generator):
    probs = torch.rand(6, 4, generator=generator).to(device, dtype)
    uniforms = torch.rand(4, generator=generator).to(device, dtype)
    plain = categorical_quantile(probs.T.contiguous(), uniforms)
    assert categorical_quantile(probs.T, uniforms).equal(plain)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("mean", MEANS)
def test_discretized_logistic_sums_to_one(mean, scale, device, dtype):
    log_probs = logistic_table(mean, scale, 10, dtype, device)
    assert log_probs.isfinite().all()
    total = log_probs.exp().sum()
    torch.testing.assert_close(total, torch.ones_like(total), **close_to(dtype))


def test_discretized_logistic_is_a_difference_of_sigmoids(device, dtype):
    edges = torch.arange(9, dtype=dtype, device=device) + 0.5
    cumulative = torch.sigmoid((edges - 3.3) / 1.7)
    expected = cumulative.diff(prepend=edges.new_zeros(1), append=edges.new_ones(1))
    found = logistic_table(3.3, 1.7, 10, dtype, device).exp()
    torch.testing.assert_close(found, expected, **close_to(dtype))


@pytest.mark.parametrize("scale", SCALES)
def test_discretized_logistic_gradients_are_finite(scale, device, dtype):
    values = torch.arange(10, dtype=dtype, device=device)
    for mean in MEANS:
        means = torch.full_like(values, mean).requires_grad_()
        log_scales = torch.full_like(values, math.log(scale)).requires_grad_()
        cells_log_prob(values, means, log_scales, 10).sum().backward()
        assert means.grad.isfinite().all()
        assert log_scales.grad.isfinite().all()


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0, 7.0, 100.0])
@pytest.mark.parametrize("mean", [-3.0, 0.2, 4.6, 12.0])
def test_discretized_logistic_gradients_are_right(mean, scale, device):
    x = torch.arange(10, dtype=torch.float64, device=device)
    means = torch.full_like(x, mean).requires_grad_()
    log_scales = torch.full_like(x, math.log(scale)).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, s: cells_log_prob(x, m, s, 10), (means, log_scales))


def test_normal_quantile_inverts_the_cumulative_function(device, dtype):
    uniforms = torch.linspace(0.01, 0.99, 99, dtype=dtype, device=device)
    torch.testing.assert_close(torch.special.ndtr(normal_quantile(uniforms)), uniforms)
    assert normal_quantile(uniforms.new_tensor([0.0, 1.0])).isfinite().all()


def test_normal_log_prob_agrees_with_torch(device, dtype):
    z = torch.linspace(-4, 4, 9, dtype=dtype, device=device)
    expected = torch.distributions.Normal(z.new_tensor(0.0), z.new_tensor(2.0)).log_prob(2 * z)
    torch.testing.assert_close(normal_log_prob(z, torch.full_like(z, math.log(2))), expected)


def test_mixture_averages_probabilities_not_logarithms(device, dtype):
    logits = torch.tensor([0.0, math.log(3)], dtype=dtype, device=device)
    log_probs = torch.tensor([[-1.0, -2000.0], [-1.0, -1.0]], dtype=dtype, device=device)
    expected = torch.tensor([-1 - math.log(4), -1.0], dtype=dtype, device=device)
    torch.testing.assert_close(mixture_log_prob(logits, log_probs), expected)


def test_log_scale_has_a_floor_and_a_slope(device, dtype):
    raw = torch.tensor([-1e30, -50.0, 0.0, 5.0, 1e30], dtype=dtype, device=device)
    log_scales = floored_log_scale(raw.requires_grad_(), 0.01)
    expected = [math.log(0.01), math.log(0.01), math.log(1.01), math.log(0.01 + math.exp(5))]
    torch.testing.assert_close(log_scales[:4], log_scales.new_tensor(expected))
    log_scales.sum().backward()
    assert log_scales.isfinite().all()
    assert raw.grad.isfinite().all()
