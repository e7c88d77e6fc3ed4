"""A Gaussian copula: numbers of any distribution that depend on each other as normal ones do.

    p(x) = prod_d p_d(x_d) N(z; 0, R) / N(z; 0, I),   z_r = Phi^-1(F_r(x_r)),

with p_d and F_r of `Independent`, and z the numbers that a row has (Sklar 1959). A whole number,
or a value that comes again, is where F jumps: there both densities are masses of the cell between,
see `chains`. What is no number, and the atoms of numbers, depend on nothing.

Legend: N rows, R numbers.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self, final

import torch
from torch import Tensor
from torch.special import ndtr
from typing_extensions import override

from made_exp.datasets.baselines.box_paths import Wanted, path_weights
from made_exp.datasets.baselines.boxes import Inside
from made_exp.datasets.baselines.chains import Cells, chain_terms
from made_exp.datasets.baselines.coordinates import Rows
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.datasets.baselines.gaussian_classes import patterns
from made_exp.variables.distributions import normal_quantile
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable

_MAX_ROWS = 20_000  # of train whose correlations are counted
_MAX_NUMBERS = 1000  # that have correlations; of more each is on its own
_SHRUNK = (0.01, 0.03, 0.1, 0.3, 1.0)  # shares of no correlation, of which valid chooses
_LEAST = 1e-15  # distance of F from its ends


@final
class Copula(SimpleDensity):
    """The density above."""

    correlations: Tensor

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__(variables)
        self.independent = Independent(variables)
        self._hold(correlations=torch.eye(len(self.coordinates.numeric)))

    @classmethod
    @torch.no_grad()
    def fit(cls, independent: Independent, train: Rows, valid: Rows, seed: int = 0) -> Self:
        """With correlations of rows of train, shrunk as valid is predicted best."""
        copula = cls(independent.coordinates.variables)
        copula.independent = independent
        count = train.numbers.shape[1]
        if not 1 < count <= _MAX_NUMBERS:
            return copula
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        z = copula._cells(train[order[:_MAX_ROWS]]).z
        known, z = (~torch.isnan(z)).double(), z.nan_to_num(0.0)
        # As if one more pair of each kind had been seen that is not correlated.
        raw = (z.mT @ z) / (known.mT @ known + 1)
        values, vectors = torch.linalg.eigh(raw.fill_diagonal_(1.0))
        found = (vectors * values.clamp(min=1e-3)) @ vectors.mT
        deviations = found.diagonal().sqrt()
        found, none = found / deviations / deviations[:, None], torch.eye(count).double()
        valid = valid[order.new_tensor(range(min(len(valid), _MAX_ROWS)))]

        def score(share: float) -> float:
            copula.correlations = (1 - share) * found + share * none
            return float(copula._number_terms(valid).sum())

        best = max(_SHRUNK, key=score)
        copula.correlations = (1 - best) * found + best * none
        return copula

    @override
    def row_terms(self, rows: Rows) -> Tensor:
        terms = self.independent.row_terms(rows)
        terms[:, self.coordinates.numeric] += self._number_terms(rows)
        return terms

    def _number_terms(self, rows: Rows) -> Tensor:
        """What each number (N, R) has by depending on those before it, in nats; 0 if unknown."""
        terms = torch.zeros_like(rows.numbers)
        cells, order = self._cells(rows), self.coordinates.numeric_order
        for own, known, z in patterns(cells.z):
            chain = order[known[order]]
            part, means = cells.of(own, chain), z.new_zeros(1, len(chain))
            block = self.correlations[chain][:, chain][None]
            alone = torch.eye(len(chain), dtype=torch.float64)[None]
            gain = chain_terms(part, means, block) - chain_terms(part, means, alone)
            terms[own[:, None], chain] = gain[..., 0]
        return terms

    def _cells(self, rows: Rows) -> Cells:
        """Where the numbers of rows are in z."""
        return self._cell(*self.independent.marginals.cumulative(rows.numbers))

    def _cell(self, lower: Tensor, upper: Tensor) -> Cells:
        """The same in z, of cells that reach from F `lower` to `upper`."""
        z = torch.special.ndtri(((lower + upper) / 2).clamp(_LEAST, 1 - _LEAST))
        # So close that they are one in z: as a density.
        is_cell = upper - lower > _LEAST
        low, high = (torch.special.ndtri(edge).where(is_cell, z) for edge in (lower, upper))
        return Cells(z, low.minimum(z), high.maximum(z), {})

    @override
    def draw(self, given: Rows, uniforms: Tensor) -> Rows:
        states = self.independent.draw(given, uniforms).states
        numeric = self.coordinates.numeric
        is_there = states[:, numeric] == 0
        noise = normal_quantile(uniforms[:, 1 + len(self.coordinates.sizes) + numeric])
        numbers = given.numbers.clone()
        for rows, known, z in patterns(self._cells(given).z):
            drawn = self._drawn(z, known, noise[rows], is_there[rows])
            numbers[rows] = numbers[rows].where(known, drawn)
        return Rows(states, numbers.where(is_there, torch.nan))

    @override
    def box_weights(self, box: Mapping[int, Subset], uniforms: Tensor) -> Tensor:
        numeric, marginals = self.coordinates.numeric.tolist(), self.independent.marginals
        others = {d: subset for d, subset in box.items() if d not in numeric}
        chain = [r for r in self.coordinates.numeric_order.tolist() if numeric[r] in box]
        wanted, none = list[Wanted](), uniforms.new_zeros(0, 2)
        for r in chain:
            inside = Inside.of(marginals, numeric[r], box[numeric[r]])
            probs = self.independent.state_probs(numeric[r])
            ends = torch.special.ndtri(inside.stretches)
            beside = (inside.states @ probs)[None]
            wanted.append(Wanted(ends, none, probs[:1], beside, partial(self._settled, r)))
        factor = torch.linalg.cholesky(self.correlations[chain][:, chain])[None]
        means = uniforms.new_zeros(len(uniforms), len(chain))
        weights = path_weights(wanted, means, factor, uniforms[:, 1:])
        return weights * self.independent.box_probs([others])

    def _settled(self, r: int, z: Tensor) -> Tensor:
        """What later numbers see of the r-th, drawn at z (n,): of one with masses their cell."""
        marginals = self.independent.marginals
        if not marginals.jumps(r):
            return z
        return self._cell(*marginals.cumulative_of(r, marginals.quantile_of(r, ndtr(z)))).z

    def _drawn(self, z: Tensor, known: Tensor, noise: Tensor, is_there: Tensor) -> Tensor:
        """Numbers (n, R), each given those of z (n, R) that are known (R,) and drawn before it."""
        marginals, order = self.independent.marginals, self.coordinates.numeric_order
        order = torch.cat([order[known[order]], order[~known[order]]])
        factor = torch.linalg.cholesky(self.correlations[order][:, order])
        white, out = torch.zeros_like(z), torch.full_like(z, torch.nan)
        for place, r in enumerate(order.tolist()):
            mean, scale = white[:, :place] @ factor[place, :place], factor[place, place]
            at = z[:, r]
            if not known[r]:
                at = mean + scale * noise[:, r]
                out[:, r] = marginals.quantile_of(r, ndtr(at))
                if marginals.jumps(r):  # what comes after it sees its cell
                    middle = self._cell(*marginals.cumulative_of(r, out[:, r])).z
                    at = middle.where(is_there[:, r], at)
            white[:, place] = (at - mean) / scale
        return out
