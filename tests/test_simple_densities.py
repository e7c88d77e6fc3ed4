"""Simple densities: normalised, exact in their marginals and conditionals, and well fitted."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from made_exp.datasets.base import Dataset
from made_exp.datasets.baselines import scores
from made_exp.datasets.baselines.box_paths import Wanted, path_weights, without_holes
from made_exp.datasets.baselines.chains import cell_log_prob
from made_exp.datasets.baselines.choice import fit_classes
from made_exp.datasets.baselines.coordinates import ATOM, Coordinates, encoded
from made_exp.datasets.baselines.copula import Copula
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.datasets.baselines.expectation import (
    Fit,
    Form,
    first_responsibilities,
    floored,
    least_deviations,
    started,
)
from made_exp.datasets.baselines.gaussian_classes import GaussianClasses
from made_exp.datasets.baselines.marginals import Marginals
from made_exp.datasets.baselines.tree import ChowLiu
from made_exp.variables.groups import VariableGroups
from made_exp.variables.mixing import fit_log_weights
from made_exp.variables.subset import Subset
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable

BENT = Transform(centre=1.0, bend=2.0, shift=0.3, scale=1.5)
DISCRETE = (
    Variable("switch", Kind.BINARY, 2, may_be_missing=True),
    Variable("colour", Kind.CATEGORICAL, 3),
    Variable("count", Kind.INTEGER, 5, atoms=(0.0, 3.0), may_be_missing=True),
    Variable("level", Kind.ORDINAL, 4),
)
SPIKY = Variable("pay", Kind.REAL, transform=BENT, atoms=(0.0, 2.5), resolution=0.01)
WIDE = Variable("hours", Kind.INTEGER, 200, transform=Transform(shift=60.0, scale=10.0))
MIXED = (
    SPIKY,
    DISCRETE[1],
    Variable("size", Kind.REAL, transform=Transform(2.0, None, 1, 3)),
    WIDE,
)


def mixed_rows(count, generator):
    """Data (count, 4) of MIXED in which everything depends on a colour."""
    colour = torch.randint(3, (count,), generator=generator)
    noise = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    pay = (noise[:, 0] + colour).sinh()
    pay = torch.where(torch.rand(count, generator=generator) < 0.3, 0.0, pay)
    size = 2 * colour + noise[:, 1] + 0.5 * noise[:, 0]
    hours = (60 + 8 * noise[:, 2] + 5 * noise[:, 1]).round()
    return torch.stack([pay, colour.double(), size, hours], 1)


def discrete_rows(count, generator):
    """Data (count, 4) of DISCRETE with missing cells."""
    level = torch.randint(4, (count,), generator=generator)
    noise = torch.rand(count, 3, generator=generator)
    switch = torch.where(noise[:, 0] < 0.2, torch.nan, (noise[:, 0] * 4 > level).double())
    number = torch.where(noise[:, 1] < 0.1, torch.nan, (noise[:, 1] * (level + 1)).floor().double())
    colour = (noise[:, 2] * 3).long().double()
    return torch.stack([switch, colour, number, level.double()], 1)


def fitted(kind, variables, x):
    codes, _ = encoded(variables, x)
    independent = Independent.fit(variables, codes)
    if kind is Independent:
        return independent
    if kind is ChowLiu:
        return ChowLiu.fit(independent, codes)
    coordinates = Coordinates(variables)
    rows = coordinates.rows(codes)
    if kind is Copula:
        return Copula.fit(independent, rows, rows)
    start = started(coordinates, rows)
    fits = []
    for covariance in ("full", "diagonal"):
        fit = Fit(start, rows, Form(3, covariance, 0.5))
        guess = first_responsibilities(fit, torch.Generator().manual_seed(0))
        fits.append(fit.run(guess))
    return GaussianClasses.merged(fits, torch.tensor([0.4, 0.6], dtype=torch.float64).log())


def all_codes(variables):
    """Every code of discrete variables."""
    coordinates = Coordinates(variables)
    codes = coordinates._codes.split(coordinates.sizes)
    return torch.cartesian_prod(*codes)


KINDS = pytest.mark.parametrize("kind", [Independent, ChowLiu, Copula, GaussianClasses])


@KINDS
def test_probabilities_of_all_codes_sum_to_one(kind, generator):
    density = fitted(kind, DISCRETE, discrete_rows(300, generator))
    codes = all_codes(DISCRETE)
    assert len(codes) == 3 * 3 * 6 * 4
    assert density.log_prob(codes).exp().sum().item() == pytest.approx(1, abs=1e-12)


@KINDS
def test_numbers_at_the_end_of_float64_have_a_likelihood(kind, generator):
    steep = Transform(bend=1e-3, scale=0.5)
    pay = replace(SPIKY, transform=steep, atoms=(), echoes=(1.0, 2.5), echo_counts=(100, 40))
    variables, x = (pay, *MIXED[1:]), mixed_rows(200, generator)
    x[::3, 0], x[1::3, 0] = 1.0, 2.5
    density = fitted(kind, variables, x)
    far = torch.tensor([1e308, -1.7e308, 1e200, 0.0], dtype=torch.float64)
    rows = x[:4].clone()
    rows[:, 0], rows[:, 2] = far, far.flip(0)
    for unknown in ([], [1], [2]):
        codes, _ = encoded(variables, rows)
        codes[:, unknown] = torch.nan
        for found in (density.log_prob(codes), density.terms(codes)):
            assert not found.isnan().any()
            assert (found < 1e3).all()


@KINDS
def test_marginals_are_sums_over_what_is_unknown(kind, generator):
    density = fitted(kind, DISCRETE, discrete_rows(300, generator))
    codes = all_codes(DISCRETE)
    joint = density.log_prob(codes).exp()
    for unknown in ([0], [1, 3], [0, 2], [2]):
        part = codes.clone()
        part[:, unknown] = torch.nan
        keys, inverse = part.nan_to_num(-5).unique(dim=0, return_inverse=True)
        sums = torch.zeros(len(keys)).double().index_add_(0, inverse, joint)
        torch.testing.assert_close(density.log_prob(part).exp(), sums[inverse])
        terms = density.terms(part)
        torch.testing.assert_close(terms.sum(1), density.log_prob(part))
        assert (terms[:, unknown] == 0).all()


@KINDS
def test_densities_of_spiky_numbers_integrate_to_one(kind, generator):
    """The atom counts as a cell of its own, the rest as a density of x itself."""
    x = mixed_rows(400, generator)
    density = fitted(kind, MIXED, x)
    grid = torch.linspace(-200, 200, 40_001, dtype=torch.float64) + 1e-3
    if kind is not GaussianClasses:  # the share of the tails
        grid = torch.cat([-torch.logspace(6, -6, 10_000).double(), torch.logspace(-6, 6, 10_000)])
    rows = torch.full((len(grid), 4), torch.nan, dtype=torch.float64)
    rows[:, 0] = grid
    codes, slopes = encoded(MIXED, rows)
    log_prob = density.log_prob(codes) + slopes.sum(1)
    total = torch.trapezoid(log_prob.exp(), grid)
    atoms, slopes = encoded(MIXED, torch.cat([torch.tensor([[0.0], [2.5]]), rows[:2, 1:]], 1))
    assert atoms[:, 0].tolist() == [ATOM, ATOM - 1]
    total += (density.log_prob(atoms) + slopes.sum(1)).exp().sum() * 0.01
    assert total.item() == pytest.approx(1, abs=1e-4 if kind is GaussianClasses else 0.02)


@KINDS
def test_conditional_densities_are_ratios_of_joint_ones(kind, generator):
    """Of whole numbers all values are summed, of two real ones one is integrated."""
    density = fitted(kind, MIXED, mixed_rows(400, generator))
    row = torch.tensor([[ATOM, 1.0, 0.2, torch.nan]], dtype=torch.float64)
    hours = row.repeat(200, 1)
    hours[:, 3] = torch.arange(200)
    summed = density.log_prob(hours).logsumexp(0).item()
    assert summed == pytest.approx(density.log_prob(row).item(), abs=1e-6)
    row = torch.tensor([[0.4, torch.nan, torch.nan, 55.0]], dtype=torch.float64)
    size = row.repeat(40_001, 1)
    size[:, 2] = torch.linspace(-40, 40, 40_001)
    total = torch.trapezoid(density.log_prob(size).exp(), size[:, 2]).item()
    assert total == pytest.approx(density.log_prob(row).exp().item(), rel=1e-2)


@KINDS
def test_draws_have_the_probabilities_of_the_density(kind, generator):
    density = fitted(kind, DISCRETE, discrete_rows(300, generator))
    given = torch.tensor([[torch.nan, 2.0, torch.nan, 1.0]]).double()
    uniforms = torch.rand(40_000, 9, generator=generator, dtype=torch.float64)
    drawn = density.sample(given.expand(40_000, -1), uniforms)
    codes = all_codes(DISCRETE)
    codes = codes[(codes[:, 1] == 2) & (codes[:, 3] == 1)]
    expected = (density.log_prob(codes) - density.log_prob(given)).exp() * 40_000
    counts = (drawn[:, None] == codes).all(2).sum(0)
    assert counts.sum() == 40_000
    chi = ((counts - expected).square() / expected)[expected > 5].sum().item()
    assert chi < len(codes) + 5 * math.sqrt(2 * len(codes))


@KINDS
def test_draws_of_mixed_rows_look_like_the_data(kind, generator):
    x = mixed_rows(4000, generator)
    density = fitted(kind, MIXED, x)
    uniforms = torch.rand(4000, 9, generator=generator, dtype=torch.float64)
    drawn = density.sample(torch.full((4000, 4), torch.nan).double(), uniforms)
    codes, _ = encoded(MIXED, x)
    assert (drawn[:, 0] == ATOM).double().mean() == pytest.approx(0.3, abs=0.04)
    assert (drawn[:, 3] == drawn[:, 3].round()).all()
    for column in (1, 2, 3):
        own, real = drawn[:, column], codes[:, column]
        quartiles = torch.tensor([0.25, 0.5, 0.75]).double()
        difference = own.quantile(quartiles) - real.quantile(quartiles)
        assert (difference.abs() < 0.12 * real.std()).all()
    # Completion: size depends on what is known.
    given = torch.full((2000, 4), torch.nan).double()
    given[:1000, 1], given[1000:, 1] = 0, 2
    means = density.sample(given, uniforms[:2000])[:, 2].view(2, 1000).mean(1)
    expected = 4 / 3 if kind in (GaussianClasses, ChowLiu) else 0
    assert (means[1] - means[0]).item() == pytest.approx(expected, abs=0.2)


def test_impossible_values_have_no_probability(generator):
    rows = discrete_rows(300, generator)
    for kind in (Independent, GaussianClasses):
        density = fitted(kind, DISCRETE, rows)
        for column, value in ((0, 0.5), (1, 3.0), (2, -1.0), (3, 99.0)):
            codes = all_codes(DISCRETE)[:1].clone()
            codes[0, column] = value
            assert density.log_prob(codes).item() == -math.inf


@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal"])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_no_step_lowers_the_objective(covariance, share, generator):
    x = mixed_rows(200, generator)
    x[torch.rand(x.shape, generator=generator) < share] = torch.nan
    coordinates = Coordinates(MIXED)
    rows = coordinates.rows(encoded(MIXED, x)[0])
    fit = Fit(started(coordinates, rows), rows, Form(3, covariance, 0.5))
    fit.maximise(first_responsibilities(fit, generator))
    reached = []
    for _ in range(30):
        responsibilities, objective = fit.expect()
        reached.append(objective)
        fit.maximise(responsibilities)
    gains = np.diff(reached)
    assert (gains > -1e-7).all()
    assert reached[-1] > reached[0] + 0.5


def test_a_density_is_a_function_of_its_seed_and_survives_saving(generator):
    coordinates = Coordinates(MIXED)
    rows = coordinates.rows(encoded(MIXED, mixed_rows(300, generator))[0])
    first, second = (fit_classes(coordinates, rows[:240], rows[240:], seed=3) for _ in range(2))
    other = GaussianClasses(MIXED)
    other.load_state_dict(first.state_dict())
    for density in (second, other):
        assert torch.equal(density.row_terms(rows), first.row_terms(rows))


@pytest.mark.parametrize("name", ["wine", "iris", "diabetes", "breast_cancer"])
def test_as_good_as_the_gaussian_mixtures_of_scikit_learn(name):
    datasets = pytest.importorskip("sklearn.datasets")
    mixture = pytest.importorskip("sklearn.mixture")
    x = getattr(datasets, f"load_{name}")().data[:, :10]
    x = x[np.random.RandomState(0).permutation(len(x))]
    test, valid, train = np.split(x, [len(x) // 5, len(x) // 5 + len(x) // 8])
    rivals = [mixture.GaussianMixture(k, random_state=0).fit(train) for k in range(1, 5)]
    rival = max(rivals, key=lambda one: one.score(valid)).score(test)
    coordinates = Coordinates([Variable(f"x{d}", Kind.REAL) for d in range(x.shape[1])])
    train, valid, test = (coordinates.rows(torch.tensor(part)) for part in (train, valid, test))
    ours = fit_classes(coordinates, train, valid).row_terms(test).sum(1).mean().item()
    assert ours > rival - 0.4


def test_classes_of_computed_numbers_are_no_narrower_than_their_cells():
    """Whole numbers divided by 16, in deviations: a normal density as high as its cell."""
    written = Variable("w", Kind.REAL, resolution=1 / 16, transform=Transform(scale=0.1))
    computed = replace(written, name="c", digit=1e-9)
    start = GaussianClasses([written, computed])
    start.scales.fill_(2.0)
    peak = 1 / (2 * 0.1 * least_deviations(start) * math.sqrt(2 * math.pi))
    assert peak[0] > 1000
    assert peak[1].item() == pytest.approx(16, rel=0.01)


@KINDS
def test_it_counts_in_double_precision_wherever_the_networks_are(kind, generator):
    density = fitted(kind, MIXED, mixed_rows(100, generator))
    assert isinstance(density, SimpleDensity)
    moved = torch.nn.Sequential(density).to("meta", torch.float16)[0]
    assert {(b.dtype, b.device.type) for b in moved.buffers()} == {(torch.float64, "cpu")}


def test_scores_of_a_mixed_table_add_up_by_column(generator):
    x = mixed_rows(600, generator)
    dataset = Dataset("toy", MIXED, x[:400], x[400:500], x[500:])
    found = scores.compute(dataset)
    assert found["gaussian_mixture"] < found["independent"] - 0.3
    assert list(found["columns"]) == [variable.name for variable in MIXED]
    assert sum(found["columns"].values()) == pytest.approx(found["independent"])
    assert found["stderr"].keys() == set(scores.FITTED)
    assert found["copula"] < found["independent"] - 0.1
    assert found["chow_liu"] < found["independent"] - 0.3


def test_fitted_weights_forget_a_density_that_explains_nothing():
    log_probs = torch.tensor([[0.0], [-50.0]]).expand(2, 400)
    assert fit_log_weights(log_probs).exp().tolist() == pytest.approx([401 / 402, 1 / 402])


def test_values_that_come_again_are_to_simple_densities_as_any_others(generator):
    echoes = {
        "pay": ((-1.5, 0.25, 4.0), (2, 1, 5)),
        "hours": ((57.0, 61.0), (3, 1)),
        "count": ((1.0, 4.0), (2, 2)),
    }
    variables = (SPIKY, DISCRETE[2], WIDE)
    echoing = tuple(
        replace(v, echoes=echoes[v.name][0], echo_counts=echoes[v.name][1]) for v in variables
    )
    groups = VariableGroups(
        echoing,
        conditional="auto",
        num_components=2,
        encoding="auto",
        smooth_logits=False,
    ).double()
    x = torch.tensor([[-1.5, 1.0, 57.0], [0.0, 4.0, 58.0], [4.0, 3.0, 61.0], [1.0, 2.0, 9.0]])
    codes = groups.encode(x.double())
    plain, same = Coordinates(variables), Coordinates(echoing)
    expected = plain.rows(encoded(variables, x)[0])
    found = same.rows(codes)
    assert torch.equal(found.states, expected.states)
    torch.testing.assert_close(found.numbers, expected.numbers, equal_nan=True)
    torch.testing.assert_close(groups.decode(same.codes(found)), x.double())
    assert torch.equal(same.codes(found)[:, 1:], codes[:, 1:])  # whole numbers to the code


ECHOING = (
    Variable(
        "weight",
        Kind.INTEGER,
        90,
        transform=Transform(centre=20.0, bend=9.0, scale=2.0),
        atoms=(0.0, 40.0, 41.0, 89.0),
        may_be_missing=True,
        echoes=(3.0, 17.0, 60.0),
        echo_counts=(2, 5, 3),
    ),
    Variable("hours", Kind.INTEGER, 60, transform=Transform(shift=30.0, scale=10.0)),
    Variable("married", Kind.BINARY, 2),
)


def echoing_rows(count, generator):
    """Data (count, 3) of ECHOING, whose numbers depend on each other up to the ends."""
    noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    weight = (30 + 40 * noise[:, 0]).round().clamp(0, 89)
    weight = torch.where(torch.rand(count, generator=generator) < 0.1, torch.nan, weight)
    hours = (weight.nan_to_num(30) / 2 + 25 * noise[:, 1]).round().clamp(0, 59)
    return torch.stack([weight, hours, (hours > 30).double()], 1)


@KINDS
def test_masses_of_whole_numbers_sum_to_one(kind, generator):
    """With atoms, values that come again, missing cells, and mass beyond both ends."""
    density = fitted(kind, ECHOING, echoing_rows(300, generator))
    weights = torch.cat([torch.arange(90.0), torch.tensor([torch.nan])])
    x = torch.cartesian_prod(weights, torch.arange(60.0), torch.arange(2.0)).double()
    codes, _ = encoded(ECHOING, x)
    total = density.log_prob(codes).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-9)
    for unknown in (1, 0):
        part = codes.clone()
        part[:, unknown] = torch.nan
        part = part.nan_to_num(-1).unique(dim=0)
        part[:, unknown] = torch.nan
        assert density.log_prob(part).exp().sum().item() == pytest.approx(1, abs=1e-9)


@KINDS
def test_draws_of_whole_numbers_avoid_what_atoms_have(kind, generator):
    density = fitted(kind, ECHOING, echoing_rows(300, generator))
    uniforms = torch.rand(40_000, 7, generator=generator, dtype=torch.float64)
    drawn = density.sample(torch.full((40_000, 3), torch.nan).double(), uniforms)
    distinct, counts = drawn.unique(dim=0, return_counts=True)
    assert (density.log_prob(distinct) > -math.inf).all()  # never an atom's value but as the atom
    expected = density.log_prob(distinct).exp() * len(drawn)
    often = expected > 8
    chi = ((counts - expected).square() / expected)[often].sum().item()
    assert chi < often.sum() + 5 * math.sqrt(2 * often.sum())


def test_codes_are_those_of_models(generator):
    """Also where text and float32 have changed the last digits of an atom or an echo."""
    real = replace(SPIKY, echoes=(-1.5, 0.25, 4.0), echo_counts=(2, 1, 5), may_be_missing=True)
    for variables, x in (
        ((real, *DISCRETE[:2], *ECHOING[:1]), torch.tensor([[2.5, 1, 2, 40], [0.25, 0, 1, 3]])),
        (DISCRETE, discrete_rows(50, generator)),
    ):
        x = x.double()
        if variables[0] is real:
            x = torch.cat([x, x, x, torch.full((1, 4), torch.nan)])
            x[2:4, 0] += 1e-7
            x[4:6, 0] += 0.01
            x[6, 2] = 0.0
        groups = VariableGroups(
            variables, conditional="auto", num_components=2, encoding="auto", smooth_logits=False
        ).double()
        codes, slopes = encoded(variables, x)
        assert torch.equal(codes, groups.encode(x))
        torch.testing.assert_close(slopes.sum(1), groups.log_slopes(x))


def test_values_that_come_again_are_counted(generator):
    """Of a column with a hundred values to the last digit half of the mass is theirs."""
    prices = torch.randn(100, generator=generator, dtype=torch.float64).round(decimals=6)
    x = prices[torch.randint(100, (2000,), generator=generator)]
    fresh = torch.randn(2000, generator=generator, dtype=torch.float64)
    x = torch.where(torch.rand(2000, generator=generator) < 0.5, x, fresh)[:, None]
    values, counts = x.unique(return_counts=True)
    plain = Variable("price", Kind.REAL, resolution=1e-6)
    echoing = replace(plain, echoes=tuple(values.tolist()), echo_counts=tuple(counts.tolist()))
    nlls = [
        -Independent.fit((v,), encoded((v,), x)[0][:1000]).log_prob(encoded((v,), x)[0][1000:])
        for v in (plain, echoing)
    ]
    gain = 0.5 * (math.log(1e6 / 100) + 1.42) + math.log(0.5)
    assert (nlls[0].mean() - nlls[1].mean()).item() == pytest.approx(gain, abs=0.6)
    own = fitted(Independent, (echoing,), x)
    drawn = own.sample(torch.full((2000, 1), torch.nan).double(), torch.rand(2000, 3).double())
    assert (drawn < ATOM / 2).double().mean() == pytest.approx(0.5, abs=0.06)


def test_masses_of_cells_are_exact_in_both_tails():
    places = [-math.inf, -40, -9, -1, -0.5, -0.5 + 1e-9, 0, 2, 9, 40, math.inf]
    edges = torch.tensor(places, dtype=torch.float64)
    masses = cell_log_prob(edges[:-1], edges[1:])
    assert masses.exp().sum().item() == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close(cell_log_prob(-edges[1:], -edges[:-1]), masses)
    assert masses[1].item() == pytest.approx(torch.special.log_ndtr(edges[2]).item())
    density = math.log(1e-9) - 0.125 - 0.5 * math.log(2 * math.pi)
    assert masses[4].item() == pytest.approx(density)


def test_quantiles_of_numbers_undo_their_cumulative_function(generator):
    x = mixed_rows(500, generator)
    coordinates = Coordinates(MIXED)
    marginals = Marginals(coordinates)
    marginals.fit(coordinates.rows(encoded(MIXED, x)[0]).numbers)
    uniforms = torch.rand(2000, 3, generator=generator, dtype=torch.float64)
    lower, upper = marginals.cumulative(marginals.quantile(uniforms))
    assert ((lower - 2e-3 < uniforms) & (uniforms < upper + 2e-3)).all()
    masses = marginals.log_prob(marginals.quantile(uniforms))[:, 2].exp()
    torch.testing.assert_close(masses, (upper - lower)[:, 2], rtol=1e-6, atol=1e-12)


def test_a_floor_far_below_the_spread_is_none_too_low(generator):
    """Of whole numbers up to 10^12 beside constants: eigenvalues over 24 decades would not do."""
    root = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    covariances = root @ root.mT
    covariances[1, 0], covariances[1, :, 0] = 0.0, 0.0
    found = floored(covariances, torch.full((3,), 1e-12, dtype=torch.float64))
    torch.testing.assert_close(found, covariances, rtol=1e-6, atol=1e-9)
    assert (torch.linalg.eigvalsh(found) > 0).all()


def test_together_they_beat_counting_and_a_copula_on_small_tables(generator):
    """200 rows of 10 columns in three groups, with weights fitted to an eighth of them."""
    group = torch.randint(3, (1000,), generator=generator)
    centres = 2 * torch.randn(3, 8, generator=generator, dtype=torch.float64)
    numbers = centres[group] + torch.randn(1000, 8, generator=generator, dtype=torch.float64)
    numbers[:, 1:] += 0.8 * numbers[:, :1]
    flips = torch.rand(1000, 2, generator=generator) < 0.2
    labels = torch.stack([group, group // 2], 1).where(~flips, 0).double()
    x = torch.cat([numbers, labels], 1)
    variables = (
        *(Variable(f"x{d}", Kind.REAL) for d in range(8)),
        Variable("group", Kind.CATEGORICAL, 3),
        Variable("last", Kind.BINARY, 2),
    )
    dataset = Dataset("small", variables, x[:175], x[175:200], x[200:])
    valid, test = dataset.valid, dataset.test
    densities = {name: fit(dataset) for name, fit in scores.FITTED.items()}
    log_weights = fit_log_weights(torch.stack([d.log_prob(valid) for d in densities.values()]))
    rows = {name: density.log_prob(test) for name, density in densities.items()}
    mixed = (torch.stack(list(rows.values())) + log_weights[:, None]).logsumexp(0).mean()
    assert mixed > rows["copula"].mean() + 0.5
    assert mixed > rows["independent"].mean() + 2
    assert mixed > max(own.mean() for own in rows.values()) - 0.1


@pytest.mark.parametrize("kind", [Independent, ChowLiu])
def test_boxes_have_the_mass_of_what_is_in_them(kind, generator):
    discrete = fitted(kind, DISCRETE, discrete_rows(300, generator))
    boxes = [
        {0: Subset.of_codes([1]), 2: Subset.of([(0.5, 3.5)], missing=True)},
        {0: Subset(missing=True), 1: Subset.of_codes([0, 2]), 3: Subset.of([(1.5, 9.0)])},
        {},
    ]
    codes = all_codes(DISCRETE)
    x = VariableGroups(
        DISCRETE, conditional="auto", num_components=2, encoding="auto", smooth_logits=False
    ).decode(codes)
    probs, found = discrete.log_prob(codes).exp(), discrete.box_probs(boxes)
    for box, mass in zip(boxes, found, strict=True):
        inside = torch.stack(
            [subset.contains(x[:, d]) for d, subset in box.items()] or [x[:, 3] >= 0]
        )
        assert float(mass) == pytest.approx(float(probs[inside.all(0)].sum()), abs=1e-9)
    mixed = fitted(kind, MIXED, mixed_rows(600, generator))
    uniforms = torch.rand(40_000, 9, generator=generator, dtype=torch.float64)
    nothing = torch.full((len(uniforms), 4), torch.nan, dtype=torch.float64)
    rows = mixed.draw(mixed.coordinates.rows(nothing), uniforms)
    x = VariableGroups(
        MIXED, conditional="auto", num_components=2, encoding="auto", smooth_logits=False
    ).decode(mixed.coordinates.codes(rows))
    boxes = [
        {0: Subset.of([(-1.0, 0.005)]), 3: Subset.of([(-math.inf, 58.5)])},
        {0: Subset.of([(1.0, 2.45), (2.55, 40.0)]), 1: Subset.of_codes([1, 2])},
        {2: Subset.of([(0.3, 2.2)]), 3: Subset.of([(50.5, 62.5), (70.5, 500.0)])},
        {d: Subset.all_of(MIXED[d]) for d in range(4)},
    ]
    for box, mass in zip(boxes, mixed.box_probs(boxes), strict=True):
        inside = torch.stack([subset.contains(x[:, d]) for d, subset in box.items()]).all(0)
        share = float(inside.double().mean())
        assert float(mass) == pytest.approx(share, abs=5 * math.sqrt(0.25 / len(x)) + 1e-6)


@pytest.mark.parametrize("kind", [Copula, GaussianClasses])
def test_weights_of_paths_into_boxes_have_the_mass_of_these_as_mean(kind, generator):
    """Whole numbers against sums, of boxes hardly ever hit too; reals against draws."""
    density = fitted(kind, ECHOING, echoing_rows(300, generator))
    values = torch.cat([torch.arange(90.0), torch.tensor([torch.nan])])
    x = torch.cartesian_prod(values, torch.arange(60.0), torch.arange(2.0)).double()
    codes = encoded(ECHOING, x)[0]
    uniforms = torch.rand(4000, 7, generator=generator, dtype=torch.float64)
    boxes = [
        {0: Subset.of([(20.5, 44.5)], missing=True), 1: Subset.of([(-0.5, 9.5), (30.5, 40.5)])},
        {0: Subset.of([(85.5, 89.5)]), 1: Subset.of([(-0.5, 3.5)])},
        {0: Subset.of([(-0.5, 0.5), (88.5, 89.5)]), 1: Subset.of([(56.5, 59.5)])},
        {0: Subset(missing=True), 2: Subset.of_codes([1])},
        {1: Subset.of([(29.5, 33.5)]), 2: Subset.of_codes([0])},
    ]
    for box in boxes:
        inside = torch.stack([subset.contains(x[:, d]) for d, subset in box.items()]).all(0)
        others = [d for d in range(3) if d not in box]
        alike = math.prod([91, 60, 2][d] for d in others)
        probs = density.log_prob(
            codes[inside].index_fill(1, torch.tensor(others).long(), torch.nan)
        )
        wanted, found = float(probs.exp().sum()) / alike, density.box_weights(box, uniforms)
        error = float(found.std()) / math.sqrt(len(found))
        assert wanted > 0
        assert error < 0.15 * wanted
        assert abs(float(found.mean()) - wanted) < 4 * error + 1e-3 * wanted
    mixed = fitted(kind, MIXED, mixed_rows(600, generator))
    nothing = torch.full((40_000, 4), torch.nan, dtype=torch.float64)
    many = torch.rand(len(nothing), 9, generator=generator, dtype=torch.float64)
    groups = VariableGroups(
        MIXED, conditional="auto", num_components=2, encoding="auto", smooth_logits=False
    )
    x = groups.decode(mixed.sample(nothing, many).to(groups.code_dtype))
    uniforms = torch.rand(4000, 9, generator=generator, dtype=torch.float64)
    for box in (
        {0: Subset.of([(-1.0, 0.005)]), 3: Subset.of([(-math.inf, 58.5)])},
        {0: Subset.of([(1.0, 2.45), (2.55, 40.0)]), 1: Subset.of_codes([1, 2])},
        {2: Subset.of([(0.3, 2.2)]), 3: Subset.of([(50.5, 62.5), (70.5, 199.5)])},
        {d: Subset.all_of(MIXED[d]) for d in range(4)},
    ):
        share = float(
            torch.stack([s.contains(x[:, d]) for d, s in box.items()]).all(0).double().mean()
        )
        found = mixed.box_weights(box, uniforms)
        error = float(found.std()) / math.sqrt(len(found))
        assert float(found.mean()) == pytest.approx(
            share, abs=4 * (error + 0.5 / math.sqrt(len(x)))
        )


def test_intervals_without_holes_have_the_rest_of_the_mass():
    intervals, holes = (
        torch.tensor([[-math.inf, 1.0], [2.0, 5.0]]),
        torch.tensor([[0.5, 2.5], [4.0, 9.0]]),
    )
    left = without_holes(intervals.double(), holes.double())
    assert left.tolist() == [[-math.inf, 0.5], [2.5, 4.0]]
    assert without_holes(torch.tensor([[0.0, 1.0]]), torch.tensor([[-1.0, 2.0]])).shape == (0, 2)
    one = torch.ones(1, dtype=torch.float64)
    wanted = Wanted(left, holes.double(), 0.75 * one, 0.25 * one, torch.clone)
    cdf = torch.special.ndtr(torch.tensor([0.5, 2.5, 4.0, 9.0]).double()).tolist()
    room = 1 - (cdf[1] - cdf[0]) - (cdf[3] - cdf[2])
    uniforms = torch.rand(5, 2, dtype=torch.float64)
    found = path_weights(
        [wanted], torch.zeros(5, 1).double(), torch.ones(1, 1, 1).double(), uniforms
    )
    assert torch.allclose(found, 0.25 + 0.75 * (cdf[0] + cdf[2] - cdf[1]) / room * one)
