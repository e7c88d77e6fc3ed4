"""Networks of fixed orders beside one of any order: what each of them serves."""

import math

import numpy as np
import pytest
import torch
from builders import MIXED, all_binary, make_schedules, tiny_made

from made_exp.datasets.base import Dataset
from made_exp.datasets.description import describe_data
from made_exp.density.classes import class_probabilities
from made_exp.density.surprise import surprise_given_others
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.mixture import MixtureWeights
from made_exp.variables.variable import binary_variables

NUM_DIMS, FIXED = 4, 2
OPTIONS = {"num_orderings": 3, "resample": "order", "fixed": FIXED}


def made(**changes):
    model = tiny_made(
        binary_variables(NUM_DIMS),
        ordering="agnostic",
        schedule_options={"hidden_degrees": "by_variable", **OPTIONS, **changes},
        fits_weights=True,
    ).double()
    model.mixture._log_weights[:FIXED] = torch.tensor([-1.0, 0.3]).double()
    return model


@pytest.fixture(scope="module")
def model():
    return made()


def orders(model):
    return [model.component(index).masks.ordering.tolist() for index in range(model.num_orderings)]


def test_fixed_orders_come_first_and_the_first_is_that_of_the_columns(model):
    assert model.num_orderings == model.max_orderings == FIXED + 3
    assert model.num_fixed == FIXED
    assert len(model.members) == FIXED + 1
    found = orders(model)
    assert found[0] == list(range(NUM_DIMS)) != found[1]
    assert [model.component(index).member for index in range(5)] == [0, 1, 2, 2, 2]
    with pytest.raises(ValueError, match=r"component 5 does not exist: allowed are 0\.\.4"):
        model.component(5)
    assert made(num_orderings=0).max_orderings == 0 < made(num_orderings=0).num_orderings
    schedules = make_schedules("agnostic", NUM_DIMS, [8], missing=(0.0, 0.5, 0.0, 0.0), **OPTIONS)
    assert [one.resamples_order for one in schedules] == [True]


def test_none_is_of_a_fixed_order_where_only_valid_or_test_has_gaps():
    whole, gap = torch.zeros(2, NUM_DIMS), torch.tensor([[0, torch.nan, 0, 0]])
    for valid, test, missing in (
        (whole, whole, []),
        (gap, whole, [0.0] * NUM_DIMS),
        (whole, gap, [0.0] * NUM_DIMS),
    ):
        dataset = Dataset("t", binary_variables(NUM_DIMS), whole, valid, test)
        assert describe_data(dataset)["missing"] == missing
        schedules = make_schedules("agnostic", NUM_DIMS, [8], missing=missing, **OPTIONS)
        assert len(schedules) == (1 if missing else FIXED + 1)


def test_steps_train_each_network_in_turn_and_all_mask_sets_of_the_last(model):
    steps = [model.index_at(step) for step in range(8)]
    assert steps == [0, 2, 1, 3, 0, 4, 1, 2]
    assert [model.at_step(step).member for step in range(8)] == [0, 2, 1, 2] * 2
    assert [model.member_at(step) for step in range(8)] == [0, 2, 1, 2] * 2
    endless = made(num_orderings=0)
    assert [endless.index_at(step) for step in (1, 3, 5, 7)] == [2, 3, 4, 5]


def test_the_mixture_sums_to_one_and_so_does_every_completion(model):
    x = all_binary(NUM_DIMS).double()
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)
    for pattern in all_binary(NUM_DIMS).bool():
        logs = model.completion_log_prob(x, pattern)
        for row in x[:4]:
            same = (x[:, pattern] == row[pattern]).all(1)
            assert logs[same].exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("pattern", [[], [0], [1, 3], [0, 1, 2, 3]])
def test_fixed_orders_complete_where_what_is_known_comes_first(model, pattern):
    """Against sums over all inputs of those that serve, each with what is known first."""
    x, observed = all_binary(NUM_DIMS).double(), torch.zeros(NUM_DIMS, dtype=torch.bool)
    observed[pattern] = True
    serve = [model.component(k).serves(observed) for k in range(5)]
    assert all(serve[FIXED:])
    assert serve[0] == (pattern == [*range(len(pattern))])
    weights = model.weighted(any_pattern=not any(serve[:FIXED]))
    weights = {k: log_weight for k, log_weight in weights.items() if serve[k]}
    joint = sum(
        math.exp(log_weight) * model.component(k).observed_first(observed).log_prob(x).exp()
        for k, log_weight in weights.items()
    )
    known = torch.stack([joint[(x[:, observed] == row[observed]).all(1)].sum() for row in x])
    wanted = (joint / known).log()
    torch.testing.assert_close(model.completion_log_prob(x, observed), wanted)


def test_draws_given_some_have_the_probabilities_of_the_completion(model):
    observed = torch.tensor([False, True, False, False])
    x = torch.zeros(4000, NUM_DIMS, dtype=torch.float64)
    drawn = model.complete(x, observed, generator=torch.Generator().manual_seed(0))
    inputs = all_binary(NUM_DIMS).double()
    inputs = inputs[inputs[:, 1] == 0]
    expected = 4000 * model.completion_log_prob(inputs, observed).exp()
    counts = torch.stack([(drawn == row).all(1).sum() for row in inputs])
    chi = ((counts - expected) ** 2 / expected).sum()
    assert chi < len(inputs) + 5 * math.sqrt(2 * len(inputs))


def test_values_of_a_row_with_gaps_have_probabilities_by_what_serves_it(model):
    """Against sums over what is missing, the target after what is known, for whole rows by all."""
    x = all_binary(NUM_DIMS).double()
    known, with_target = torch.tensor([True, False, False, True]), torch.tensor([1, 0, 1, 1]).bool()
    joint = sum(
        math.exp(log_weight)
        * model.component(k).observed_first(with_target).observed_first(known).log_prob(x).exp()
        for k, log_weight in model.weighted(any_pattern=True).items()
    )
    rows = x[::2].clone()
    rows[:, 1] = torch.nan
    rows[0] = 0
    found = class_probabilities(model, rows, [2], np.arange(2)[:, None])
    for row, probs in zip(rows[1:], found[1:], strict=True):
        same = (x[:, known] == row[known]).all(1)
        sums = torch.stack([joint[same & (x[:, 2] == value)].sum() for value in (0, 1)])
        torch.testing.assert_close(probs, sums / sums.sum())
    whole = torch.tensor([[0.0, 0, value, 0] for value in (0, 1)], dtype=torch.float64)
    assert found.sum(1).tolist() == pytest.approx([1] * len(rows), abs=1e-12)
    assert (found[0, 0] > 0.5) == (model.log_prob(whole).diff() < 0)


def test_a_row_with_gaps_is_scored_by_what_serves_it_and_others_by_all(model):
    x = all_binary(NUM_DIMS).double()
    gaps = x[:8].clone()
    gaps[:, 1] = torch.nan
    together = model.log_prob(torch.cat([x, gaps]))
    torch.testing.assert_close(together[:16], model.log_prob(x))
    torch.testing.assert_close(together[16:], model.log_prob(gaps))
    assert model.log_prob(gaps[[0, 1, 4, 5]]).exp().sum() < 1  # x0 = 0
    weights = model.weighted(any_pattern=True)
    assert [*weights] == [2, 3, 4]
    assert sum(map(math.exp, weights.values())) == pytest.approx(1)
    parts = log_probs_by_variable(model, torch.cat([gaps, x]))
    torch.testing.assert_close(parts.sum(1), torch.cat([together[16:], together[:16]]))


def test_each_cell_given_all_others_is_of_what_has_any_order(model):
    x = all_binary(NUM_DIMS).double()
    surprise = surprise_given_others(model, x)
    for d in range(NUM_DIMS):
        flipped = x.clone()
        flipped[:, d] = 1 - flipped[:, d]
        other = surprise_given_others(model, flipped)[:, d]
        torch.testing.assert_close(
            (-surprise[:, d]).exp() + (-other).exp(), torch.ones(16).double()
        )


def test_fixed_orders_have_weights_of_their_own_and_the_others_equal_ones():
    log_probs = torch.randn(6, 40, generator=torch.Generator().manual_seed(0)).double()
    mixture = MixtureWeights(5, 2, num_extras=1)
    mixture.fit(log_probs)
    weights = mixture.log_weights().exp()
    assert weights.sum().item() == pytest.approx(1)
    torch.testing.assert_close(weights[2:5], weights[2].expand(3))
    assert len({round(w, 6) for w in weights[[0, 1, 2]].tolist()}) == 3
    for count in (1, 2, 3, 9):
        part = mixture.log_weights(count).exp()
        torch.testing.assert_close(part[-1], weights[-1])
        torch.testing.assert_close(part.sum(), weights.sum())
        if count > 2:
            torch.testing.assert_close(part[:2], weights[:2])
    alone = MixtureWeights(3, num_extras=1)  # without the fixed ones
    alone.fit(log_probs[2:])
    for count in (2, 3):
        torch.testing.assert_close(
            mixture.log_weights_of_others(count + 2), alone.log_weights(count)
        )
    refitted = MixtureWeights(5, 2, num_extras=1)
    refitted.fit(log_probs[[0, 1, 2, 5]])  # one of the equal ones stands for all
    torch.testing.assert_close(refitted.log_weights(3).exp().sum(), weights.sum())


def test_real_columns_are_served_too():
    model = tiny_made(MIXED, ordering="agnostic", schedule_options={**OPTIONS, "fixed": 1})
    x = torch.tensor([[1.0, 2, 3.5, 4, 1, 0], [0, 1, torch.nan, 3, 2, 1]]).double()
    assert torch.isfinite(model.log_prob(x)).all()
    drawn = model.complete(x[:1], torch.tensor([True, False, True, False, True, True]))
    assert drawn[0, [0, 2, 4, 5]].tolist() == [1, 3.5, 1, 0]
