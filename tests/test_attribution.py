"""What variables have in the likelihood of a mixture adds up, and is fair where that is plain."""

import pytest
import torch

from made_exp.model.attribution import component_shares, split_by_variable


def mixture(spread, generator, num_components=5, num_examples=200, num_dims=6):
    terms = -spread * torch.rand(num_components, num_examples, num_dims, generator=generator)
    log_weights = torch.randn(num_components, generator=generator).double().log_softmax(0)
    return terms.double(), log_weights


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0, 3000.0])
def test_parts_add_up_to_the_likelihood_of_the_mixture(spread, generator):
    terms, log_weights = mixture(spread, generator)
    parts = split_by_variable(terms, log_weights)
    total = (terms.sum(2) + log_weights[:, None]).logsumexp(0)
    torch.testing.assert_close(parts.sum(1), total, rtol=1e-12, atol=1e-9)
    shares = component_shares(terms.sum(2), log_weights)
    torch.testing.assert_close(shares.sum(0), torch.ones(200).double())
    assert (shares >= 0).all()


def test_a_variable_on_which_the_components_agree_keeps_what_they_say(generator):
    terms, log_weights = mixture(4.0, generator)
    terms[:, :, 2] = terms[0, :, 2]
    parts = split_by_variable(terms, log_weights)
    torch.testing.assert_close(parts[:, 2], terms[0, :, 2])


def test_shares_are_the_mean_posterior_on_the_way(generator):
    terms, log_weights = mixture(2.0, generator)
    log_probs = terms.sum(2)
    points = (torch.arange(20_000).double() + 0.5) / 20_000
    path = (points[:, None, None] * log_probs + log_weights[:, None]).softmax(1).mean(0)
    torch.testing.assert_close(component_shares(log_probs, log_weights), path, rtol=0, atol=2e-3)


def test_one_component_has_all(generator):
    terms, _ = mixture(2.0, generator, num_components=1)
    torch.testing.assert_close(split_by_variable(terms, torch.zeros(1).double()), terms[0])


def test_what_is_impossible_under_some_or_all_components(generator):
    terms, log_weights = mixture(2.0, generator)
    terms[1, 0, 3] = -torch.inf
    terms[:, 1, 4] = -torch.inf
    parts = split_by_variable(terms, log_weights)
    total = (terms.sum(2) + log_weights[:, None]).logsumexp(0)
    assert torch.isfinite(parts[0]).all()
    assert parts[0].sum().item() == pytest.approx(total[0].item(), abs=1e-9)
    assert parts[1].sum() == total[1] == -torch.inf
    assert not parts.isnan().any()
    without = terms[:, 1:2].clone()
    without[..., 4] = 0
    torch.testing.assert_close(parts[1:2, :4], split_by_variable(without, log_weights)[:, :4])


def test_where_each_component_excludes_another_variable_all_of_these_are_to_blame(generator):
    terms, log_weights = mixture(2.0, generator, num_components=2)
    terms[0, 0, 1] = terms[1, 0, 4] = -torch.inf
    parts = split_by_variable(terms, log_weights)
    assert (parts[0] == -torch.inf).tolist() == [False, True, False, False, True, False]
