"""Each variable on its own, by counting; numbers by a smooth density of their values too."""

import math
from collections.abc import Mapping, Sequence
from typing import Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.datasets.baselines.boxes import Inside
from made_exp.datasets.baselines.coordinates import Rows
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.datasets.baselines.marginals import Marginals
from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Kind, Variable

# Counts that are added to each value: what predicts a row of train from the others decides.
_ADDED = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


@final
class Independent(SimpleDensity):
    """p(x) = prod_d p(x_d): counts of states, and of numbers `Marginals`.

    Whole numbers, and values of others that come again, are also counted one by one, as far as
    this predicts rows of train from the others.
    """

    log_probs: Tensor

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__(variables)
        # (T + 2,) of states, see Coordinates.log_units
        self._hold(log_probs=torch.zeros(self.coordinates.num_states + 2))
        self.marginals = Marginals(self.coordinates)

    @classmethod
    @torch.no_grad()
    def fit(cls, variables: Sequence[Variable], codes: Tensor) -> Self:
        """Of codes (N, D); NaN is left out. Binary ones may be probabilities of 1."""
        density = cls(variables)
        coordinates = density.coordinates
        is_plain = all(v.kind is Kind.BINARY and not v.may_be_missing for v in variables)
        rows = coordinates.rows(codes[:0] if is_plain else codes)
        counts = []
        for d, variable in enumerate(variables):
            if variable.kind is Kind.BINARY and not variable.may_be_missing:
                known = codes[:, d][~torch.isnan(codes[:, d])].double()
                counts.append(torch.stack([len(known) - known.sum(), known.sum()]) + 1)
            else:
                states = rows.states[:, d]
                counts.append(_smoothed(states[states >= 0], coordinates.sizes[d]))
        log_probs = [(own / own.sum()).log() for own in counts]
        density.log_probs = torch.cat([*log_probs, torch.zeros(2)]).double() + coordinates.log_units
        if len(coordinates.numeric):
            density.marginals.fit(rows.numbers)
        return density

    @override
    def row_terms(self, rows: Rows) -> Tensor:
        terms = self.log_probs[self.coordinates.index(rows.states)]
        terms[:, self.coordinates.numeric] += self.marginals.log_prob(rows.numbers)
        return terms

    def state_probs(self, d: int) -> Tensor:
        """Probabilities (S,) of the states of a variable."""
        own = slice(
            self.coordinates.starts[d], self.coordinates.starts[d] + self.coordinates.sizes[d]
        )
        return (self.log_probs[own] - self.coordinates.log_units[own]).exp()

    @override
    def box_probs(self, boxes: Sequence[Mapping[int, Subset]]) -> Tensor:
        return torch.tensor(
            [math.prod(self._mass(d, subset) for d, subset in box.items()) for box in boxes],
            dtype=torch.float64,
        )

    def _mass(self, d: int, subset: Subset) -> float:
        return Inside.of(self.marginals, d, subset).mass(self.state_probs(d))

    @override
    def draw(self, given: Rows, uniforms: Tensor) -> Rows:
        coordinates, states = self.coordinates, given.states.clone()
        for d, (start, size) in enumerate(zip(coordinates.starts, coordinates.sizes, strict=True)):
            log_probs = self.log_probs[start : start + size]
            log_probs = log_probs - coordinates.log_units[start : start + size]
            drawn = categorical_quantile(
                log_probs.exp().expand(len(states), -1), uniforms[:, 1 + d]
            )
            states[:, d] = torch.where(states[:, d] < 0, drawn, states[:, d])
        numeric = coordinates.numeric
        own = uniforms[:, 1 + len(coordinates.sizes) + numeric]
        drawn = self.marginals.quantile(own).where(states[:, numeric] == 0, torch.nan)
        return Rows(states, drawn.where(torch.isnan(given.numbers), given.numbers))


def _smoothed(states: Tensor, size: int) -> Tensor:
    """Counts (size,) of states (N,), with what is added to each chosen by leaving one out."""
    counts = torch.bincount(states, minlength=size).double()
    total = counts.sum()
    if size <= 2 or total < 2:
        return counts + 1

    def score(added: float) -> float:
        left = (counts - 1 + added).clamp(min=1e-12).log() - math.log(total - 1 + added * size)
        return float((counts * left).sum())

    return counts + max(_ADDED, key=score)
