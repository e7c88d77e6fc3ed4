"""What simple models score on the same test split, so that a broken likelihood shows at once."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset, fingerprint
from made_exp.datasets.download import cached
from made_exp.files import atomic_write_json
from made_exp.variables.variable import Variable

MAX_TABLE = 2**17  # cells of a joint table that is still worth counting
_VERSION = 1  # raise it when a baseline changes: the cached file's name holds it
_ROWS = 8192
# Added to each of the four cells of a pair: almost maximum likelihood, but never log 0.
PAIR_COUNT = 0.01


def compute(dataset: Dataset) -> dict[str, float]:
    """Test NLL of simple models fitted to train, in nats per example.

    `independent`: every variable on its own (a Gaussian where it is real); `chow_liu`: the best
    tree, for binary data without missing values (Chow and Liu 1968); `histogram` and `uniform`:
    the joint table, for one or two variables. One is added to the counts of single variables,
    1/4 to those of a table of two, PAIR_COUNT to those of the tree. Missing values (NaN) are left
    out, in fitting as in scoring. Grey levels of dynamic binarization count as the probabilities
    that they are.

    Returns:
        NLL by name of the baseline, each finite.
    """
    train, test = dataset.train, dataset.test
    if dataset.dynamic_binarization:
        train = train.float() / 255
    missing = bool(train.isnan().any() or test.isnan().any())
    result = {"independent": _independent(dataset.variables, train, test)}
    if dataset.is_binary and dataset.num_dims > 1 and not missing:
        result["chow_liu"] = ChowLiuTree(train).nll(test)
    if dataset.is_discrete and dataset.num_dims <= 2 and not missing:
        shape = tuple(v.num_values or 0 for v in dataset.variables)
        if math.prod(shape) <= MAX_TABLE and not dataset.dynamic_binarization:
            result["histogram"] = _histogram(shape, train, test)
            result["uniform"] = math.log(math.prod(shape))
    return result


def load_or_compute(dataset: Dataset, data_dir: Path) -> dict[str, float]:
    """`compute`, kept in `data_dir` under a name made from the dataset's content."""
    name = f"baselines/v{_VERSION}-{fingerprint(dataset)[:32]}.json"
    return cached(data_dir, name, lambda: compute(dataset), _read, atomic_write_json)


def _read(path: Path) -> dict[str, float]:
    content = json.loads(path.read_text())
    if not isinstance(content, dict) or not all(isinstance(v, float) for v in content.values()):
        raise ValueError("not a table of numbers")
    return content


def _independent(variables: tuple[Variable, ...], train: Tensor, test: Tensor) -> float:
    total = 0.0
    for variable, x, y in zip(variables, train.T, test.T, strict=True):
        known = x[~x.isnan()].double(), y[~y.isnan()].double()
        total -= float(_marginal_log_prob(variable, *known).sum())
    return total / len(test)


def _marginal_log_prob(variable: Variable, train: Tensor, test: Tensor) -> Tensor:
    """Log-probability or log-density (nats) of test values (N,) of one variable."""
    if variable.num_values is None:
        mean, variance = train.mean(), train.var(correction=0).clamp_min(1e-12)
        return -0.5 * ((test - mean) ** 2 / variance + torch.log(2 * math.pi * variance))
    if variable.num_values == 2:  # probabilities too
        counts = torch.stack([len(train) - train.sum(), train.sum()]) + 1
    else:
        counts = torch.bincount(train.long(), minlength=variable.num_values).double() + 1
    return (counts / counts.sum()).log()[test.long()]


def _histogram(shape: tuple[int, ...], train: Tensor, test: Tensor) -> float:
    """NLL (nats) of the joint table of one or two variables."""
    strides = torch.tensor([math.prod(shape[d + 1 :]) for d in range(len(shape))])
    cells, size = (train.long() * strides).sum(1), math.prod(shape)
    counts = torch.bincount(cells, minlength=size).double() + 1 / len(shape) ** 2
    return float(-(counts / counts.sum()).log()[(test.long() * strides).sum(1)].mean())


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
