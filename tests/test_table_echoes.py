"""Values that come again are found where a smooth density does not explain them."""

import numpy as np
import pytest

from made_exp.datasets.table.digits import Fineness
from made_exp.datasets.table.echoes import find_echoes
from made_exp.datasets.table.fitting import fit_numbers


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
