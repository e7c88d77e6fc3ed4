"""Simple densities as part of a model: one mixture in scores, draws, completions and files."""

import math
from functools import partial

import pytest
import torch
from builders import build_made, make_schedules, network_settings
from test_simple_densities import DISCRETE, MIXED, all_codes, discrete_rows, fitted, mixed_rows

from made_exp.datasets.baselines.coordinates import encoded
from made_exp.datasets.baselines.counting import Independent
from made_exp.model import build
from made_exp.model.checks import check_masks, check_normalisation, check_samples
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.evaluation import (
    evaluate,
    fit_mixture,
    log_probs_by_ordering,
    nll_by_num_orderings,
)
from made_exp.model.mixture import MANY_EXAMPLES, MixtureWeights
from made_exp.model.simple import KINDS, SimpleComponent
from made_exp.variables.mixing import PRIOR_OF_UNLIKE, fit_log_weights

ORDERINGS = {
    "agnostic": {"num_orderings": 3},
    "ensemble": {"num_orderings": 2, "natural": 0.5},
    "random": {},
}


def model_of(ordering, variables, x, generator):
    schedules = make_schedules(ordering, len(variables), [8], **ORDERINGS[ordering])
    extras = {name: fitted(kind, variables, x) for name, kind in KINDS.items()}
    model = build.build_made(
        variables,
        schedules,
        network_settings([8], False),
        fits_weights=ordering == "ensemble",
        extras=extras,
        generator=generator,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
    model.initialise_bias(x)
    return model.eval().requires_grad_(False)


@pytest.fixture(params=ORDERINGS)
def discrete(request, generator):
    """A model of discrete variables with missing cells as values, its weights fitted."""
    x = discrete_rows(300, generator)
    model = model_of(request.param, DISCRETE, x, generator)
    fit_mixture(model, discrete_rows(100, generator), batch_size=100)
    return model


def all_rows(model):
    """Every row of data, from the codes of all."""
    return model.groups.decode(all_codes(DISCRETE).to(model.groups.code_dtype))


def test_probabilities_of_the_mixture_sum_to_one(discrete):
    x = all_rows(discrete)
    total = discrete.log_prob(x).double().exp().sum().item()
    assert total == pytest.approx(1, abs=1e-5)
    rows = log_probs_by_ordering(discrete, x)
    assert len(rows) == discrete.num_orderings + len(KINDS)
    mixed = (rows + discrete.mixture.log_weights()[:, None]).logsumexp(0)
    torch.testing.assert_close(mixed.float(), discrete.log_prob(x))
    assert check_normalisation(discrete).passed
    assert check_masks(discrete).passed
    assert check_samples(discrete, torch.Generator().manual_seed(0)).passed


def test_draws_have_the_probabilities_of_the_mixture(discrete):
    x, count = all_rows(discrete), 20_000
    drawn = discrete.sample(count, generator=torch.Generator().manual_seed(3))
    where = (drawn.nan_to_num(-1)[:, None] == x.nan_to_num(-1)).all(2)
    counts, expected = where.sum(0), discrete.log_prob(x).double().exp() * count
    assert counts.sum() == count
    chi = ((counts - expected).square() / expected)[expected > 5].sum().item()
    freedom = int((expected > 5).sum())
    assert chi < freedom + 5 * math.sqrt(2 * freedom)
    again = discrete.sample(50, generator=torch.Generator().manual_seed(3), batch_size=7)
    assert torch.equal(again.nan_to_num(-1), drawn[:50].nan_to_num(-1))


def test_completions_are_drawn_and_weighed_exactly(generator):
    model = model_of("agnostic", DISCRETE, discrete_rows(300, generator), generator)
    fit_mixture(model, discrete_rows(100, generator), batch_size=100)
    x = all_rows(model)
    observed = torch.tensor([False, True, False, True])
    alike = (x[:, 1] == 2) & (x[:, 3] == 1)
    expected = model.completion_log_prob(x[alike], observed).double()
    assert expected.exp().sum().item() == pytest.approx(1, abs=1e-5)
    given = torch.tensor([[0.0, 2.0, 0.0, 1.0]]).expand(20_000, -1)
    drawn = model.complete(given, observed, generator=generator)
    counts = (drawn.nan_to_num(-1)[:, None] == x[alike].nan_to_num(-1)).all(2).sum(0)
    expected = expected.exp() * 20_000
    chi = ((counts - expected).square() / expected)[expected > 5].sum().item()
    assert chi < 18 + 5 * math.sqrt(36)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_parts_of_the_variables_add_up(ordering, generator):
    x = mixed_rows(300, generator)
    model = model_of(ordering, MIXED, x, generator)
    fit_mixture(model, x[:100], batch_size=40)
    if ordering == "agnostic":
        x[torch.rand(x.shape, generator=generator) < 0.1] = torch.nan
    parts = log_probs_by_variable(model, x, batch_size=70)
    torch.testing.assert_close(parts.sum(1).float(), model.log_prob(x), rtol=1e-4, atol=1e-4)
    assert (parts[x.isnan()] == 0).all()
    x[0, 1] = 17
    parts = log_probs_by_variable(model, x[:1])
    assert parts[0, 1] == parts.sum() == -math.inf


def test_real_densities_are_those_of_the_data(generator):
    """A component scores x as the density it is, whatever the transform of its column."""
    x = mixed_rows(300, generator)
    model = model_of("random", MIXED, x, generator)
    codes, slopes = encoded(MIXED, x)
    for index, name in zip(range(-len(KINDS), 0), KINDS, strict=True):
        expected = model.extras[name].log_prob(codes) + slopes.sum(1)
        found = model.ordering_log_prob(x, index).double()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    rows = model.sample(500, generator=generator)
    assert torch.isfinite(model.log_prob(rows)).all()


def test_no_mixture_is_worse_than_its_best_part_by_more_than_its_price(generator):
    x = mixed_rows(600, generator)
    for ordering in ORDERINGS:
        model = model_of(ordering, MIXED, x[:400], generator)
        fitted_nll = fit_mixture(model, x[400:], batch_size=100).nll
        best = -log_probs_by_ordering(model, x[400:]).mean(1).max().item()
        assert fitted_nll < best + 0.05
        assert evaluate(model, x[400:]).nll == pytest.approx(fitted_nll, rel=1e-5)
        known = log_probs_by_ordering(model, x[400:])[-len(KINDS) :]
        assert fit_mixture(model, x[400:], batch_size=100, of_extras=known).nll == fitted_nll


@pytest.mark.parametrize("num_examples", [1, 2, 5, 40])
def test_a_simple_density_that_is_far_better_is_kept_however_few_the_examples(num_examples):
    mixture = MixtureWeights(2, num_extras=3)
    rows = torch.full((5, num_examples), -200.0)
    rows[2:4] = -150.0  # two that are alike
    mixture.fit(rows)
    assert mixture.log_prob(rows).mean() > -152.5
    rows[2:] = -300.0
    mixture.fit(rows)
    assert mixture.log_prob(rows).mean() > -200.5  # few say little: all stay, with small weights
    mixture.fit(rows[:, :1].expand(-1, MANY_EXAMPLES))
    assert mixture.log_weights()[2:].isneginf().all()


def test_a_lead_of_networks_counts_by_its_lower_end(generator):
    """As it is told from noise: a lead by chance on few rows is none, that on many counts whole."""
    lead = torch.randn(20, generator=generator).double()
    lead = 3 * (lead - lead.mean()) / lead.std() + 3 / math.sqrt(20)  # just its standard error
    mixture, level = MixtureWeights(1, num_extras=1), MixtureWeights(1, num_extras=1)
    mixture.fit(torch.stack([lead, torch.zeros(20)]))
    even = lead - lead.mean()
    level.fit(torch.stack([even, torch.zeros(20)]))
    assert level.log_weights()[0] < mixture.log_weights()[0]
    weights = fit_log_weights(torch.stack([even, torch.zeros(20)]), PRIOR_OF_UNLIKE)
    torch.testing.assert_close(mixture.log_weights(), weights, rtol=1e-4, atol=1e-4)
    mixture.fit(torch.stack([lead, torch.zeros(20)]).repeat(1, 5000))
    whole = fit_log_weights(torch.stack([lead, torch.zeros(20)]), 0.0)
    torch.testing.assert_close(mixture.log_weights(), whole, rtol=0, atol=5e-3)
    mixture.fit(torch.tensor([[-torch.inf, -1.0], [-1.0, -1.0]]))
    assert mixture.log_weights().isfinite().all()


def test_weights_of_a_part_of_the_orderings(generator):
    """Simple densities keep their weights, orderings together theirs."""
    log_probs = torch.randn(5, 50, generator=generator)
    for fits in (False, True):
        mixture = MixtureWeights(3, 3 * fits, num_extras=2)
        mixture.fit(log_probs)
        weights = mixture.log_weights().exp()
        assert weights.sum().item() == pytest.approx(1)
        for count in (1, 2, 3, 5) if not fits else (1, 2, 3):
            part = mixture.log_weights(count).exp()
            assert len(part) == count + 2
            torch.testing.assert_close(part[-2:], weights[-2:])
            torch.testing.assert_close(part[:count].sum(), weights[:3].sum())
        assert fits or (weights[:3] == weights[0]).all()
        nll, _ = nll_by_num_orderings(log_probs, mixture.log_weights(), 2)
        for count in (1, 3):
            rows = log_probs[[*range(count), 3, 4]]
            assert nll[count - 1].item() == pytest.approx(-mixture.log_prob(rows).mean().item())
        chosen = mixture.choose(torch.linspace(0, 1, 4001, dtype=torch.float64)[:-1])
        found = torch.stack([(chosen == k).double().mean() for k in (0, 1, 2, -2, -1)])
        torch.testing.assert_close(found, weights, rtol=0, atol=1e-3)


def test_a_reloaded_model_is_the_same(discrete):
    again = build_made(
        DISCRETE, [member.schedule for member in discrete.members], num_orderings=None
    )
    extras = {name: kind(DISCRETE) for name, kind in KINDS.items()}
    again = type(again)(
        again.groups, again.members, fits_weights=discrete.mixture.num_fitted > 0, extras=extras
    )
    again.load_state_dict(discrete.state_dict())
    x = all_rows(discrete)
    assert torch.equal(again.eval().log_prob(x), discrete.log_prob(x))
    names = partial(filter, lambda name: name.startswith("extras"))
    assert {*names(discrete.state_dict())} >= {"extras.gaussian_mixture.covariances"}


def test_a_simple_component_has_no_ordering(generator):
    density = fitted(Independent, DISCRETE, discrete_rows(50, generator))
    component = SimpleComponent(density, torch.float32)
    pattern = torch.tensor([True, False, True, False])
    assert component.observed_first(pattern) is component.rows(pattern) is component
    codes = all_codes(DISCRETE)
    part = component.log_prob(codes, None, pattern.expand(len(codes), -1))
    expected = density.log_prob(torch.where(pattern, codes, torch.nan)).float()
    torch.testing.assert_close(part, expected)
