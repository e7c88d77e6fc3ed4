"""Classes of binary rows by how many ones they have, a latent variable that comes first.

    p(x) = sum_k pi_k p(x | k),

where pi_k is the share of class k in train. In training the class of a row is known, so that
each step costs what it costs without classes; a network that knows it stays with the number of
ones of its class where it draws freely, and does not drift to the shorter rows that each of its
conditionals would allow.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

# Rare words: few of the columns are one, and rows differ far more in length than by chance.
PRIOR_ROWS = 20
MOST_ONES = 0.1
# Classes by the variance of lengths above so many means; below the last, networks lose by any.
NUM_CLASSES = ((10.0, 16), (4.0, 8))


def num_length_classes(lengths: Sequence[float], num_dims: int) -> int:
    """The classes that a table gets by default: 16 or 8 where columns are rare words, else none.

    Args:
        lengths: Mean and variance of the number of ones of a row; () where rows are not binary.
        num_dims: Number of variables D.
    """
    if not lengths:
        return 0
    mean, variance = lengths
    if mean > MOST_ONES * num_dims:
        return 0
    return next((classes for least, classes in NUM_CLASSES if variance > least * mean), 0)


def length_edges(train: Tensor, num_classes: int) -> Tensor:
    """The largest number of ones of each class but the last, (K - 1,) rising.

    The first class has the shortest quarter of the rows; the longest row of each other is longer
    than that of the one before by the same factor, up to the longest of all: rare long rows, which
    differ most, have classes of their own. Where no row has such a number, classes are empty, and
    no row is of them.

    Args:
        train: (N, D) of 0 and 1.
        num_classes: K >= 1.
    """
    known = lengths(train).sort().values
    shortest, longest = known.quantile(0.25, interpolation="lower"), known[-1]
    steps = torch.linspace(0, 1, num_classes, dtype=torch.float64)[:-1]
    edges = (1 + shortest) * ((1 + longest) / (1 + shortest)) ** steps - 1
    edges = known[torch.searchsorted(known, edges + 1e-6, right=True) - 1]  # such as rows have
    return edges.masked_fill(edges == longest, torch.inf)


def class_log_odds(train: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """By how much the log-odds of each column differ in each class, (K, D) float32.

    A class counts its own rows, and `PRIOR_ROWS` more, in which the odds of all columns are those
    of all rows times what its rows are longer. Without this start, classes of few rows are learnt
    late, and draws of them are too short.

    Args:
        train: (N, D) of 0 and 1.
        labels: (N,) int64 in 0..K-1.
        num_classes: K.
    """
    rows = torch.bincount(labels, minlength=num_classes).double()
    ones = torch.zeros(num_classes, train.shape[1]).index_add_(0, labels, train.float()).double()
    shares = (ones.sum(0) + 0.5) / (len(train) + 1)
    longer = (ones.sum(1) + shares.sum()) / (rows + 1) / shares.sum()
    odds = shares / (1 - shares) * longer[:, None]
    own = (ones + PRIOR_ROWS * odds / (1 + odds)) / (rows + PRIOR_ROWS)[:, None]
    return (own.logit() - shares.logit()).float()


def length_labels(x: Tensor, edges: Tensor) -> Tensor:
    """The classes (N,) int64 in 0..K-1 of rows x (N, D), by edges (K - 1,)."""
    return torch.searchsorted(edges, lengths(x), right=False)


def lengths(x: Tensor) -> Tensor:
    """Numbers of ones (N,) float64 of rows (N, D)."""
    return x.sum(1, dtype=torch.float64)
