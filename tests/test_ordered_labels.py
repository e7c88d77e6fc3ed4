"""Weak dependences of values that have an order, learned from few rows."""

import math

import pytest
import torch

from made_exp.datasets.baselines.coordinates import encoded
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.labels import Labels
from made_exp.datasets.baselines.ordered import OrderedLabels
from made_exp.datasets.baselines.tree import ChowLiu
from made_exp.variables.variable import Kind, Variable

RHO = 0.4
VARIABLES = (
    Variable("size", Kind.REAL),
    Variable("level", Kind.ORDINAL, 4, may_be_missing=True),
    Variable("few", Kind.CATEGORICAL, 3, ("0", "1", "7.5")),
    Variable("town", Kind.CATEGORICAL, 3, ("x", "y", "z")),
    Variable("paid", Kind.INTEGER, 90, atoms=(40.0,)),
)


def rows(count, generator):
    """Numbers (count, 5) whose normal variables all have a correlation of RHO."""
    noise = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    z = math.sqrt(RHO) * noise[:, :1] + math.sqrt(1 - RHO) * noise[:, 1:]
    level = (z[:, 1] + 0.5).floor().add(1).clamp(0, 3)
    is_missing = torch.rand(count, generator=generator) < 0.1
    few, town = ((z[:, d] > -0.3).double() + (z[:, d] > 0.8) for d in (2, 3))
    paid = (45 + 12 * z[:, 4]).round().clamp(0, 89)
    paid = torch.where((paid > 36) & (paid < 44), 40.0, paid)
    level = level.masked_fill(is_missing, torch.nan)
    return torch.stack([z[:, 0].exp(), level, few, town, paid], 1)


def ordered(x):
    codes, _ = encoded(VARIABLES, x)
    labels = Labels(Independent.fit(VARIABLES, codes))
    labels.fit(codes, seed=0)
    one_hot = labels.one_hot(codes).double()
    return labels, OrderedLabels.of(labels, one_hot.mT @ one_hot)


def test_correlations_are_those_behind_the_labels(generator):
    """Of values with many and with few labels, an atom and missing cells; names have no order."""
    found = ordered(rows(20_000, generator))[1].rho
    with_order = torch.tensor([0, 1, 2, 4])
    pairs = found[with_order][:, with_order][torch.triu_indices(4, 4, 1).unbind()]
    torch.testing.assert_close(pairs, torch.full_like(pairs, RHO), atol=0.05, rtol=0)
    assert (found[3] == 0).all()
    assert (found.diagonal() == 0).all()


@pytest.mark.parametrize(("above", "below"), [(0, 4), (1, 2), (4, 1), (2, 0)])
def test_conditionals_have_the_marginals_and_missing_cells_tell_nothing(above, below, generator):
    labels, found = ordered(rows(2000, generator))
    starts, sizes = labels.starts.long().tolist(), labels.sizes.long().tolist()
    one, other = (slice(starts[d], starts[d] + sizes[d]) for d in (above, below))
    probs, own = (labels.log_probs[d, : sizes[d]].exp() for d in (above, below))
    given = found.given(one, other, float(found.rho[above, below]), own)
    torch.testing.assert_close(given.sum(1), torch.ones(sizes[above]).double())
    torch.testing.assert_close(probs @ given, own, atol=0.01, rtol=0)
    if above == 1:
        assert given[-1].tolist() == own.tolist()
    if below == 1:
        assert (given[:, -1] == own[-1]).all()


def test_what_a_correlation_tells_is_its_mutual_information(generator):
    """That of normal variables, by formula; of independent ones less than nothing on average."""
    found = ordered(rows(20_000, generator))[1].gains
    assert found[0, 4].item() == pytest.approx(-0.5 * math.log(1 - RHO**2), rel=0.1)
    x = rows(600, generator)
    gains = []
    for _ in range(20):
        shuffled = x[torch.randperm(len(x), generator=generator)]
        gains.append(float(ordered(torch.cat([x[:, :1], shuffled[:, 1:]], 1))[1].gains[0, 4]))
    assert sum(gains) / 20 == pytest.approx(0, abs=1e-3)
    assert min(gains) < 0


def test_a_tree_finds_weak_dependences_among_columns_of_noise(generator):
    """At 900 rows, where tables of sixteen by sixteen intervals see only noise."""
    size, count = 8, 900
    variables = tuple(Variable(f"x{d}", Kind.REAL) for d in range(size))
    x = torch.randn(count, size, generator=generator, dtype=torch.float64)
    x[:, 5] = 0.25 * x[:, 2] + math.sqrt(1 - 0.25**2) * x[:, 5]
    tree = ChowLiu.fit(Independent.fit(variables, x), x)
    parents = tree.parents.long().tolist()
    assert parents[5] == 2 or parents[2] == 5
    unknown = torch.full((4000, size), torch.nan, dtype=torch.float64)
    uniforms = torch.rand(4000, 1 + 2 * size, generator=generator, dtype=torch.float64)
    drawn = tree.sample(unknown, uniforms)[:, [2, 5]].T
    expected = torch.corrcoef(x[:, [2, 5]].T)[0, 1]
    assert torch.corrcoef(drawn)[0, 1].item() == pytest.approx(expected.item(), abs=0.07)
