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
NUM_CLASSES, MOST_ONES, LEAST_DISPERSION = 8, 0.1, 10.0


def num_length_classes(lengths: Sequence[float], num_dims: int) -> int:
    """The classes that a table gets by default: 8 where columns are rare words, else none.

    Args:
        lengths: Mean and variance of the number of ones of a row; () where rows are not binary.
        num_dims: Number of variables D.
    """
    if not lengths:
        return 0
    mean, variance = lengths
    is_rare = mean <= MOST_ONES * num_dims and variance > LEAST_DISPERSION * mean
    return NUM_CLASSES if is_rare else 0


def length_edges(train: Tensor, num_classes: int) -> Tensor:
    """The largest number of ones of each class but the last, (K - 1,) rising.

    The first class has a quarter of the rows, the second another, then each half of what is left:
    long rows differ most. Where many rows have the same number, classes may be empty; longer rows
    than any of train are of the last class that is not.

    Args:
        train: (N, D) of 0 and 1.
        num_classes: K >= 1.
    """
    shares = torch.tensor([0.25, *(1 - 0.5**k for k in range(1, num_classes - 1))])
    ones = lengths(train)
    edges = ones.quantile(shares[: num_classes - 1].double(), interpolation="lower")
    return edges.masked_fill(edges == ones.max(), torch.inf)


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
