"""Masses of subsets and draws inside them, for every conditional."""

import math

import pytest
import torch
from builders import MIXED
from scipy.integrate import quad

from made_exp.variables.conditionals.base import conditional_for
from made_exp.variables.group import make_group
from made_exp.variables.subset import Subset
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable

WHOLE = Variable(
    "whole",
    Kind.INTEGER,
    30,
    atoms=(3.0, 7.0),
    echoes=(4.0, 11.0, 20.0),
    echo_counts=(5, 2, 3),
    may_be_missing=True,
)
REAL = Variable(
    "real",
    Kind.REAL,
    transform=Transform(shift=1.0, scale=2.0, centre=0.5, bend=1.5),
    atoms=(0.0, 2.6),
    resolution=0.1,
    knots=(-1.0, 0.0, 1.0),
    echoes=(1.0, 3.0),
    echo_counts=(3, 4),
    may_be_missing=True,
)
POOLED = Variable(
    "pooled", Kind.CATEGORICAL, 6, pooled=(0.5, 0.3, 0.2), reserve=0.05, may_be_missing=True
)
WIDE = Variable("wide", Kind.INTEGER, 100_000, transform=Transform(shift=5e4, scale=2e4))
VARIABLES = {v.name: v for v in (*MIXED, WHOLE, REAL, POOLED, WIDE)}
SUBSETS = (
    Subset.of([(0.5, 2.5), (6.5, 11.5)]),
    Subset.of([(-math.inf, 3.5)], missing=True),
    Subset.of([(2.5, 3.5)]),
    Subset.of([(0.5, math.inf)]),
    Subset(missing=True),
)


def of(variable, generator, count=40):
    conditional = conditional_for("auto", variable, 3, False)
    group = make_group(conditional, "auto", [variable], [0]).single(0)
    params = torch.randn(count, conditional.num_params, generator=generator, dtype=torch.float64)
    return group, params * 1.5


def allowed(variable):
    whole = Subset.all_of(variable)
    return [subset & whole for subset in SUBSETS]


def brute_mass(group, params, variable, subset):
    """Sum or integral over the values that are in."""
    own = group.conditional
    if not variable.is_real:
        values = torch.arange(variable.num_values).double()
        if variable.may_be_missing:
            values = torch.cat([values, torch.tensor([math.nan]).double()])
        values = values[subset.contains(values)]
        codes = group.encode(values)
        return own.log_prob(params[:, None, :], codes).exp().sum(1)
    special = [*variable.atoms, *variable.echoes, *[math.nan] * variable.may_be_missing]
    values = torch.tensor([v for v in special if subset.holds(v)], dtype=torch.float64)
    weights, means, scales = (
        own.parts(params) if hasattr(own, "parts") else pytest.fail("no number")
    )
    parts = weights.exp()
    count = len(means)
    total = params.new_zeros(len(params))
    for number in range(len(params)):
        for low, high in subset.intervals:
            low, high = (
                float(group.numbers.forward(torch.tensor(e).double())) if math.isfinite(e) else e
                for e in (low, high)
            )
            for c in range(count):
                m, s, w = (float(t[c, number]) for t in (means, scales, parts))
                a, b = max(low, m - 12 * s), min(high, m + 12 * s)
                if a < b:
                    total[number] += (
                        w
                        * quad(
                            lambda z, m=m, s=s: (
                                math.exp(-0.5 * ((z - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
                            ),
                            a,
                            b,
                            epsabs=1e-11,
                            points=[m] if a < m < b else None,
                        )[0]
                    )
        for value in values.tolist():
            if math.isnan(value):
                total[number] += parts[count + len(variable.atoms), number]
            elif value in variable.atoms:
                total[number] += parts[count + variable.atoms.index(value), number]
            else:
                share = variable.echo_counts[variable.echoes.index(value)]
                total[number] += parts[-1, number] * share / sum(variable.echo_counts)
    return total


@pytest.mark.parametrize("name", VARIABLES)
def test_masses_are_sums_and_integrals(name, generator):
    variable = VARIABLES[name]
    group, params = of(variable, generator, 4 if variable.is_real or name == "wide" else 40)
    subsets = allowed(variable)
    restricted = group.conditional.restricted(subsets, params.device)
    masses = restricted.masses(params)
    for number, subset in enumerate(subsets):
        expected = brute_mass(group, params, variable, subset)
        torch.testing.assert_close(masses[:, number], expected, atol=1e-9, rtol=1e-7)
        index = torch.full((len(params),), number)
        torch.testing.assert_close(restricted.mass(params, index), masses[:, number])
        single = group.conditional.restricted([subset], params.device)
        torch.testing.assert_close(single.mass(params), masses[:, number])
    whole = group.conditional.restricted([Subset.all_of(variable)], params.device)
    torch.testing.assert_close(whole.mass(params), torch.ones(len(params)).double())


@pytest.mark.parametrize("name", VARIABLES)
def test_draws_lie_inside_and_have_their_probabilities(name, generator):
    variable, count = VARIABLES[name], 20_000
    group, params = of(variable, generator, 1)
    for subset in allowed(variable):
        if subset.is_empty:
            continue
        restricted = group.conditional.restricted([subset, Subset()], params.device)
        many = params.expand(count, -1)
        uniforms = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        index = torch.zeros(count, dtype=torch.long)
        mass, codes = restricted.draw(many, uniforms, index)
        torch.testing.assert_close(mass, restricted.mass(many, index))
        values = group.decode(codes)
        assert subset.contains(values).all()
        halves = [Subset.of([(-math.inf, edge)]) & subset for edge in (2.5, 6.5, 9.5)]
        for half in halves:
            share = group.conditional.restricted([half], params.device).mass(params) / mass[0]
            found = half.contains(values).double().mean()
            assert abs(float(found - share)) < 5 * math.sqrt(float(share) / count) + 1e-3


def test_far_tails_keep_their_mass_and_draws():
    group = of(VARIABLES["weight"], torch.Generator().manual_seed(0))[0]
    params = torch.tensor([[0.0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    # z = (x - 2) / 3: x above 92 is 30 standard deviations and more.
    far = Subset.of([(2 + 3 * 30 * 1.001, math.inf)])
    restricted = group.conditional.restricted([far], params.device)
    uniforms = torch.rand(50, 2, dtype=torch.float64)
    mass, codes = restricted.draw(params.expand(50, -1), uniforms)
    assert 0 < float(mass[0]) < 1e-150
    assert far.contains(group.decode(codes)).all()
    assert codes.std() > 0


def test_subsets_are_sets():
    a, b = Subset.of([(0, 2), (1, 3), (5, 6)]), Subset.of([(2.5, 5.5)], missing=True)
    assert a == Subset(((0, 3), (5, 6)))
    assert a & b == Subset(((2.5, 3), (5, 5.5)))
    assert a | b == Subset(((0, 6),), missing=True)
    assert b.without(a) == Subset(((3, 5),), missing=True)
    x = torch.tensor([1.0, 4.0, math.nan])
    assert a.contains(x).tolist() == [True, False, False]
    assert b.contains(x).tolist() == [False, True, True]
    assert [b.holds(v) for v in x.tolist()] == [False, True, True]
