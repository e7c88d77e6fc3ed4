"""The best tree of binary variables."""

import math

import torch
from torch import Tensor

_ROWS = 8192
# Added to each of the four cells of a pair: almost maximum likelihood, but never log 0.
PAIR_COUNT = 0.01


class ChowLiuTree:
    """The tree of largest likelihood over binary variables, found exactly.

    P(x) = P(x_root) prod_d P(x_d | x_parent(d)) with the maximum spanning tree over the mutual
    informations (Chow and Liu 1968). PAIR_COUNT is added to the count of each of the four cells of
    a pair, and to that of a single variable in agreement.
    """

    def __init__(self, train: Tensor) -> None:
        """Fit to 0/1 rows, or probabilities of 1 in [0, 1], of shape (N, D), D >= 2."""
        joint = _pair_probs(train)
        self.information = _mutual_information(joint)
        self.parents = _maximum_spanning_tree(self.information)
        self._conditional = self._tables(joint)

    def _tables(self, joint: Tensor) -> Tensor:
        """Log P(x_d = b | x_parent = a) as (D, 2, 2) [d, a, b]; rows alike for the root."""
        d = torch.arange(len(self.parents))
        parents = torch.where(self.parents < 0, d, self.parents)
        pair = joint[:, :, parents, d].permute(2, 0, 1)  # [d, a, b]
        table = (pair / pair.sum(2, keepdim=True)).log()
        root = self.parents < 0
        marginal = pair[root].diagonal(dim1=1, dim2=2)
        table[root] = marginal.log()[:, None, :].expand(-1, 2, -1)
        return table

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability (N,) in nats of 0/1 rows (N, D)."""
        d = torch.arange(x.shape[1])
        parents = torch.where(self.parents < 0, d, self.parents)
        rows = (part.long() for part in x.split(_ROWS))
        return torch.cat([self._conditional[d, r[:, parents], r].sum(1) for r in rows])

    def nll(self, x: Tensor) -> float:
        """Mean NLL of the rows (N, D), in nats."""
        return float(-self.log_prob(x).mean())


def _pair_probs(train: Tensor) -> Tensor:
    """Smoothed P(x_i = a, x_j = b), (2, 2, D, D) [a, b, i, j]; P(x_i = a) where i = j."""
    ones, count = train.sum(0, dtype=torch.float64), len(train)
    both = torch.zeros(len(ones), len(ones), dtype=torch.float64)
    for rows in train.split(_ROWS):
        both += rows.float().T @ rows.float()
    both.diagonal().copy_(ones)  # of probabilities it would hold the squares
    only_i, only_j = ones[:, None] - both, ones[None, :] - both
    neither = count - both - only_i - only_j
    joint = torch.stack([neither, only_j, only_i, both]).view(2, 2, *both.shape)
    same = torch.eye(len(ones), dtype=torch.float64)
    joint += PAIR_COUNT * torch.stack([1 + same, 1 - same, 1 - same, 1 + same]).view_as(joint)
    return joint / (count + 4 * PAIR_COUNT)


def _mutual_information(joint: Tensor) -> Tensor:
    """Mutual information (D, D) in nats of each pair; 0 on the diagonal."""
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return torch.xlogy(joint, joint / independent).sum((0, 1)).fill_diagonal_(0.0)


def _maximum_spanning_tree(weights: Tensor) -> Tensor:
    """Parent (D,) of each node in a maximum spanning tree rooted at node 0; -1 at the root.

    Prim's algorithm on the dense matrix (D, D): D steps of O(D).
    """
    best, parents = weights[0], torch.zeros(len(weights), dtype=torch.long)
    outside = torch.arange(len(weights)) > 0
    for _ in range(len(weights) - 1):
        node = int(best.where(outside, -math.inf).argmax())
        outside[node] = False
        closer = outside & (weights[node] > best)
        best = weights[node].where(closer, best)
        parents[closer] = node
    parents[0] = -1
    return parents
