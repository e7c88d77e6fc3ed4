"""Scores in [0, 1] of how alike two tables are: of each column, and of each pair of columns."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from made_exp.reporting.fields import Field, bins_of

MAX_PAIRED = 60
_BINS = 10  # of a number that is paired with a category


def column_scores(data: np.ndarray, other: np.ndarray, fields: Sequence[Field]) -> np.ndarray:
    """1 - distance of the distributions of each column, (D,).

    The distance is the largest of that of the shares of missing cells and, of the cells that are
    there, the Kolmogorov-Smirnov statistic max |F - G| of a number, the total variation distance
    sum |p - q| / 2 of a category.

    Args:
        data: (n, D) float64, NaN where missing, n > 0.
        other: (m, D) alike.
        fields: D columns.
    """
    return np.array([_column(data[:, d], other[:, d], f) for d, f in enumerate(fields)])


def _column(data: np.ndarray, other: np.ndarray, field: Field) -> float:
    missing = abs(np.isnan(data).mean() - np.isnan(other).mean()) * field.is_missing_a_value
    known = [x[~np.isnan(x)] for x in (data, other)]
    if not all(map(len, known)):
        return 1.0 - float(missing)
    values = np.unique(np.concatenate(known))
    below = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in known]
    difference = below[0] - below[1]
    distance = np.abs(difference).max()
    if field.names is not None:
        distance = np.abs(np.diff(difference, prepend=0.0)).sum() / 2
    return 1.0 - float(max(distance, missing))


def pair_scores(
    data: np.ndarray, other: np.ndarray, fields: Sequence[Field]
) -> list[tuple[float, int, int]]:
    """How alike the dependence of each pair of columns is, with their numbers, the worst first.

    Of two numbers 1 - |r - s| / 2 with Spearman's rank correlations r and s; of other pairs
    1 - total variation distance of the tables of contingency, numbers in ranges of tenths. Of more
    than 60 columns the first 60. Arguments are those of `column_scores`.
    """
    chosen = list(range(min(len(fields), MAX_PAIRED)))
    is_number = [fields[d].names is None for d in chosen]
    correlations = [_correlations(x[:, chosen]) for x in (data, other)]
    bins = [bins_of(data[:, d], fields[d], _BINS) for d in chosen]
    codes = [np.stack([b.codes(x[:, d]) for d, b in enumerate(bins)], 1) for x in (data, other)]
    found = []
    for a, b in combinations(chosen, 2):
        if is_number[a] and is_number[b]:
            score = 1.0 - abs(correlations[0][a, b] - correlations[1][a, b]) / 2
        else:
            shape = len(bins[a].labels), len(bins[b].labels)
            first, second = (_contingency(x[:, a], x[:, b], shape) for x in codes)
            score = 1.0 - np.abs(first - second).sum() / 2
        found.append((float(score), a, b))
    return sorted(found)


def _correlations(x: np.ndarray) -> np.ndarray:
    """Spearman's correlations (C, C) of columns (n, C); 0 where one is constant.

    A missing cell counts as a middle rank.
    """
    ranks = np.stack([_centred_ranks(column) for column in x.T], 1)
    norms = np.sqrt((ranks**2).sum(0))
    scaled = ranks / np.where(norms > 0, norms, 1.0)
    return scaled.T @ scaled


def _centred_ranks(x: np.ndarray) -> np.ndarray:
    """Ranks (n,) of numbers less their mean, the mean of equal ones; 0 where missing."""
    ranks, known = np.zeros(len(x)), ~np.isnan(x)
    _, inverse, counts = np.unique(x[known], return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    ranks[known] = (ends - (counts - 1) / 2)[inverse] - (known.sum() + 1) / 2
    return ranks


def _contingency(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Shares (A, B) of the bins of two columns in the rows that have both."""
    both = (first >= 0) & (second >= 0)
    counts = np.bincount(first[both] * shape[1] + second[both], minlength=shape[0] * shape[1])
    return counts / max(both.sum(), 1)
