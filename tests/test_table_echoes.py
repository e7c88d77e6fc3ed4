"""Values that come again are found where a smooth density does not explain them."""

import numpy as np
import pytest
import torch

from made_exp.datasets.table.digits import Fineness
from made_exp.datasets.table.echoes import find_echoes
from made_exp.datasets.table.fitting import fit_numbers
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
