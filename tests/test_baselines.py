"""Baselines: right on tables that can be summed by hand, normalised, and kept once computed."""

import itertools
import math

import pytest
import torch

from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.baselines import scores
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.labels import Labels
from made_exp.datasets.baselines.tree import ChowLiu, information
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable, binary_variables


def binary(x, test=None, **changes):
    splits = {"train": x, "valid": x, "test": x if test is None else test}
    return Dataset(**{"name": "toy", "variables": binary_variables(x.shape[1])} | splits | changes)


def nlls(dataset):
    """NLL by name of the baseline."""
    return {k: nll for k, nll in scores.compute(dataset).items() if isinstance(nll, float)}


def fitted_tree(x):
    variables = binary_variables(x.shape[1])
    return ChowLiu.fit(Independent.fit(variables, x), x)


def edges_of(tree):
    parents = tree.parents.long().tolist()
    return [(d, parent) for d, parent in enumerate(parents) if parent >= 0]


def all_inputs(num_dims):
    rows = list(itertools.product((0, 1), repeat=num_dims))
    return torch.tensor(rows, dtype=torch.uint8)


def chain(num_rows, num_dims, generator, stay=0.9):
    """A Markov chain that keeps its value with probability `stay`, columns shuffled."""
    x = torch.zeros(num_rows, num_dims, dtype=torch.uint8)
    x[:, 0] = torch.rand(num_rows, generator=generator) < 0.5
    for d in range(1, num_dims):
        kept = torch.rand(num_rows, generator=generator) < stay
        x[:, d] = torch.where(kept, x[:, d - 1], 1 - x[:, d - 1])
    order = torch.randperm(num_dims, generator=generator)
    return x[:, order], order


def test_tree_probabilities_of_all_inputs_sum_to_one(generator):
    x, _ = chain(200, 8, generator)
    log_prob = fitted_tree(x).log_prob(all_inputs(8))
    assert float(log_prob.exp().sum()) == pytest.approx(1, abs=1e-12)


def test_tree_finds_the_chain_that_made_the_data(generator):
    x, order = chain(4000, 12, generator)
    edges = {frozenset((int(order[d]), int(order[p]))) for d, p in edges_of(fitted_tree(x))}
    assert edges == {frozenset((d, d + 1)) for d in range(11)}


def test_tree_scores_the_chain_near_its_entropy(generator):
    x, _ = chain(40_000, 6, generator)
    entropy = math.log(2) + 5 * -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert -fitted_tree(x).log_prob(x).mean().item() == pytest.approx(entropy, abs=0.02)


def test_tree_is_the_best_of_all_trees(generator):
    """Against every spanning tree of 4 nodes (Cayley: 16), by total mutual information."""
    x = (torch.rand(300, 4, generator=generator) < 0.4).to(torch.uint8)
    x[:, 3] = x[:, 0] & x[:, 1]
    labels = torch.stack([1 - x, x], 2).flatten(1).double()
    gains = information(labels.T @ labels, 2 * torch.arange(4))
    pairs = list(itertools.combinations(range(4), 2))
    best = max(
        sum(float(gains[i, j]) for i, j in edges)
        for edges in itertools.combinations(pairs, 3)
        if is_tree(edges)
    )
    found = sum(float(gains[d, p]) for d, p in edges_of(fitted_tree(x)))
    assert found == pytest.approx(best, abs=1e-12)


def test_information_is_that_of_the_pairs_that_are_known():
    """Of two fair coins that agree, and a third that is known in half of the rows."""
    counts = torch.zeros(6, 6, dtype=torch.float64)
    counts[:4, :4] = torch.tensor([[8.0, 0], [0, 8]]).repeat(2, 2)
    counts[4:, :4], counts[:4, 4:] = 2.0, 2.0
    counts[4:, 4:] = torch.eye(2) * 4
    found = information(counts, torch.tensor([0, 2, 4]))
    assert found[0, 1].item() == pytest.approx(math.log(2) - 1 / 32, abs=0.02)
    assert found[0, 2].item() == found[2, 1].item() == pytest.approx(-1 / 16, abs=1e-3)
    assert (found.diagonal() == 0).all()


def test_rare_values_share_a_label(generator):
    """Of a hundred values, and inside it each keeps its own probability."""
    x = (torch.rand(4000, 2, generator=generator).pow(3) * 100).long()
    x[:, 1] = x[:, 0] // 2 + 50 * (torch.rand(4000, generator=generator) < 0.5)
    variables = tuple(Variable(f"x{d}", Kind.CATEGORICAL, 100) for d in range(2))
    independent = Independent.fit(variables, x)
    labels = Labels(independent)
    labels.fit(x, seed=0)
    assert labels.sizes.tolist() == [32, 32]
    torch.testing.assert_close(labels.log_probs.logsumexp(1), torch.zeros(2).double())
    tree = ChowLiu.fit(independent, x)
    total = tree.log_prob(torch.cartesian_prod(torch.arange(100), torch.arange(100)))
    assert total.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert tree.log_prob(x).mean() > independent.log_prob(x).mean() + 1


def is_tree(edges):
    reached = {0}
    for _ in edges:
        reached |= {v for edge in edges if reached & set(edge) for v in edge}
    return len(reached) == 4


def test_tree_is_no_worse_than_independent_variables_and_finite_on_unseen_values(generator):
    x, _ = chain(100, 6, generator)
    x[:, 2] = 0  # never 1 in training
    found = nlls(binary(x, test=all_inputs(6)))
    assert all(math.isfinite(nll) for nll in found.values())
    on_train = nlls(binary(x))
    assert on_train["chow_liu"] < on_train["independent"]


def test_independent_is_laplace_smoothed():
    x = torch.tensor([[1, 0], [1, 0], [0, 0]], dtype=torch.uint8)
    p = [3 / 5, 1 / 5]
    expected = -(2 * math.log(p[0]) + math.log(1 - p[0]) + 3 * math.log(1 - p[1])) / 3
    assert nlls(binary(x))["independent"] == pytest.approx(expected)


def test_missing_values_are_left_out():
    x = torch.tensor([[1.0, 0], [math.nan, 0], [0, math.nan]])
    found = nlls(binary(x))
    expected = -(2 * math.log(0.5) + 2 * math.log(3 / 4)) / 3
    assert found["independent"] == pytest.approx(expected)
    complete = torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8)
    expected = -(2 * math.log(0.5) + 2 * math.log(0.5)) / 3
    assert nlls(binary(complete, test=x))["independent"] == pytest.approx(expected)


def test_joint_table_of_two_variables_sees_their_dependence(generator):
    row = torch.randint(5, (2000, 1), generator=generator, dtype=torch.uint8)
    x = torch.cat([row, row], 1)
    levels = tuple(Variable(name, Kind.ORDINAL, 5) for name in ("row", "column"))
    found = nlls(binary(x, variables=levels))
    assert found["uniform"] == pytest.approx(math.log(25))
    assert found["independent"] == pytest.approx(2 * math.log(5), abs=0.01)
    assert found["histogram"] == pytest.approx(math.log(5), abs=0.01)
    assert "chow_liu" not in found


def test_histogram_sums_to_one():
    x = torch.tensor([[0], [0], [3]], dtype=torch.uint8)
    scored = [
        nlls(binary(x, test=torch.tensor([[k]]), variables=(Variable("x", Kind.ORDINAL, 4),)))[
            "histogram"
        ]
        for k in range(4)
    ]
    assert sum(math.exp(-s) for s in scored) == pytest.approx(1)


def test_real_variables_are_gaussian(generator):
    x = 5 + 2 * torch.randn(20_000, 2, generator=generator)
    variables = tuple(
        Variable(f"x{d}", Kind.REAL, transform=Transform(shift=5.0, scale=2.0)) for d in range(2)
    )
    found = nlls(binary(x, variables=variables))
    entropy = 2 * (0.5 * math.log(2 * math.pi * math.e) + math.log(2))
    names = ("independent", "chow_liu", "copula", "gaussian_mixture")
    assert found == dict.fromkeys(names, pytest.approx(entropy, abs=0.05))


def test_grey_levels_count_as_probabilities(generator):
    """Fitting to grey levels is fitting to infinitely many of their binary draws."""
    grey = torch.randint(256, (60, 5), generator=generator, dtype=torch.uint8)
    draws = torch.rand(2000, 60, 5, generator=generator) * 255 < grey
    drawn = draws.reshape(-1, 5).to(torch.uint8)
    test = all_inputs(5)
    dynamic = Dataset("g", binary_variables(5), grey, test, test, dynamic_binarization=True)
    # 60 examples carry more smoothing than 120000: compare what the smoothing cannot hide.
    many = Dataset("g", binary_variables(5), grey.repeat(2000, 1), test, test)
    object.__setattr__(many, "dynamic_binarization", True)
    expected = nlls(binary(drawn, test=test))
    found = nlls(many)
    assert found["independent"] == pytest.approx(expected["independent"], abs=0.01)
    assert found["chow_liu"] == pytest.approx(expected["chow_liu"], abs=0.02)
    assert set(nlls(dynamic)) == {"independent", "chow_liu"}


def test_single_binary_variable():
    found = nlls(binary(torch.tensor([[0], [1]], dtype=torch.uint8)))
    assert found["independent"] == found["uniform"] == found["histogram"] == math.log(2)


def test_result_is_kept_by_content(tmp_path, monkeypatch, generator):
    x, _ = chain(100, 4, generator)
    simple = {"a": 1.0, "stderr": {"a": 0.5}, "columns": {}}
    first = scores.load_or_compute(binary(x), tmp_path)
    assert first == scores.compute(binary(x))
    calls = []
    monkeypatch.setattr(scores, "compute", lambda dataset: calls.append(dataset.name) or simple)
    assert scores.load_or_compute(binary(x, name="same"), tmp_path) == first
    assert calls == []
    assert scores.load_or_compute(binary(1 - x), tmp_path) == simple
    (file,) = [f for f in (tmp_path / "baselines").iterdir() if "chow" in f.read_text()]
    for damage in ("", "{", "[1]", '{"independent": "x"}', '{"stderr": {"a": "x"}}'):
        file.write_text(damage)
        assert scores.load_or_compute(binary(x), tmp_path) == simple


def test_large_tables_are_quick(generator):
    x = torch.rand(5000, 1500, generator=generator) < 0.1
    dataset = binary(x.to(torch.uint8))
    found = nlls(dataset)
    assert found["chow_liu"] < found["independent"]
    assert len(SPLITS) == 3
