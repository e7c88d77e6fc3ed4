"""One binned variable from a known density: the two 1D sets of the Berkeley CS294-158 course."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.variables.variable import Kind, Variable

COURSE_SEED = 0
VALID_SEED = 1
NOTE = (
    "train and test are the course's (its first 80 % and the rest); "
    "valid is a further draw from the same generator, a tenth of their size"
)


def load_gaussian(*, seed: int, data_dir: Path) -> Dataset:
    """1000 draws of N(0.4, 0.1) in 20 bins: 800 / 100 / 200; the published ones for any seed."""
    del seed, data_dir
    return _dataset("gaussian_1d", _draw_gaussian, _gaussian_cdf, num_bins=20, num_draws=1_000)


def load_bimodal(*, seed: int, data_dir: Path) -> Dataset:
    """10000 draws, half N(0.3, 0.1), half N(0.8, 0.05), in 100 bins: 8000 / 1000 / 2000."""
    del seed, data_dir
    return _dataset("bimodal_1d", _draw_bimodal, _bimodal_cdf, num_bins=100, num_draws=10_000)


def _dataset(
    name: str,
    draw: Callable[[np.random.RandomState, int], np.ndarray],
    cdf: Callable[[float], float],
    num_bins: int,
    num_draws: int,
) -> Dataset:
    # Edges 0..num_bins-1 on [0, 1]: bin 0 is what lies below 0; the last bin also takes what
    # lies above 1, which the course would number num_bins (it does not occur in its draws).
    edges = np.linspace(0.0, 1.0, num_bins)

    def binned(seed: int, count: int) -> Tensor:
        numbers = np.digitize(draw(np.random.RandomState(seed), count), edges)
        return torch.from_numpy(np.minimum(numbers, num_bins - 1).astype(np.uint8))[:, None]

    x = binned(COURSE_SEED, num_draws)
    num_train = int(0.8 * num_draws)
    below = [0.0, *(cdf(edge) for edge in edges[:-1]), 1.0]
    return Dataset(
        name=name,
        variables=(Variable("x", Kind.ORDINAL, num_bins),),
        train=x[:num_train],
        valid=binned(VALID_SEED, num_draws // 10),
        test=x[num_train:],
        true_probs=torch.tensor(np.diff(below), dtype=torch.float64),
        note=NOTE,
    )


def _draw_gaussian(random: np.random.RandomState, count: int) -> np.ndarray:
    return 0.4 + 0.1 * random.randn(count)


def _draw_bimodal(random: np.random.RandomState, count: int) -> np.ndarray:
    first, second = 0.3 + 0.1 * random.randn(count), 0.8 + 0.05 * random.randn(count)
    return np.clip(np.where(random.rand(count) < 0.5, first, second), 0.0, 1.0)


def _gaussian_cdf(x: float) -> float:
    """P(draw < x)."""
    return _normal_cdf((x - 0.4) / 0.1)


def _bimodal_cdf(x: float) -> float:
    """P(draw < x): what would lie below 0 is clipped to 0, which is not below 0."""
    if x <= 0:
        return 0.0
    return 0.5 * _normal_cdf((x - 0.3) / 0.1) + 0.5 * _normal_cdf((x - 0.8) / 0.05)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
