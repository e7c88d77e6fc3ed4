import pytest
import torch
from builders import MIXED, all_binary, tiny_made


def agnostic(device, dtype, **options):
    return tiny_made(
        ordering="agnostic", schedule_options={"num_orderings": 3}, seed=1, **options
    ).to(device, dtype)


def components(model, observed):
    return [model.component(index).observed_first(observed) for index in range(model.num_orderings)]


def exact_conditional(model, x, observed):
    """p(unobserved | observed) over all completions of x, from the joint table of the mixture."""
    table = all_binary(8).to(model.device)
    joint = sum(one.log_prob(table).exp() for one in components(model, observed))
    fits = (table[:, observed] == x[observed]).all(1)
    return table[fits], joint[fits] / joint[fits].sum()


@pytest.mark.parametrize("pattern", [[0], [3, 6], [1, 2, 5, 7], []])
def test_completions_match_the_exact_conditional(pattern, device, dtype, generator):
    from scipy.stats import chisquare

    model = agnostic(device, dtype, direct_connections=True)
    observed = torch.zeros(8, dtype=torch.bool, device=device)
    observed[pattern] = True
    x = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0], device=device)
    table, probs = exact_conditional(model, x, observed)
    drawn = model.complete(
        x.expand(20_000, 8), observed, generator=generator, batch_size=4000
    ).long()
    assert torch.equal(drawn[:, observed], x[observed].expand(20_000, -1))
    powers = 2 ** torch.arange(8, device=device)
    place = torch.searchsorted((table * powers).sum(1).sort().values, (drawn * powers).sum(1))
    order = (table * powers).sum(1).argsort()
    counts = torch.bincount(place, minlength=len(table)).double().cpu()
    expected = probs[order].double().cpu()
    common = expected * 20_000 >= 5
    observed_counts = torch.cat([counts[common], counts[~common].sum()[None]])
    expected_counts = torch.cat([expected[common], expected[~common].sum()[None]]) * 20_000
    keep = expected_counts > 0
    assert chisquare(observed_counts[keep], expected_counts[keep], sum_check=False).pvalue > 1e-3


def test_orderings_are_weighted_by_their_own_probability_of_what_was_observed(device, dtype):
    model = agnostic(device, dtype)
    observed = torch.zeros(8, dtype=torch.bool, device=device)
    observed[[2, 4, 5]] = True
    x = torch.tensor([0, 1, 1, 0, 0, 1, 0, 1], device=device)
    table, probs = exact_conditional(model, x, observed)
    log_probs = model.completion_log_prob(table, observed)
    assert torch.allclose(log_probs.exp(), probs, atol=1e-6)
    evenly = sum(
        one.conditionals(table).log_prob(table)[:, ~observed].sum(1).exp()
        for one in components(model, observed)
    )
    assert not torch.allclose(evenly / 3, probs, atol=1e-3)


def test_every_example_may_have_its_own_pattern(device, dtype, generator):
    model = agnostic(device, dtype)
    x = torch.randint(2, (40, 8), generator=generator).to(device, dtype)
    observed = (torch.rand(40, 8, generator=generator) < 0.5).to(device)
    drawn = model.complete(torch.where(observed, x, torch.nan), observed, generator=generator)
    assert torch.equal(drawn[observed], x[observed])
    assert torch.isin(drawn, torch.tensor([0.0, 1.0], device=device, dtype=dtype)).all()


def test_a_fixed_ordering_completes_its_prefix(device, dtype, generator):
    model = tiny_made(ordering="reversed").to(device, dtype)
    observed = torch.zeros(8, dtype=torch.bool, device=device)
    observed[5:] = True
    x = torch.ones(50, 8, device=device)
    assert (model.complete(x, observed, generator=generator)[:, 5:] == 1).all()


def test_a_fixed_ordering_refuses_other_patterns(device, dtype):
    model = tiny_made(ordering="natural").to(device, dtype)
    observed = torch.zeros(8, dtype=torch.bool, device=device)
    observed[[0, 1, 4]] = True
    message = "variable 2 \\(step 2\\) comes before the observed variable 4 \\(step 4\\)"
    with pytest.raises(ValueError, match=message):
        model.complete(torch.zeros(1, 8), observed)


def test_mixed_tables_are_completed(device, dtype, generator):
    model = tiny_made(MIXED, (14,), ordering="agnostic").to(device, dtype)
    x = torch.tensor([[1.0, 2.0, -3.5, 8.0, 3.0, 0.0]], dtype=dtype).repeat(30, 1).to(device)
    observed = torch.tensor([True, False, True, False, True, False], device=device)
    drawn = model.complete(x, observed, generator=generator)
    assert torch.equal(drawn[:, observed], x[:, observed])
    for column, variable in enumerate(MIXED):
        if variable.num_values is not None:
            assert drawn[:, column].min() >= 0
            assert drawn[:, column].max() < variable.num_values


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (torch.zeros(8), "must be boolean"),
        (torch.zeros(7, dtype=torch.bool), r"must have shape \(2, 8\) or \(8,\), got \(7,\)"),
        (torch.zeros(3, 8, dtype=torch.bool), r"got \(3, 8\)"),
    ],
)
def test_observed_of_the_wrong_shape_is_refused(observed, message):
    with pytest.raises(ValueError, match=message):
        tiny_made().complete(torch.zeros(2, 8), observed)
