"""Every ordering x model x direct connections x depth, against the table of all 2^8 inputs."""

import itertools

import pytest
import torch
from builders import all_binary, tiny_made

from made_exp.masks.connectivity import reachable

NUM_DIMS, NUM_DRAWS = 8, 3000
SHAPE = {"image_shape": (2, 4)}
ORDERINGS = {
    "natural": {},
    "reversed": {},
    "random": {},
    "custom": {"order": [3, 1, 0, 2, 7, 6, 5, 4]},
    "column_major": SHAPE,
    "snake": SHAPE,
    "spiral": SHAPE,
    "centre_out": SHAPE,
    "agnostic": {"num_orderings": 3},
    "agnostic order": {"num_orderings": 2, "resample": "order"},
    "agnostic connectivity": {"num_orderings": 2, "resample": "connectivity"},
    "agnostic without end": {"num_orderings": 0},
}
SIZES = {False: [(12,), (12, 10), (9, 12, 11)], True: [(10,) * 3, (10,) * 5, (10,) * 7]}
DEPTHS = (0, 1, 2)


def models(name, **options):
    """Float64 models with an ordering: made and resmade, direct connections or not, 3 depths."""
    for residual, direct, depth in itertools.product((False, True), (False, True), DEPTHS):
        yield tiny_made(
            hidden_sizes=SIZES[residual][depth],
            ordering=name.partition(" ")[0],
            residual=residual,
            direct_connections=direct,
            schedule_options=ORDERINGS[name],
            num_orderings=2 if name == "agnostic without end" else None,
            seed=depth,
            **options,
        ).double()


def check_draws(draws, table, probs):
    """Frequencies of 0/1 rows against the probabilities (sum 1) of the rows of `table`."""
    from scipy.stats import chisquare

    powers = 2 ** torch.arange(NUM_DIMS)
    codes, order = (table * powers).sum(1).sort()
    counts = torch.bincount(
        torch.searchsorted(codes, (draws.long() * powers).sum(1)), minlength=len(table)
    ).double()
    expected = probs[order] * len(draws)
    common = expected >= 5
    pairs = [
        torch.cat([values[common], values[~common].sum()[None]]) for values in (counts, expected)
    ]
    some = pairs[1] > 1e-9
    assert some.sum() < 2 or chisquare(*(p[some] for p in pairs), sum_check=False).pvalue > 1e-5


@pytest.mark.parametrize("name", ORDERINGS)
def test_probabilities_of_all_inputs_sum_to_one(name):
    table = all_binary(NUM_DIMS)
    for model in models(name):
        assert model.log_prob(table).exp().sum().item() == pytest.approx(1, abs=1e-12)
        for index in range(model.num_orderings):
            total = model.ordering_log_prob(table, index).exp().sum().item()
            assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ORDERINGS)
def test_nothing_depends_on_its_own_or_later_variables(name):
    x = torch.rand(NUM_DIMS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for model in models(name, activation="tanh"):
        for index in range(model.num_orderings):
            member, masks = model.members[0], model.component(index).masks
            order = masks.ordering
            paths = reachable(masks)[order][:, order]
            assert torch.equal(paths.tril(-1), paths)
            jacobian = torch.autograd.functional.jacobian(
                lambda values, member=member, masks=masks: member(values[None], masks)[0],
                x,
            )[order][:, order]
            assert torch.equal(jacobian.tril(-1), jacobian)
            assert jacobian.count_nonzero() > NUM_DIMS  # it does depend on earlier ones


@pytest.mark.parametrize("name", ORDERINGS)
def test_sampled_frequencies_match_the_table(name):
    table = all_binary(NUM_DIMS)
    for number, model in enumerate(models(name)):
        generator = torch.Generator().manual_seed(number)
        draws = model.sample(NUM_DRAWS, generator=generator, batch_size=NUM_DRAWS)
        check_draws(draws, table, model.log_prob(table).exp())


@pytest.mark.parametrize("name", ORDERINGS)
def test_completions_match_the_exact_conditional(name):
    """Any pattern where orders are resampled, otherwise the first three of the order."""
    table = all_binary(NUM_DIMS)
    for number, model in enumerate(models(name)):
        generator = torch.Generator().manual_seed(number)
        observed = torch.zeros(NUM_DIMS, dtype=torch.bool)
        order = model.component(0).masks.ordering
        observed[[1, 4, 6] if model.members[0].schedule.resamples_order else order[:3]] = True
        x = torch.randint(2, (NUM_DIMS,), generator=generator)
        components = [model.component(index) for index in range(model.num_orderings)]
        joint = sum(c.observed_first(observed).log_prob(table).exp() for c in components)
        fits = (table[:, observed] == x[observed]).all(1)
        draws = model.complete(
            x.expand(NUM_DRAWS, -1), observed, generator=generator, batch_size=NUM_DRAWS
        )
        assert torch.equal(draws[:, observed].long(), x[observed].expand(NUM_DRAWS, -1))
        check_draws(draws, table[fits], joint[fits] / joint[fits].sum())
