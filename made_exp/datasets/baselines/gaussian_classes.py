"""A latent class decides the states of all variables, and a normal density of all numbers.

    p(x) = sum_k w_k N(z; mu_k, Sigma_k) prod_d Cat_kd(state of x_d),

with z the numbers that x has; those in an atom, and those that are unknown, are integrated out.

Legend: N rows, n of them alike, D variables, R numbers, K classes, T states of all variables.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Self, final

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from typing_extensions import override

from made_exp.datasets.baselines.box_paths import (
    Wanted,
    path_weights,
    transformed_ends,
    without_holes,
)
from made_exp.datasets.baselines.boxes import states_inside
from made_exp.datasets.baselines.chains import Cells, chain_terms, outside_holes
from made_exp.datasets.baselines.coordinates import Rows
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.variables.distributions import categorical_quantile, normal_quantile
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable

_MAX_BITS = 52  # that float64 holds exactly
LEAST_DEVIATION = 1e-3  # of a real number in a class, in units of its standard deviation


@final
class GaussianClasses(SimpleDensity):
    """The density above, with numbers standardised by `locations` and `scales`.

    A whole number has the mass of its cell given the numbers before it, see `chains`: this sums to
    one exactly. Where some numbers are unknown it is so too, though what is left is the marginal
    only as far as a cell is narrow; with a deviation of a cell or more, which `least` sees to,
    they differ by little.
    """

    log_weights: Tensor
    tables: Tensor
    means: Tensor
    covariances: Tensor
    locations: Tensor
    scales: Tensor

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__(variables)
        states, numbers = self.coordinates.num_states, len(self.coordinates.numeric)
        for name, shape in (
            ("log_weights", (1,)),  # (K,)
            ("tables", (1, states + 2)),  # (K, T + 2) log-probabilities
            ("means", (1, numbers)),  # (K, R)
            ("covariances", (1, numbers, numbers)),  # (K, R, R)
            ("locations", (numbers,)),
            ("scales", (numbers,)),
        ):
            self._hold(**{name: torch.zeros(shape)})

    @property
    @override
    def num_classes(self) -> int:
        return len(self.log_weights)

    def standardised(self, rows: Rows) -> Tensor:
        """The numbers (N, R) of rows in units of their deviations."""
        return self._in_deviations(rows.numbers)

    def _in_deviations(self, numbers: Tensor) -> Tensor:
        return (numbers - self.locations) / self.scales

    @override
    def row_terms(self, rows: Rows) -> Tensor:
        """In the order of the columns: what is known of the class after each of them counts."""
        order = self.coordinates.order
        joint = self.class_terms(rows)[:, order].cumsum(1) + self.log_weights
        prefixes = joint.logsumexp(2)
        terms = prefixes.diff(dim=1, prepend=prefixes.new_zeros(len(rows), 1))
        terms = terms.masked_fill(prefixes == -torch.inf, -torch.inf)[:, order.argsort()]
        unknown = (rows.states < 0) | torch.isnan(terms)
        return terms.masked_fill(unknown, 0.0) + self.log_units(rows)

    @override
    def row_log_prob(self, rows: Rows) -> Tensor:
        joint = self.class_log_probs(rows) + self.log_weights
        return joint.logsumexp(1) + self.log_units(rows).sum(1)

    def class_log_probs(self, rows: Rows, has_cells: bool = True) -> Tensor:
        """Log p(known x, class k) (N, K) but for the classes' weights: the sum of `class_terms`.

        Without cells whole numbers have densities too, which is faster to compute.
        """
        index = self.coordinates.index(rows.states)
        varied = torch.tensor([size > 1 for size in self.coordinates.sizes])
        # Of a variable with one state only what is no value of it counts.
        counts = varied | (index > self.coordinates.num_states).any(0)
        nothing = index.new_full((len(index), 1), self.coordinates.num_states)
        index = torch.cat([nothing, index[:, counts]], 1)
        log_probs = embedding_bag(index, self.tables.T.contiguous(), mode="sum")
        for own, _, terms in self._normal_terms(rows, has_cells):
            log_probs[own] += terms.sum(1)
        return log_probs

    def log_units(self, rows: Rows) -> Tensor:
        """Log of the units (N, D) in which terms are densities: of atoms, and of real numbers."""
        log_units = self.coordinates.log_units[self.coordinates.index(rows.states)]
        log_units = log_units.masked_fill(log_units == -torch.inf, 0.0)
        is_density = ~self.coordinates.whole & ~torch.isnan(rows.numbers)
        log_units[:, self.coordinates.numeric] -= torch.where(is_density, self.scales.log(), 0.0)
        return log_units

    def class_terms(self, rows: Rows) -> Tensor:
        """Log p(x_d | known x before d, class k), (N, D, K), without what `log_units` says."""
        terms = self.tables.T[self.coordinates.index(rows.states)]
        for own, chain, normal in self._normal_terms(rows):
            terms[own[:, None], self.coordinates.numeric[chain]] += normal
        return terms

    def _normal_terms(
        self, rows: Rows, has_cells: bool = True
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rows that are alike (n,), the numbers they have (R',), and their terms (n, R', K)."""
        z = self.standardised(rows)
        cells = Cells(z, z, z, {})
        if has_cells and bool(self.coordinates.whole.any()):
            lower, upper = map(self._in_deviations, self.coordinates.cells(rows.numbers))
            cells = Cells(z, lower, upper, self._holes)
        order = self.coordinates.numeric_order
        for own, known, _ in patterns(z):
            chain = order[known[order]]
            covariances = self.covariances[:, chain][:, :, chain]
            yield own, chain, chain_terms(cells.of(own, chain), self.means[:, chain], covariances)

    @property
    def _holes(self) -> dict[int, Tensor]:
        """Edges (A, 2) in deviations of the cells of each whole number's atoms."""
        edges = {r: self.coordinates.atom_cells(r) for r in range(len(self.scales))}
        return {
            r: (own - self.locations[r]) / self.scales[r] for r, own in edges.items() if len(own)
        }

    @override
    def draw(self, given: Rows, uniforms: Tensor) -> Rows:
        coordinates, states = self.coordinates, given.states.clone()
        posterior = self.class_log_probs(given) + self.log_weights
        chosen = categorical_quantile(posterior.softmax(1), uniforms[:, 0])
        for d, (start, size) in enumerate(zip(coordinates.starts, coordinates.sizes, strict=True)):
            probs = self.tables[chosen, start : start + size].exp()
            drawn = categorical_quantile(probs, uniforms[:, 1 + d])
            states[:, d] = torch.where(states[:, d] < 0, drawn, states[:, d])
        own = uniforms[:, 1 + len(coordinates.sizes) + coordinates.numeric]
        numbers, is_there = given.numbers.clone(), states[:, coordinates.numeric] == 0
        for rows, known, part in patterns(numbers):
            drawn = self._numbers(part, known, is_there[rows], chosen[rows], own[rows])
            numbers[rows] = drawn
        return Rows(states, numbers.where(is_there, torch.nan))

    @override
    def box_weights(self, box: Mapping[int, Subset], uniforms: Tensor) -> Tensor:
        """A class is drawn by its mass of the box, were its numbers independent, then a path."""
        numeric = self.coordinates.numeric.tolist()
        chain = [r for r in self.coordinates.numeric_order.tolist() if numeric[r] in box]
        log_masses, wanted = self.log_weights.clone(), dict[int, Wanted]()
        for d, subset in box.items():
            start, size = self.coordinates.starts[d], self.coordinates.sizes[d]
            probs = self.tables[:, start : start + size].exp()
            inside = probs @ states_inside(self.coordinates.variables[d], subset)
            if d in numeric:
                wanted[numeric.index(d)] = self._wanted(d, subset, probs[:, 0], inside)
            else:
                log_masses += inside.log()
        log_alone = torch.zeros_like(log_masses)
        for r, one in wanted.items():
            masses = one.masses(self.means[:, r], self.covariances[:, r, r].sqrt()).sum(1)
            log_alone += (one.beside + one.share * masses).log()
        both = log_masses + log_alone
        if not float(both.max()) > -torch.inf:
            return torch.zeros(len(uniforms), dtype=torch.float64)
        chosen = categorical_quantile(both.softmax(0).expand(len(uniforms), -1), uniforms[:, 0])
        factors = torch.linalg.cholesky(self.covariances[:, chain][:, :, chain])[chosen]
        own = [
            replace(wanted[r], share=wanted[r].share[chosen], beside=wanted[r].beside[chosen])
            for r in chain
        ]
        weights = path_weights(own, self.means[chosen][:, chain], factors, uniforms[:, 1:])
        return weights * (both.logsumexp(0) - log_alone[chosen]).exp()

    def _wanted(self, d: int, subset: Subset, share: Tensor, beside: Tensor) -> Wanted:
        """What a subset asks of a number, which has such a share (K,) of each class."""
        r = self.coordinates.numeric.tolist().index(d)
        ends = transformed_ends(self.coordinates.variables[d], subset.intervals)
        ends = (ends - self.locations[r]) / self.scales[r]
        holes = self._holes.get(r, ends.new_zeros(0, 2))
        settled = partial(self._rounded, r) if self.coordinates.whole[r] else torch.clone
        return Wanted(without_holes(ends, holes), holes, share, beside, settled)

    def _numbers(
        self, numbers: Tensor, known: Tensor, is_there: Tensor, classes: Tensor, uniforms: Tensor
    ) -> Tensor:
        """Numbers (n, R) of rows whose `known` (R,) are given, by their classes (n,).

        Each given the known ones, and those drawn before it; whole ones that are there (n, R), and
        not in an atom, are in cells.
        """
        order = self.coordinates.numeric_order
        order = torch.cat([order[known[order]], order[~known[order]]])
        factors = torch.linalg.cholesky(self.covariances[:, order][:, :, order])[classes]
        z, white, holes = self._in_deviations(numbers), torch.zeros_like(numbers), self._holes
        for place, r in enumerate(order.tolist()):
            scale = factors[:, place, place]
            mean = self.means[classes, r]
            mean = mean + (factors[:, place, :place] * white[:, :place]).sum(1)
            if not known[r]:
                z[:, r] = mean + scale * normal_quantile(uniforms[:, r])
                if self.coordinates.whole[r]:
                    at = uniforms[:, r]
                    at = outside_holes(at, mean, scale, holes[r]) if r in holes else at
                    whole = self._rounded(r, mean + scale * normal_quantile(at))
                    z[:, r] = whole.where(is_there[:, r], z[:, r])
            white[:, place] = (z[:, r] - mean) / scale
        return numbers.where(known, z * self.scales + self.locations)

    def _rounded(self, r: int, z: Tensor) -> Tensor:
        """The r-th number (n,), a whole one, in the middle of the cell in which z (n,) is."""
        numbers = z * self.scales[r] + self.locations[r]
        whole = self.coordinates.whole_at(r, self.coordinates.values_of(r, numbers))
        return (whole - self.locations[r]) / self.scales[r]

    @classmethod
    def merged(cls, parts: Sequence["GaussianClasses"], log_weights: Tensor) -> Self:
        """The mixture of densities of the same variables, with these log-weights (M,)."""
        merged = cls(parts[0].coordinates.variables)
        pairs = zip(parts, log_weights, strict=True)
        merged.log_weights = torch.cat([part.log_weights + weight for part, weight in pairs])
        merged.locations, merged.scales = parts[0].locations, parts[0].scales
        for name in ("tables", "means", "covariances"):
            setattr(merged, name, torch.cat([getattr(part, name) for part in parts]))
        return merged


def patterns(numbers: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows of numbers (N, R) by what they have: indices (n,), which are known (R,), and numbers."""
    known = ~torch.isnan(numbers)
    if bool(known.all()):
        yield torch.arange(len(numbers)), known.new_ones(numbers.shape[1]), numbers
        return
    if known.shape[1] <= _MAX_BITS:  # many times as fast as comparing rows
        bits = 2 ** torch.arange(known.shape[1], dtype=torch.float64)
        keys, inverse = (known.double() @ bits).unique(return_inverse=True)
        found = (keys[:, None] / bits).floor() % 2 == 1
    else:
        found, inverse = known.unique(dim=0, return_inverse=True)
    order, counts = inverse.argsort(stable=True), torch.bincount(inverse, minlength=len(found))
    for pattern, rows in zip(found, order.split(counts.tolist()), strict=True):
        yield rows, pattern, numbers[rows]
