"""Transforms, atoms and knots found in train, on simulated columns with known truth."""

import sys

import numpy as np
import polars as pl
import pytest
import torch
from builders import load_dataset
from hypothesis import example, given, settings
from hypothesis import strategies as st

from made_exp.datasets.base import SPLITS, Dataset, nll_as_written
from made_exp.datasets.baselines.scores import compute
from made_exp.datasets.table.atoms import MAX_ATOMS, find_atoms, lattice
from made_exp.datasets.table.digits import Fineness, fineness, last_digit
from made_exp.datasets.table.fitting import (
    Limits,
    bent,
    choose_transform,
    fit_numbers,
)
from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.numbers import NumberFormat
from made_exp.datasets.table.pooling import MAX_FREE, pool_rare
from made_exp.datasets.table.schema import TableSchema, fit_table
from made_exp.variables.numbers import ATOM, Numbers
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable

RANDOM = np.random.RandomState(0)


def spiky(values, spike, share):
    return np.where(RANDOM.rand(len(values)) < share, spike, values)


@pytest.mark.parametrize(
    ("values", "step", "atoms"),
    [
        (spiky(np.round(RANDOM.exponential(1000, 5000)), 0, 0.9), 1, [0]),
        (spiky(np.round(40 + 12 * RANDOM.randn(5000)), 40, 0.5), 1, [40]),
        (spiky(np.round(RANDOM.randn(3000), 3), -9999, 0.1), 1e-3, [-9999]),
        (spiky(RANDOM.randn(1000), 0.5, 0.02), 1e-12, [0.5]),
        (np.minimum(RANDOM.exponential(1, 1000), 2), 1e-12, [2]),
    ],
)
def test_spikes_are_atoms(values, step, atoms):
    assert find_atoms(values, step).tolist() == atoms


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (RANDOM.randn(3000), 1e-12),
        (np.round(40 + 12 * RANDOM.randn(4000)), 1),
        (np.round(RANDOM.randn(100000), 2), 1e-2),
        (25 * np.round(160 + 30 * RANDOM.randn(300)), 1),
        (RANDOM.poisson(3, 800).astype(float), 1),
        (np.floor(RANDOM.exponential(10, 3000)), 1),
        (RANDOM.randint(0, 60, 5000).astype(float), 1),
    ],
)
def test_ties_of_rounded_smooth_data_are_no_atoms(values, step):
    assert len(find_atoms(values, step)) == 0


def test_a_narrow_cluster_of_few_rows_is_no_atom():
    rng = np.random.RandomState(0)
    for _ in range(20):
        narrow, wide = 1.46 + 0.17 * rng.randn(35), 4.9 + 0.8 * rng.randn(70)
        assert len(find_atoms(np.round(np.concatenate([narrow, wide]), 1), 0.1)) == 0


def test_few_values_of_many_rows_are_a_free_table():
    values = np.round(40 + 12 * np.random.RandomState(3).randn(40000))
    distinct, counts = np.unique(values, return_counts=True)
    assert find_atoms(values, 1).tolist() == distinct[counts >= 10].tolist()
    assert len(find_atoms(values, 1, most=8)) == 0  # where columns are many


def test_false_atoms_are_rare():
    rng = np.random.RandomState(1)
    found = [len(find_atoms(np.round(10 * rng.randn(300)), 1)) for _ in range(200)]
    assert sum(found) <= 2


def test_atoms_are_bounded_and_rising():
    values = np.repeat(np.cumsum(RANDOM.randint(50, 100, 400)), 50).astype(float)
    atoms = find_atoms(np.concatenate([values, RANDOM.rand(50) * 1e4]), 1e-9)
    assert len(atoms) == MAX_ATOMS
    assert (np.diff(atoms) > 0).all()


def test_lattice_is_the_common_step():
    assert lattice(np.array([100.0, 350.0, 375.0]), 1) == 25
    assert lattice(np.array([0.1, 0.3, 0.7]), 0.1) == 2
    assert lattice(np.array([0.0, 1e300]), 1) == 1


def likelihood(values, transform):
    """Mean log-density of values under a normal z."""
    x = torch.from_numpy(values)
    z = transform.forward(x)
    normal = torch.distributions.Normal(z.mean(), z.std(correction=0))
    return float((normal.log_prob(z) + transform.log_slope(x)).mean())


def test_slopes_are_those_of_autograd_for_every_choice():
    for values in (RANDOM.randn(500), np.exp(2 * RANDOM.randn(500)), RANDOM.standard_cauchy(500)):
        transform = choose_transform(values, 1e-9)
        x = torch.from_numpy(values).requires_grad_()
        (slope,) = torch.autograd.grad(transform.forward(x).sum(), x)
        torch.testing.assert_close(transform.log_slope(x).detach(), slope.log())
        torch.testing.assert_close(transform.inverse(transform.forward(x)), x)
        assert np.allclose(bent(values, transform), transform.forward(x).detach())


def test_normal_values_stay_nearly_straight_wherever_they_are():
    z = RANDOM.randn(1000)
    for shift in (0.0, 1e9):
        fit = fit_numbers(z + shift, fine=Fineness(1e-7))
        assert fit.transform.bend > 5
        assert np.abs(bent(z + shift, fit.transform) - (z - z.mean()) / z.std()).max() < 0.2


def test_a_logarithm_is_found_for_positive_columns():
    values = np.exp(2 * RANDOM.randn(3000))
    straight = Transform(shift=values.mean(), scale=values.std())
    transform = choose_transform(values, 1e-9)
    exact = -2 * 0.5 * 0 - np.log(2) - 0.5 * np.log(2 * np.pi * np.e)  # of the log-normal
    assert likelihood(values, transform) > likelihood(values, straight) + 1
    assert likelihood(values, transform) == pytest.approx(exact - np.log(values).mean(), abs=0.1)


@pytest.mark.parametrize("outlier", [1e6, 1e22, 1e300, -1e22])
def test_one_far_outlier_leaves_the_others_apart(outlier):
    values = np.append(RANDOM.randn(1000), outlier)
    z = bent(values, fit_numbers(values, fine=Fineness(1e-12)).transform)
    assert np.isfinite(z).all()
    assert z[:-1].std() > 0.01


@settings(deadline=None, max_examples=50)
@example([0.0, 2.2e-309], 1.0)
@example([1e-308, 2e-308, 3e-308], 0.01)
@example([9e-323, 1e-322, 1.8e-322, 4.4e-322], 5e-324)
@example([1e292, 1e292, -sys.float_info.max], 1e-9)
@example([sys.float_info.max, sys.float_info.max, -sys.float_info.max], 1.0)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30),
    st.sampled_from([1e-9, 0.01, 1.0]),
)
def test_any_finite_values_have_a_transform(values, step):
    values = np.array(values, dtype=float)
    fit = fit_numbers(values, fine=Fineness(step))
    z = bent(values, fit.transform)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(fit.transform.forward(torch.from_numpy(values)), z)
    assert all(a < b for a, b in zip(fit.knots, fit.knots[1:], strict=False))


def test_knots_are_quantiles_of_z_and_few_where_columns_are_many():
    fit = fit_numbers(RANDOM.randn(5000), fine=Fineness(1e-9))
    assert len(fit.knots) == 16
    assert fit.knots[0] == pytest.approx(-1.56, abs=0.1)
    assert [Limits.among(n).knots for n in (1, 64, 129)] == [16, 8, 0]
    assert [Limits.among(n).atoms for n in (1, 64, 1000)] == [128, 32, 8]
    assert len(fit_numbers(np.repeat([1.0, 2, 3, 4], 2), fine=Fineness(1)).knots) == 2


def test_rare_values_share_a_pool_with_those_never_seen():
    pool = pool_rare({"a": 50, "b": 40, "c": 2, "d": 1, "e": 1})
    assert pool.values == ("a", "b", "c", "d", "e")
    assert sum(pool.shares) == pytest.approx(1)
    assert len(pool.shares) == 4
    assert pool.reserve * pool.shares[-1] == pytest.approx(0.5 / 94)
    assert pool.shares[0] > pool.shares[1] == pool.shares[2]


def test_without_rare_values_half_a_row_is_kept():
    pool = pool_rare({"a": 50, "b": 50})
    assert (pool.shares, pool.reserve) == ((1.0,), 0.005)


def test_the_chance_of_new_values_is_that_of_good_and_turing():
    rng = np.random.RandomState(0)
    draws = rng.zipf(1.5, 4000)
    train, test = draws[:2000], draws[2000:]
    values, counts = np.unique(train, return_counts=True)
    pool = pool_rare(dict(zip(map(str, values), counts.tolist(), strict=True)))
    rare = sum(counts[counts < 3])
    claimed = pool.shares[-1] * rare / 2000
    assert claimed == pytest.approx(np.isin(test, values, invert=True).mean(), rel=0.4)


def test_the_most_frequent_values_keep_their_own_probability():
    pool = pool_rare({str(i): 1000 - i for i in range(600)})
    assert len(pool.shares) == 600 - MAX_FREE + 1
    assert pool.values[:3] == ("0", "1", "2")


@pytest.mark.parametrize(
    ("cells", "digit"),
    [
        (["1.25", "300.5", "7"], 0.01),
        (["1.234e-01", "5.678e-01"], 1e-4),
        (["1e-05", "0.25", "0.5"], 0.01),
        (["12", "345"], 1.0),
        (["0.12345678901234567", "0.9876543210987654"], np.spacing(0.98)),
    ],
)
def test_the_last_digit_is_worth_what_is_written(cells, digit):
    texts = pl.Series(cells)
    form = NumberFormat.of_texts(texts)
    values = form.parse(texts).cast(pl.Float64).to_numpy()
    assert last_digit(form, values) == pytest.approx(digit)


def test_wide_whole_numbers_have_a_least_deviation(tmp_path):
    """A cell of seconds is less than float32 can tell: the classes of a table stand it."""
    rng = np.random.RandomState(0)
    rows = [f"{1700000000 + rng.randint(31 * 10**6)},{rng.randn():.3f}" for _ in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["at,v", *rows]) + "\n")
    found = compute(load_dataset("table", seed=0, data_dir=tmp_path, path=str(tmp_path / "t.csv")))
    assert all(np.isfinite(nll) for nll in found.values() if isinstance(nll, float))
    assert "gaussian_mixture" in found


def computed(values):
    form = NumberFormat.of_texts(pl.Series(values).cast(pl.String))
    return fineness(form, values)


def test_computed_numbers_that_repeat_are_as_fine_as_they_lie_apart():
    ages = np.random.RandomState(0).randint(20, 80, 300)
    scaled = (ages - ages.mean()) / ages.std()
    step, digit, _ = computed(scaled)
    assert step == pytest.approx(1 / ages.std())
    assert digit < 1e-15
    odd = np.append(scaled, [scaled[0] + 0.001] * 3)  # such as a mean in place of missing cells
    assert computed(odd).resolution == pytest.approx(step)


def test_a_spike_does_not_say_how_far_the_others_lie_apart():
    gains = np.log1p(np.where(np.arange(400) < 350, 0, np.arange(400) ** 2.0))
    others = gains[350:]  # 12 from 0 to the next
    assert others.std() / 20 < computed(gains).resolution <= others.std() / 10


@pytest.mark.parametrize("spike", [-9999.0, -99.0, 1e4, 2.0**31 - 1, 1e12])
@pytest.mark.parametrize("share", [0.01, 0.2])
def test_a_spike_far_from_computed_numbers_is_an_atom_and_leaves_them_as_they_are(spike, share):
    random = np.random.RandomState(0)
    values = np.where(random.rand(1500) < share, spike, random.randn(1500))
    fine = computed(values)
    assert 0.05 < fine.resolution < 0.11  # of a deviation of one
    assert fit_numbers(values, fine=fine).atoms == (spike,)


@pytest.mark.parametrize(
    "values",
    [
        np.log(np.arange(1500) % 5 + 1),
        (np.arange(800) % 9 - 4) / 3**0.5,
        np.arange(344) % 4 / 8 + 0.125,
        np.arange(400) % 4 / 3,
    ],
)
def test_few_computed_numbers_are_levels(values):
    fine = computed(values)
    assert fine.digit is not None
    assert fit_numbers(values, fine=fine).atoms == tuple(np.unique(values))
    assert not fit_numbers(np.append(values, np.random.RandomState(0).randn(300)), fine=fine).echoes


@pytest.mark.parametrize("magnitudes", [30, 60, 300])
def test_computed_numbers_of_many_magnitudes_are_known_by_significant_digits(magnitudes):
    """As p-values are: no last digit serves 0.5 and 1e-40."""
    uniforms = np.random.RandomState(0).rand(1500)
    values = 10.0 ** -(uniforms * magnitudes)
    fine = computed(values)
    assert fine.grows_from is not None
    found = fit_numbers(values, fine=fine)
    z = bent(values, found.transform)
    assert abs(np.corrcoef(z, uniforms)[0, 1]) > 0.97  # nearly its logarithm
    assert computed(uniforms).grows_from is None


def test_what_rounding_left_of_zero_is_no_magnitude():
    months = np.sin(2 * np.pi * (np.arange(1200) % 12) / 12)  # 1e-16 where it is 0
    fine = computed(months)
    assert fine.grows_from is None
    assert len(fit_numbers(months, fine=fine).atoms) >= 7


def test_draws_of_the_widest_range_have_a_density():
    variable = Variable("x", Kind.REAL, transform=Transform(0.0, 1e-300, 300.0, 200.0))
    numbers = Numbers([variable]).of(0)
    z = torch.linspace(-5, 5, 101, dtype=torch.float64)
    x = numbers.inverse(z)
    assert torch.isfinite(x).all()
    assert torch.isfinite(numbers.log_slopes(x)).all()
    torch.testing.assert_close(numbers.forward(x), z.clamp(max=(710 - 300) / 200))


def test_numbers_computed_in_single_precision_are_known_too():
    ages = np.random.RandomState(0).randint(20, 80, 300)
    scaled = ((ages - ages.mean()) / ages.std()).astype(np.float32)
    frame = pl.DataFrame({"age": scaled, "old": scaled > 0})
    (age, _) = TableSchema.fit(raw_table(frame), np.arange(300)).variables
    assert age.resolution == pytest.approx(1 / ages.std(), rel=1e-5)


@pytest.mark.parametrize("type_", [np.float64, np.float16])
def test_whole_numbers_divided_by_a_power_of_two_were_computed(type_):
    counts = np.random.RandomState(0).poisson(9, 300)
    values = (counts / 64).astype(type_).astype(np.float64)
    assert computed(values) == Fineness(1 / 64, 1e-6)
    assert computed(np.round(counts / 61, 6)) == Fineness(1e-6)  # rounded to so many decimals


def test_computed_numbers_without_repetition_are_known_to_their_last_digit():
    values = np.random.RandomState(0).randn(300)
    assert computed(values) == Fineness(last_digit(NumberFormat(style="shortest"), values))


def test_all_that_lies_in_the_cell_of_a_computed_spike_counts_as_it():
    variable = Variable("x", Kind.REAL, atoms=(0.0, 1.0), resolution=0.2, digit=1e-16)
    numbers = Numbers([variable]).of(0)
    x = torch.tensor([-0.09, 0.0, 0.11, 0.91], dtype=torch.float64)
    assert (numbers.encode(x) == ATOM - torch.tensor([0, 0, 0, 1])).tolist() == [1, 1, 0, 1]


def significant(style, source):
    """1200 numbers over twelve powers of ten with three digits each, two of them often."""
    values = 10 ** source.uniform(-9, 3, 1000)
    return [format(v, style) for v in (*values, *[1.23e-9] * 100, *[250.0] * 100)]


@pytest.mark.parametrize("style", [".2e", ".3g"])
def test_numbers_with_so_many_digits_are_finer_where_they_are_small(style):
    texts = pl.Series("x", significant(style, np.random.RandomState(0)), dtype=pl.String)
    raw = raw_table(pl.DataFrame({"x": texts, "y": ["a", "b"] * 600}))
    table = fit_table(raw, {"train": np.arange(1200)})
    (x, _) = table.schema.variables
    assert {1.23e-9, 250.0} <= set(x.atoms)
    values = torch.tensor([1.23e-9, 9.99e-5, 250.0, 999.0, -0.5, 0.0], dtype=torch.float64)
    cells = torch.tensor([1e-11, 1e-7, 1.0, 1.0, 1e-3, 1e-11], dtype=torch.float64)
    torch.testing.assert_close(x.log_cells(values).exp(), cells, rtol=1e-6, atol=0)
    rows = torch.tensor(table.x[:, :1])
    dataset = Dataset.of_splits("x", (x,), dict.fromkeys(SPLITS, rows), schema={})
    mean = np.log(10) * (np.floor(np.log10(table.values[0]) + 1e-9) - 2).mean()
    assert nll_as_written(dataset, "test", 5.0) == pytest.approx(5.0 - mean)


def test_cells_of_growing_width_lie_end_to_end():
    fine = Fineness(0.01, None, 1.0)
    values = np.array([0.0, 0.5, 1.0, 9.99, 10.0, 99.9, 100.0, 101.0, -20.0])
    assert fine.places(values) == pytest.approx([0, 50, 100, 999, 1000, 1899, 1900, 1901, -1100])
    assert fine.widths(values) == pytest.approx([0.01] * 4 + [0.1, 0.1, 1, 1, 0.1])


def test_small_numbers_with_so_many_decimals_are_no_finer_than_others():
    values = np.round(np.random.RandomState(0).lognormal(0, 3, 2000), 5)
    texts = [str(v) for v in values[values > 0]] + ["1e-05"]
    form = NumberFormat.of_texts(pl.Series(texts))
    assert form.style == "shortest"
    assert fineness(form, np.array(texts, float)).grows_from is None


@pytest.mark.parametrize("digit", [0.0, 0.1, -1.0, 0.2])
def test_a_last_digit_is_finer_than_cells(digit):
    with pytest.raises(ValueError, match=f"digit of 'x' must be > 0 .*, got {digit}"):
        Variable("x", Kind.REAL, resolution=0.1, digit=digit)


def test_what_tells_datasets_apart_is_as_it_was_before_there_were_cells():
    """Runs that were begun then go on: a fingerprint is of what variables print."""
    variable = Variable("x", Kind.REAL, resolution=0.1)
    assert "digit" not in repr(variable)
    content = variable.to_dict()
    del content["digit"]
    assert Variable.from_dict(content) == variable


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_what_is_owed_is_transformed_as_what_is_owned(shift):
    values = np.random.default_rng(0).exponential(100, 2000) + shift
    fine = Fineness(0.01)
    owned, owed = (fit_numbers(x, fine=fine).transform for x in (values, -values))
    assert (owed.centre, owed.bend, owed.scale) == pytest.approx((0, owned.bend, owned.scale))
    assert owed.shift == pytest.approx(-owned.shift)
    assert owned.bend < 100
