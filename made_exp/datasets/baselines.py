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
    train, test = _values(dataset, "train"), dataset.test
    missing = bool(_is_missing(train).any() or _is_missing(test).any())
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


def _values(dataset: Dataset, split: str) -> Tensor:
    x = dataset.split(split)
    return x.float() / 255 if dataset.dynamic_binarization else x


def _is_missing(x: Tensor) -> Tensor:
    return torch.isnan(x) if x.is_floating_point() else torch.zeros((), dtype=torch.bool)


def _independent(variables: tuple[Variable, ...], train: Tensor, test: Tensor) -> float:
    if all(v.num_values == 2 for v in variables) and not _is_missing(train).any():
        ones = train.sum(0, dtype=torch.float64)
        return -_bernoulli_log_prob((ones + 1) / (len(train) + 2), test)
    total = 0.0
    for d, variable in enumerate(variables):
        x, y = train[:, d].double(), test[:, d].double()
        x, y = x[~torch.isnan(x)], y[~torch.isnan(y)]
        total += float(-_marginal_log_prob(variable, x, y).sum())
    return total / len(test)


def _bernoulli_log_prob(p: Tensor, test: Tensor) -> float:
    """Mean over examples of the log-probability (nats) of 0/1 rows under p (D,)."""
    if _is_missing(test).any():
        x = test.double()
        return float(torch.where(x == 1, p.log(), (1 - p).log())[~torch.isnan(x)].sum() / len(x))
    frequency = test.mean(0, dtype=torch.float64)
    return float((frequency * p.log() + (1 - frequency) * (1 - p).log()).sum())


def _marginal_log_prob(variable: Variable, train: Tensor, test: Tensor) -> Tensor:
    """Log-probability or log-density (nats) of test values (N,) of one variable."""
    if variable.num_values is None:
        mean, variance = train.mean(), train.var(correction=0).clamp_min(1e-12)
        return -0.5 * ((test - mean) ** 2 / variance + torch.log(2 * math.pi * variance))
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
        both, ones, count = _pair_counts(train)
        joint = _pair_probs(both, ones, count)
        information = _mutual_information(joint)
        self.parents = _maximum_spanning_tree(information)
        self.information = information
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
        chunks = [
            self._conditional[d, rows.long()[:, parents], rows.long()].sum(1)
            for rows in x.split(_ROWS)
        ]
        return torch.cat(chunks)

    def nll(self, x: Tensor) -> float:
        """Mean NLL of the rows (N, D), in nats."""
        return float(-self.log_prob(x).mean())


def _pair_counts(train: Tensor) -> tuple[Tensor, Tensor, int]:
    """How often both of two variables are 1 (D, D), and each (D,), and the number of rows."""
    num_dims = train.shape[1]
    both = torch.zeros(num_dims, num_dims, dtype=torch.float64)
    for rows in train.split(_ROWS):
        values = rows.float()
        both += values.T @ values
    return both, train.sum(0, dtype=torch.float64), len(train)


def _pair_probs(both: Tensor, ones: Tensor, count: int) -> Tensor:
    """Smoothed P(x_i = a, x_j = b), (2, 2, D, D) [a, b, i, j]; P(x_i = a) where i = j."""
    only_i, only_j = ones[:, None] - both, ones[None, :] - both
    neither = count - both - only_i - only_j
    joint = torch.stack([neither, only_j, only_i, both]).view(2, 2, *both.shape)
    joint = (joint + PAIR_COUNT) / (count + 4 * PAIR_COUNT)
    p = (ones + 2 * PAIR_COUNT) / (count + 4 * PAIR_COUNT)
    zero = torch.zeros_like(p)
    for (a, b), value in {(0, 0): 1 - p, (0, 1): zero, (1, 0): zero, (1, 1): p}.items():
        joint[a, b].diagonal().copy_(value)
    return joint


def _mutual_information(joint: Tensor) -> Tensor:
    """Mutual information (D, D) in nats of each pair; 0 on the diagonal."""
    result = torch.zeros_like(joint[0, 0])
    for a in (0, 1):
        for b in (0, 1):
            p_i, p_j = joint[a].sum(0), joint[:, b].sum(0)
            result += torch.xlogy(joint[a, b], joint[a, b] / (p_i * p_j))
    return result.fill_diagonal_(0.0)


def _maximum_spanning_tree(weights: Tensor) -> Tensor:
    """Parent (D,) of each node in a maximum spanning tree rooted at node 0; -1 at the root.

    Prim's algorithm on the dense matrix (D, D): D steps of O(D).
    """
    num_nodes = len(weights)
    parents = torch.full((num_nodes,), -1)
    best, nearest = weights[0].clone(), torch.zeros(num_nodes, dtype=torch.long)
    best[0] = -math.inf
    inside = torch.zeros(num_nodes, dtype=torch.bool)
    inside[0] = True
    for _ in range(num_nodes - 1):
        node = int(best.argmax())
        parents[node], inside[node] = nearest[node], True
        closer = (weights[node] > best) & ~inside
        best = torch.where(closer, weights[node], best)
        nearest[closer] = node
        best[node] = -math.inf
    return parents
