"""A latent class decides the states of all variables, and a normal density of all numbers.

    p(x) = sum_k w_k N(z; mu_k, Sigma_k) prod_d Cat_kd(state of x_d),

with z the numbers that x has; those in an atom, and those that are unknown, are integrated out.

Legend: N rows, n of them alike, D variables, R numbers, K classes, T states of all variables.
"""

from collections.abc import Iterator, Sequence
from typing import Self, final

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from typing_extensions import override

from made_exp.datasets.baselines.coordinates import Rows
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.variables.distributions import categorical_quantile, normal_log_prob, normal_quantile
from made_exp.variables.variable import Variable

LEAST_DEVIATION = 1e-3  # of a real number in a class, in units of its standard deviation


@final
class GaussianClasses(SimpleDensity):
    """The density above, with numbers standardised by `locations` and `scales`.

    A whole number has the mass density times width of its cell. With a deviation of a cell or
    more, which `least` sees to, these sum to one but for what lies beyond the first and the last
    value and in atoms: that is lost, so the sum is never more than one.
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
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @property
    @override
    def num_classes(self) -> int:
        return len(self.log_weights)

    def standardised(self, rows: Rows) -> Tensor:
        """The numbers (N, R) of rows in units of their deviations."""
        return (rows.numbers - self.locations) / self.scales

    @override
    def row_terms(self, rows: Rows) -> Tensor:
        """In the order of the columns: what is known of the class after each of them counts."""
        order = self.coordinates.order
        joint = self.class_terms(rows)[:, order].cumsum(1) + self.log_weights
        prefixes = joint.logsumexp(2)
        terms = prefixes.diff(dim=1, prepend=prefixes.new_zeros(len(rows), 1))
        terms = terms.masked_fill(prefixes == -torch.inf, -torch.inf)[:, order.argsort()]
        unknown = (rows.states < 0) | torch.isnan(terms)
        return terms.masked_fill(unknown, 0.0) + self.log_cells(rows)

    @override
    def row_log_prob(self, rows: Rows) -> Tensor:
        joint = self.class_log_probs(rows) + self.log_weights
        return joint.logsumexp(1) + self.log_cells(rows).sum(1)

    def class_log_probs(self, rows: Rows) -> Tensor:
        """Log p(known x, class k) (N, K) but for the classes' weights: the sum of `class_terms`."""
        index = self.coordinates.index(rows.states)
        varied = torch.tensor([size > 1 for size in self.coordinates.sizes])
        # Of a variable with one state only what is no value of it counts.
        counts = varied | (index > self.coordinates.num_states).any(0)
        nothing = index.new_full((len(index), 1), self.coordinates.num_states)
        index = torch.cat([nothing, index[:, counts]], 1)
        log_probs = embedding_bag(index, self.tables.T.contiguous(), mode="sum")
        for own, known, z in patterns(self.standardised(rows)):
            normal = normal_terms(z[:, known], self.means[:, known], self._block(known))
            log_probs[own] += normal.sum(1)
        return log_probs

    def log_cells(self, rows: Rows) -> Tensor:
        """Log of the cell (N, D) of each value, in which its density counts as mass or is one."""
        log_cells = self.coordinates.log_units[self.coordinates.index(rows.states)]
        log_cells = log_cells.masked_fill(log_cells == -torch.inf, 0.0)
        widths = self.coordinates.widths(rows.numbers) / self.scales
        widths = torch.where(self.coordinates.whole, widths, 1 / self.scales)
        log_widths = widths.log().masked_fill(torch.isnan(rows.numbers), 0.0)
        log_cells[:, self.coordinates.numeric] += log_widths
        return log_cells

    def class_terms(self, rows: Rows) -> Tensor:
        """Log p(x_d | known x before d, class k), (N, D, K), without what `log_cells` says."""
        terms = self.tables.T[self.coordinates.index(rows.states)]
        numeric, order = self.coordinates.numeric, self.coordinates.numeric_order
        for own, known, z in patterns(self.standardised(rows)):
            chain = order[known[order]]
            normal = normal_terms(z[:, chain], self.means[:, chain], self._block(chain))
            terms[own[:, None], numeric[chain]] += normal
        return terms

    def _block(self, known: Tensor) -> Tensor:
        return self.covariances[:, known][:, :, known]

    @override
    def draw(self, given: Rows, uniforms: Tensor) -> Rows:
        coordinates, states = self.coordinates, given.states.clone()
        posterior = self.class_log_probs(given) + self.log_weights
        chosen = categorical_quantile(posterior.softmax(1), uniforms[:, 0])
        for d, (start, size) in enumerate(zip(coordinates.starts, coordinates.sizes, strict=True)):
            probs = self.tables[chosen, start : start + size].exp()
            drawn = categorical_quantile(probs, uniforms[:, 1 + d])
            states[:, d] = torch.where(states[:, d] < 0, drawn, states[:, d])
        noise = normal_quantile(uniforms[:, 1 + len(coordinates.sizes) + coordinates.numeric])
        numbers = self.standardised(given)
        for own, known, z in patterns(numbers):
            numbers[own] = self._numbers(z, known, chosen[own], noise[own])
        numbers = numbers * self.scales + self.locations
        return Rows(states, numbers.masked_fill(states[:, coordinates.numeric] != 0, torch.nan))

    def _numbers(self, z: Tensor, known: Tensor, classes: Tensor, noise: Tensor) -> Tensor:
        """Standardised numbers (n, R) of rows whose `known` (R,) are given, by their classes (n,).

        With the known ones first, a Cholesky factor draws each number given those before it.
        """
        order = torch.cat([known.nonzero().flatten(), (~known).nonzero().flatten()])
        factors = torch.linalg.cholesky(self.covariances[:, order][:, :, order])[classes]
        count, means = int(known.sum()), self.means[classes][:, order]
        white = noise[:, order].clone()
        if count:
            rest = (z[:, order[:count]] - means[:, :count])[..., None]
            block = factors[:, :count, :count]
            white[:, :count] = torch.linalg.solve_triangular(block, rest, upper=False)[..., 0]
        drawn = means + (factors @ white[..., None])[..., 0]
        out = torch.empty_like(z)
        out[:, order] = drawn
        return torch.where(known, z, out)

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
    found, inverse = known.unique(dim=0, return_inverse=True)
    order, counts = inverse.argsort(stable=True), torch.bincount(inverse, minlength=len(found))
    for pattern, rows in zip(found, order.split(counts.tolist()), strict=True):
        yield rows, pattern, numbers[rows]


def normal_terms(z: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Log N(z_r | z before r) of each coordinate, (n, R, K), in nats.

    Given are z (n, R), means (K, R) and covariances (K, R, R) of K normal densities.
    """
    if not z.shape[1]:
        return z.new_zeros(len(z), 0, len(means))
    factors = torch.linalg.cholesky(covariances)
    rest = (z - means[:, None]).mT
    white = torch.linalg.solve_triangular(factors, rest, upper=False)  # (K, R, n)
    log_scales = factors.diagonal(dim1=1, dim2=2).log()[..., None]
    return normal_log_prob(white, log_scales).permute(2, 1, 0)
