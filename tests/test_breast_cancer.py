"""A small table of real columns, as a notebook has it: our density beside those of scikit-learn.

    pytest -s --slow tests/test_breast_cancer.py

prints mean log-likelihoods of rows kept apart, and the seconds of the processor that fit took.
"""

import resource

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

from made_exp import fit

NUM_TEST, NUM_VALID = 114, 45


def cpu_seconds():
    """Of this process and of those that it has waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def best_by_valid(candidates, train):
    """The best candidate on valid rows, fitted to all; all are of standardised columns."""
    kept, valid = train[NUM_VALID:], train[:NUM_VALID]
    scaler = StandardScaler().fit(kept)
    scores = [one.fit(scaler.transform(kept)).score(scaler.transform(valid)) for one in candidates]
    scaler = StandardScaler().fit(train)
    model = candidates[int(np.argmax(scores))].fit(scaler.transform(train))
    return lambda x: (
        model.score(scaler.transform(x)) / (len(x) if isinstance(model, KernelDensity) else 1)
        - float(np.log(scaler.scale_).sum())
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_small_table_is_told_better_than_by_mixtures_and_kernels(seed):
    x = np.random.default_rng(seed).permutation(load_breast_cancer().data)
    test, train = x[:NUM_TEST], x[NUM_TEST:]
    mixtures = [
        GaussianMixture(count, covariance_type=kind, reg_covar=floor, random_state=0)
        for count in range(1, 9)
        for kind in ("full", "tied", "diag")
        for floor in (1e-6, 1e-3)
    ]
    kernels = [KernelDensity(bandwidth=width) for width in np.geomspace(0.05, 2, 30)]
    rivals = {
        "GaussianMixture": best_by_valid(mixtures, train)(test),
        "KernelDensity": best_by_valid(kernels, train)(test),
    }
    before = cpu_seconds()
    model = fit(train, max_minutes=None, seed=seed)
    used = cpu_seconds() - before
    ours = model.log_prob(test)
    error = ours.std() / len(test) ** 0.5
    told = ", ".join(f"{name} {score:.2f}" for name, score in rivals.items())
    print(f"\nours {ours.mean():.2f} +- {error:.2f} nats, {told}; fit took {used:.1f} CPU seconds")
    assert ours.mean() > max(rivals.values())
