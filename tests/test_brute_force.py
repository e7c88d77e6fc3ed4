"""Random models, tables and orders against sums over every input, in float64 and float32.

All numbers of a model are of one distribution: log_prob, samples, completions, conditionals and
questions. `python -m pytest --slow tests/test_brute_force.py` draws two thousand.
"""

import math
import random

import pytest
import torch
from builders import tiny_made
from scipy.stats import chi2
from test_probability import schema_for
from test_simple_densities import all_codes

from made_exp.density.probability import probability
from made_exp.variables.variable import Kind, Variable

FALSE_ALARM = 1e-9
ORDERINGS = ("natural", "random", "reversed", "agnostic")


def drawn_model(rng, dtype):
    """A model of 2 to 4 discrete variables with at most 4 values each, of any ordering."""
    variables = []
    for number in range(rng.randint(2, 4)):
        kind = rng.choice([Kind.BINARY, Kind.CATEGORICAL, Kind.INTEGER, Kind.ORDINAL])
        size = 2 if kind is Kind.BINARY else rng.randint(3, 4)
        may_be_missing = rng.random() < 0.3
        name = f"v{number}"
        variables.append(Variable(name, kind, size, may_be_missing=may_be_missing))
    ordering = rng.choice(ORDERINGS)
    options = {"num_orderings": rng.randint(1, 3)} if ordering == "agnostic" else {}
    model = tiny_made(
        tuple(variables),
        (rng.randint(4, 12),) * rng.choice((1, 2)),
        ordering=ordering,
        seed=rng.randrange(1000),
        schedule_options=options,
        direct_connections=rng.random() < 0.5,
        **options,
    )
    return tuple(variables), model.to(dtype)


def chi_square_is_likely(counts, probs):
    """Whether counts (K,) are of draws with these probabilities; rare ones are taken together."""
    expected = probs * counts.sum()
    rare = expected < 5
    cells = [(counts[i], expected[i]) for i in range(len(probs)) if not rare[i]]
    if rare.any() and expected[rare].sum() > 5:
        cells.append((counts[rare].sum(), expected[rare].sum()))
    if len(cells) < 2:
        return True
    statistic = sum(float((n - e) ** 2 / e) for n, e in cells)
    return chi2.sf(statistic, len(cells) - 1) > FALSE_ALARM


def indices_of(rows, x):
    """The place of each of these rows in the list of all, (N,); NaN equals NaN."""
    same = (rows[:, None] == x) | (rows[:, None].isnan() & x.isnan())
    found = same.all(-1)
    assert found.any(1).all(), "a draw is no input"
    return found.int().argmax(1)


def check(seed, dtype):
    rng = random.Random(seed)
    variables, model = drawn_model(rng, dtype)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    generator = torch.Generator().manual_seed(seed)
    codes = all_codes(variables).to(model.groups.code_dtype)
    x = model.groups.decode(codes).double()
    joint = sum(
        math.exp(weight) * model.density(index).log_prob(codes).double().exp()
        for index, weight in model.weighted().items()
    )
    assert float(joint.sum()) == pytest.approx(1, abs=tolerance)
    is_whole = ~x.isnan().any(1)
    assert torch.allclose(
        model.log_prob(x[is_whole]).double().exp(), joint[is_whole], atol=tolerance
    )
    draws = model.sample(600, generator=generator).double()
    counts = torch.bincount(indices_of(draws, x), minlength=len(x))
    assert chi_square_is_likely(counts, joint)
    if not any(one.may_be_missing for one in variables):
        check_completions(model, x, joint, rng, generator, tolerance)
    check_question(model, variables, x, joint, rng, tolerance)


def check_completions(model, x, joint, rng, generator, tolerance):
    row = x[rng.randrange(len(x))]
    observed = torch.tensor([rng.random() < 0.5 for _ in row])
    if model.num_orderings > 1 or observed.all() or not observed.any():
        return  # a mixture completes by the orders that suit
    agrees = (x[:, observed] == row[observed]).all(1)
    exact = joint * agrees / joint[agrees].sum()
    if observed_is_first(model, observed):
        found = model.completion_log_prob(x[agrees], observed).double().exp()
        assert torch.allclose(found, exact[agrees], atol=10 * tolerance)
        drawn = model.complete(row.expand(400, -1), observed, generator=generator).double()
        counts = torch.bincount(indices_of(drawn, x), minlength=len(x))
        assert chi_square_is_likely(counts, exact)


def observed_is_first(model, observed):
    order = model.component(0).masks.ordering
    return bool(observed[order[: int(observed.sum())]].all())


def check_question(model, variables, x, joint, rng, tolerance):
    one, other = rng.randrange(len(variables)), rng.randrange(len(variables))
    value, least = (
        rng.randrange(variables[one].num_values),
        rng.randrange(variables[other].num_values),
    )
    event, given = f"v{one} = {value}", f"v{other} != {least}"
    # Of one order, or of a mixture of orders that all answer in their own.
    if model.num_orderings > 1:
        return
    inside, known = x[:, one] == value, (x[:, other] != least) & ~x[:, other].isnan()
    found = probability(model, schema_for(variables), event, given)
    assert found.is_exact
    exact = float(joint[inside & known].sum() / joint[known].sum())
    assert found.value == pytest.approx(exact, abs=10 * tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("block", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_every_number_is_of_one_distribution(block, dtype):
    cases = range(20) if block == 0 else range(1000, 2000)
    for seed in cases:
        try:
            check(seed, dtype)
        except AssertionError as error:
            raise AssertionError(f"case {seed}: {error}") from error
