"""Values that come again are found where a smooth density does not explain them."""

import math

import numpy as np
import pytest
import torch

from made_exp.datasets.baselines.coordinates import codes_of
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.table.dates import DateFormat
from made_exp.datasets.table.digits import Fineness
from made_exp.datasets.table.echoes import find_echoes
from made_exp.datasets.table.fitting import fit_numbers
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.round_times import round_times
from made_exp.variables.numbers import ATOM, Numbers
from made_exp.variables.variable import Kind, Variable


def test_repeated_weights_are_echoes():
    rng = np.random.default_rng(0)
    weights = rng.lognormal(12, 0.5, 400).round()
    values = rng.choice(weights, 2000)
    fit = fit_numbers(values, fine=Fineness(1.0))
    assert set(fit.echoes) | set(fit.atoms) == set(values)
    assert sum(fit.echo_counts) == np.isin(values, fit.echoes).sum()


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_rounded_smooth_numbers_have_none(decimals):
    values = np.random.default_rng(1).normal(50, 10, 3000).round(decimals)
    fit = fit_numbers(values, fine=Fineness(10.0**-decimals))
    assert fit.echoes == fit.echo_counts == ()


def test_few_rows_and_rows_that_all_differ_have_none():
    rng = np.random.default_rng(2)
    for values in (rng.choice([1.5, 7.25, 9.0], 150), rng.normal(size=500)):
        z, cells = values - values.mean(), np.full(len(values), 1e-6)
        assert len(find_echoes(values, z, cells)[0]) == 0


@pytest.mark.parametrize(("apart", "share"), [(1440, 0.3), (60, 0.4), (1440, 0.0)])
def test_full_days_and_hours_among_minutes_are_echoes_also_those_that_train_lacks(apart, share):
    """In two years of minutes; all are counted once more than they are there."""
    rng = np.random.default_rng(3)
    values = rng.integers(500, 2 * 365 * 1440, 1500).astype(float)
    is_round = rng.random(1500) < share
    values[is_round] -= (values[is_round] - 120) % apart
    fit = fit_numbers(values, fine=Fineness(1.0), grids=[(1440, 120), (60, 0)])
    if not share:
        assert fit.echoes == ()
        return
    every = np.arange(120 % apart, 2 * 365 * 1440, apart)
    every = every[(every >= values.min()) & (every <= values.max())]
    every = every[~np.isin(every, fit.atoms)]  # two that are there four times, by chance
    assert fit.echoes == tuple(every)
    assert sum(fit.echo_counts) == len(every) + np.isin(values, every).sum()
    assert min(fit.echo_counts) == 1


@pytest.mark.parametrize("day", [1440, 86400])  # in seconds beyond what float32 counts
def test_a_full_day_that_train_lacks_is_likelier_than_what_is_beside_it(day):
    rng = np.random.default_rng(4)
    values = rng.integers(0, 365 * day, 800).astype(float)
    values[:300] -= values[:300] % day
    fit = fit_numbers(values, fine=Fineness(1.0), grids=[(day, 0)])
    variable = Variable("when", Kind.INTEGER, 365 * day, is_open=True, **vars(fit))
    independent = Independent.fit([variable], codes_of([variable], torch.tensor(values)[:, None]))
    days = torch.arange(50, 300).double() * day
    unseen = days[~torch.isin(days, torch.tensor(values))]
    full, beside = (
        independent.log_prob(codes_of([variable], x[:, None])) for x in (unseen, unseen + 7)
    )
    assert (full > beside + math.log(50)).all()


@pytest.mark.parametrize(
    ("form", "first", "step", "grids"),
    [
        (DateFormat("%Y-%m-%d %H:%M", unit="minutes"), 1440 * 9 + 30, 1, [(1440, 1410), (60, 30)]),
        (DateFormat("%H:%M", unit="minutes"), 0, 15, [(96, 0), (4, 0)]),
        (DateFormat("%H:%M", unit="minutes"), 10, 15, []),  # a quarter past ten minutes, always
        (DateFormat("%Y-%m-%d"), 7, 1, []),
        (DateFormat("%Y-%m", unit="months"), 7, 1, []),
        (NumberFormat(), 0, 1, []),
    ],
)
def test_round_times_are_full_days_hours_and_minutes(form, first, step, grids):
    assert round_times(form, first, step) == grids
    for apart, point in grids:
        assert (first + point * step) % (apart * step) == 0


@pytest.mark.parametrize("what", ["atoms", "echoes"])
def test_neighbours_in_float64_are_told_apart(what):
    """Between 1e15 and 1e15 + 0.125 there is no number."""
    levels = 1e15 + torch.arange(50, dtype=torch.float64) / 8
    own = {"atoms": tuple(levels.tolist())}
    if what == "echoes":
        own = {"echoes": own["atoms"], "echo_counts": (2,) * 50}
    numbers = Numbers([Variable("x", Kind.REAL, resolution=0.125, **own)]).of(0)
    codes = numbers.encode(levels)
    assert torch.equal(codes, ATOM - torch.arange(50, dtype=torch.float64))
    several = Numbers([Variable(name, Kind.REAL, resolution=0.125, **own) for name in "ab"])
    assert torch.equal(several.encode(levels[:, None].expand(50, 2)), codes[:, None].expand(50, 2))
    assert torch.equal(numbers.decode(codes), levels)
