"""How far samples are from the data: by column, and by the dependence of each pair of columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from made_exp.reporting.fields import Field, bins_of

MAX_ROWS = 5000
_COLUMN_BINS, _PAIR_BINS, _MAX_PAIRED = 20, 8, 60
_CLEARLY = 1.5  # times larger is the z of the samples' pattern that is told instead of the data's
_ROUNDS = 4  # of an iteration that soon converges
_MIN_EXPECTED = 5  # rows of a bin, below which it is counted with others
Record = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """How far samples are from the data.

    Attributes:
        columns: One record a column, in the order of the table.
        pairs: One record a pair of columns, the worst first; of more than 60 columns the 60 whose
            values vary most.
        shares: (2, S) shares of the bins of all columns in the data and in the samples.
    """

    columns: list[Record]
    pairs: list[Record]
    shares: np.ndarray


def compare(data: np.ndarray, samples: np.ndarray, fields: Sequence[Field]) -> Comparison:
    """Compare rows by column and by pair.

    Of a number, `data` and `samples` of a column's record are means (beside them `mean_z`, their
    difference over its standard error, and `deviation`), of a category the shares of the `value`
    that differs most. `distance` is the total variation distance of the shares of about twenty
    bins, in [0, 1]; `z` the normal quantile of a chi-square test of homogeneity, about N(0, 1)
    where both were drawn alike.

    Args:
        data: (n, D) float64, n > 0, NaN where a cell is missing.
        samples: (m, D) alike, m > 0.
        fields: D columns.
    """
    counts = [_count(data[:, d], samples[:, d], field) for d, field in enumerate(fields)]
    shares = [c / np.maximum(c.sum(axis=1, keepdims=True), 1) for _, c in counts]
    columns = [
        {
            "columns": [field.name],
            **_told(data[:, d], samples[:, d], field, counts[d][0], shares[d]),
            "distance": float(np.abs(shares[d][0] - shares[d][1]).sum() / 2),
            "z": _homogeneity(counts[d][1]),
        }
        for d, field in enumerate(fields)
    ]
    chosen = _most_varied(shares)
    paired = [fields[d] for d in chosen]
    pairs = compare_pairs(data[:, chosen], samples[:, chosen], paired)
    return Comparison(columns, pairs, np.concatenate(shares, axis=1))


def _count(
    data: np.ndarray, samples: np.ndarray, field: Field
) -> tuple[tuple[str, ...], np.ndarray]:
    """The bins of one column, and their counts (2, K) in the data and in the samples."""
    size = len(field.names) if field.names else _num_bins(_COLUMN_BINS, data, samples)
    bins = bins_of(np.concatenate([data, samples]), field, max(size, 2))
    both = [_counts(bins.codes(x), len(bins.labels)) for x in (data, samples)]
    return bins.labels, np.stack(both)


def _told(
    data: np.ndarray,
    samples: np.ndarray,
    field: Field,
    labels: Sequence[str],
    shares: np.ndarray,
) -> Record:
    """What is told of one column beside how far apart it is."""
    if field.names is not None:
        worst = int(np.abs(shares[1] - shares[0]).argmax())
        value, of_data, of_samples = labels[worst], *map(float, shares[:, worst])
        return {"value": value, "data": of_data, "samples": of_samples}
    known = [x[~np.isnan(x)] for x in (data, samples)]
    # The squares of numbers such as 1e300 are too large; powers of two leave their digits alone.
    power = int(np.frexp(np.abs(np.concatenate(known)).max(initial=0.0))[1])
    known = [np.ldexp(x, -power) for x in known]
    means = [float(np.ldexp(x.mean(), power)) if len(x) else None for x in known]
    deviations = [float(np.ldexp(x.std(), power)) if len(x) else None for x in known]
    deviation = {"data": deviations[0], "samples": deviations[1]}
    mean_z = _z_of_means(*known) if all(map(len, known)) else 0.0
    return {"data": means[0], "samples": means[1], "mean_z": mean_z, "deviation": deviation}


def _z_of_means(data: np.ndarray, samples: np.ndarray) -> float:
    error = np.sqrt(data.var() / len(data) + samples.var() / len(samples))
    return float((samples.mean() - data.mean()) / error) if error > 0 else 0.0


def _num_bins(most: int, data: np.ndarray, samples: np.ndarray, each: int = 10) -> int:
    """`most`, or fewer (at least 2) where a bin would hold fewer than `each` rows."""
    return min(most, max(2, min(len(data), len(samples)) // each))


def _counts(codes: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(codes[codes >= 0], minlength=size).astype(np.float64)


def _homogeneity(counts: np.ndarray) -> float:
    """Normal quantile of chi-square = sum (o - e)^2 / e of counts (2, K), rare bins together.

    By Wilson and Hilferty: (chi2 / df)^(1/3) is about N(1 - 2 / (9 df), 2 / (9 df)).
    """
    total = counts.sum(axis=1, keepdims=True)
    expected = total * counts.sum(axis=0) / max(counts.sum(), 1)
    is_rare = expected.min(axis=0) < _MIN_EXPECTED
    merged = [
        np.column_stack([x[:, ~is_rare], x[:, is_rare].sum(axis=1)]) for x in (counts, expected)
    ]
    observed, expected = (x[:, merged[1].min(axis=0) > 0] for x in merged)
    df = observed.shape[1] - 1
    if df < 1:
        return 0.0
    ratio = float(((observed - expected) ** 2 / expected).sum()) / df
    spread = 2 / (9 * df)
    return (ratio ** (1 / 3) - (1 - spread)) / spread**0.5


def compare_pairs(
    data: np.ndarray, samples: np.ndarray, fields: Sequence[Field], *, seed: int = 0
) -> list[Record]:
    """One record a pair of columns, the worst first.

    A pattern of dependence is g(a, b) = log p(a, b) / (p(a) p(b)) of bins a, b. It is learned
    from one half of the rows and measured by its mean in the other half (they take turns) and in
    the other table, weighted to have the same marginals: of rows drawn alike the means agree but
    for chance, however strong the dependence. `data` and `samples` are these means in nats, about
    the mutual information in the table that the pattern is of, the data or, where it shows clearly
    more, the samples; `z` their difference over its standard error.

    Args:
        data: (n, D) float64, NaN where a cell is missing.
        samples: (m, D) alike.
        fields: D columns.
        seed: Of the halves.
    """
    generator = np.random.default_rng(seed)
    size = math.isqrt(_num_bins(_PAIR_BINS**2, data, samples))
    codes = np.split(_codes(np.concatenate([data, samples]), fields, max(size, 2)), [len(data)])
    halves = [[_joint(half) for half in np.array_split(generator.permutation(x), 2)] for x in codes]
    found = [_pattern(halves[0], halves[1]), _pattern(halves[1], halves[0])[[1, 0, 2]]]
    found[1][2] *= -1
    is_second = np.abs(found[1][2]) > _CLEARLY * np.abs(found[0][2])
    of_data, of_samples, z = np.where(is_second, found[1], found[0])
    first, second = np.triu_indices(len(fields), 1)
    order = np.argsort(-np.abs(z[first, second]), kind="stable")
    names = [field.name for field in fields]
    return [
        {
            "columns": [names[a], names[b]],
            "data": float(of_data[a, b]),
            "samples": float(of_samples[a, b]),
            "z": float(z[a, b]),
        }
        for a, b in zip(first[order], second[order], strict=True)
    ]


def _codes(x: np.ndarray, fields: Sequence[Field], size: int) -> np.ndarray:
    """Bins (n, D) of x (n, D), about `size` a column; -1 for missing cells without a bin."""
    columns = zip(x.T, fields, strict=True)
    return np.stack([bins_of(column, f, size).codes(column) for column, f in columns], axis=1)


def _most_varied(shares: Sequence[np.ndarray]) -> list[int]:
    """The columns whose data have the largest entropy, in their order; shares (2, K) of each."""
    entropies = [-(p * np.log(np.where(p > 0, p, 1.0))).sum() for p, _ in shares]
    return sorted(np.argsort(-np.array(entropies), kind="stable")[:_MAX_PAIRED].tolist())


def _joint(codes: np.ndarray) -> np.ndarray:
    """Counts (C, C, K, K) of the bins of each pair of columns of codes (n, C)."""
    num_rows, num_columns = codes.shape
    size = _PAIR_BINS + 2
    flags = (codes[..., None] == np.arange(size)).reshape(num_rows, num_columns * size)
    flat = flags.astype(np.float32)
    joint = (flat.T @ flat).astype(np.float64)
    return joint.reshape(num_columns, size, num_columns, size).swapaxes(1, 2)


def _pattern(own: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    """Means of the patterns of `own`, there and in `other`, and z of their difference: (3, C, C).

    Args:
        own: Counts (C, C, K, K) of two halves of the rows.
        other: The same of the other table.
    """
    here, there = own[0] + own[1], other[0] + other[1]
    raked = _raked(there, here)
    both = here + raked * _total(there)[..., None, None]
    size = 1 / np.maximum((raked**2 / np.maximum(there, 1)).sum(axis=(2, 3)), 1e-12)
    patterns = [_log_ratio(half) for half in own]
    interactions = [_without_marginals(pattern, here) for pattern in patterns]
    means, difference, variance = np.zeros((2, *size.shape)), 0.0, 0.0
    for pattern, interaction, held_out in zip(patterns, interactions, own[::-1], strict=True):
        means += np.stack([_mean_of(pattern, held_out), (pattern * raked).sum(axis=(2, 3))]) / 2
        there_part = (interaction * raked).sum(axis=(2, 3))
        difference = difference + (there_part - _mean_of(interaction, held_out)) / 2
        variance = variance + _variance(interaction, both) / _total(held_out) / 4
    variance = variance + _variance((interactions[0] + interactions[1]) / 2, both) / size
    z = np.where(variance > 1e-12, difference / np.sqrt(np.maximum(variance, 1e-12)), 0.0)
    return np.stack([*means, z])


def _raked(joint: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Shares of the cells of counts (C, C, K, K), made to have the marginals of `target`.

    So columns that differ by themselves do not count as dependence that differs.
    """
    shares = joint / _total(joint)[..., None, None]
    wanted = target / _total(target)[..., None, None]
    for _ in range(_ROUNDS):
        for axis in (2, 3):
            sums = shares.sum(axis=axis, keepdims=True)
            ratio = wanted.sum(axis=axis, keepdims=True) / np.where(sums > 0, sums, 1.0)
            shares = shares * ratio
    total = shares.sum(axis=(2, 3), keepdims=True)
    return shares / np.where(total > 0, total, 1.0)


def _without_marginals(pattern: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """A pattern (C, C, K, K) less what depends on one of both bins alone: its interaction."""
    for _ in range(_ROUNDS):
        for axis in (2, 3):
            sums = (pattern * joint).sum(axis=axis, keepdims=True)
            pattern = pattern - sums / np.maximum(joint.sum(axis=axis, keepdims=True), 1)
    return pattern


def _log_ratio(joint: np.ndarray) -> np.ndarray:
    """Log p(a, b) / (p(a) p(b)) of counts (C, C, K, K), smoothed towards 0 by K counts."""
    total = _total(joint)[..., None, None]
    rows, columns = joint.sum(axis=3, keepdims=True), joint.sum(axis=2, keepdims=True)
    expected = rows * columns / total
    weight = joint.shape[-1] / total
    ratio = (joint + weight * expected) / np.maximum((1 + weight) * expected, 1e-300)
    return np.log(np.where(expected > 0, ratio, 1.0))


def _total(joint: np.ndarray) -> np.ndarray:
    return np.maximum(joint.sum(axis=(2, 3)), 1)


def _mean_of(pattern: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Mean (C, C) of a pattern (C, C, K, K) over counted rows."""
    mean: np.ndarray = (pattern * joint).sum(axis=(2, 3)) / _total(joint)
    return mean


def _variance(pattern: np.ndarray, joint: np.ndarray) -> np.ndarray:
    return np.maximum(_mean_of(pattern**2, joint) - _mean_of(pattern, joint) ** 2, 0)
