"""Simple densities of discrete columns as sums of tables, for programs of log_prob."""

from collections.abc import Sequence
from itertools import accumulate
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.datasets.baselines.gaussian_classes import GaussianClasses
from made_exp.datasets.baselines.tree import ChowLiu


@final
class TablesProgram(nn.Module):
    """Log-probability of whole rows under a simple density.

        log p(x) = logsumexp_k [log w_k + sum_d T_dk(x_d, x_parent(d))]

    A tree has parents and one class k, latent classes have no parents, other densities neither.

    Attributes:
        tables: (S, K) of all columns, one after the other.
        starts: (D,) where those of each column begin.
        parents: (D,) numbers of columns, 0 where there is none.
        steps: (D,) what one more of the parent's code adds to the place, 0 where there is none.
        log_weights: (K,).

    Args:
        density: Of discrete columns none of which is given.
        sizes: Codes of each of the D columns.
        dtype: Of the answers.
    """

    tables: Tensor
    starts: Tensor
    parents: Tensor
    steps: Tensor
    log_weights: Tensor

    def __init__(self, density: SimpleDensity, sizes: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()
        parents = [-1] * len(sizes)
        if isinstance(density, ChowLiu):
            parents = density.parents.long().tolist()
        tables = [_table(density, d, parent, sizes) for d, parent in enumerate(parents)]
        starts = [*accumulate(map(len, tables), initial=0)][:-1]
        log_weights = torch.zeros(1)
        if isinstance(density, GaussianClasses):
            log_weights = density.log_weights
        above = torch.tensor(parents)
        steps = torch.tensor(sizes) * (above >= 0)
        self.register_buffer("tables", torch.cat(tables).to(dtype))
        self.register_buffer("log_weights", log_weights.to(dtype))
        for name, content in {"parents": above.clamp(min=0), "steps": steps}.items():
            self.register_buffer(name, content)
        self.register_buffer("starts", torch.tensor(starts))

    @override
    def forward(self, codes: Tensor) -> Tensor:
        """Log-probability (B,) in nats of codes (B, D), all known."""
        codes = codes.long()
        index = self.starts + codes.index_select(1, self.parents) * self.steps + codes
        terms = self.tables[index].sum(1)
        return (terms + self.log_weights).logsumexp(1)


def _table(density: SimpleDensity, d: int, parent: int, sizes: Sequence[int]) -> Tensor:
    """T_d (S, K) of all codes of column d, for each of its parent where it has one."""
    size, count = sizes[d], sizes[parent] if parent >= 0 else 1
    codes = torch.full((count * size, len(sizes)), torch.nan, dtype=torch.float64)
    codes[:, d] = torch.arange(size).repeat(count)
    if isinstance(density, GaussianClasses):
        return density.class_log_probs(density.coordinates.rows(codes))
    if parent < 0:
        return density.log_prob(codes)[:, None]
    codes[:, parent] = torch.arange(count).repeat_interleave(size)
    alone = codes.clone()
    alone[:, d] = torch.nan
    return (density.log_prob(codes) - density.log_prob(alone))[:, None]
