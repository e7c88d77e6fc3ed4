"""Normal densities of several numbers, one number given those before it; whole ones in cells.

    p(z) = prod_r N(z_r; m_r, s_r),  m_r and s_r given z_1..z_(r-1),

and for a number in a cell [a, b] the mass Phi((b - m) / s) - Phi((a - m) / s) instead, divided by
what its holes leave: cells in which it never is. So the sum over all cells is one, whatever the
numbers before it are. Later numbers see a cell as the number z in it.

Legend: n rows, R numbers, K densities, A holes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from made_exp.variables.distributions import log1mexp, normal_log_prob

# Standard deviations: of narrower cells the density times the width is the mass, to all digits.
_NARROW = 1e-5


@dataclass(frozen=True, eq=False)
class Cells:
    """Where numbers (n, R) are.

    Attributes:
        z: (n, R) the numbers.
        lower: (n, R) lower edges of their cells; z where a number has a density.
        upper: (n, R) the upper ones.
        holes: By number r, edges (A, 2) of the cells that it never is in.
    """

    z: Tensor
    lower: Tensor
    upper: Tensor
    holes: dict[int, Tensor]

    def of(self, rows: Tensor, chain: Tensor) -> "Cells":
        """Those of some rows (n,), with the numbers `chain` (R',) alone, in this order."""
        holes = {place: self.holes[r] for place, r in enumerate(chain.tolist()) if r in self.holes}
        z, lower, upper = (part[rows][:, chain] for part in (self.z, self.lower, self.upper))
        return Cells(z, lower, upper, holes)


def chain_terms(cells: Cells, means: Tensor, covariances: Tensor) -> Tensor:
    """Log-density, or log-mass of a cell, of each number given those before it, (n, R, K).

    Means are (K, R), covariances (K, R, R).
    """
    z = cells.z
    if not z.shape[1]:
        return z.new_zeros(len(z), 0, len(means))
    factors = torch.linalg.cholesky(covariances)
    rest = (z - means[:, None]).mT
    white = torch.linalg.solve_triangular(factors, rest, upper=False)  # (K, R, n)
    scales = factors.diagonal(dim1=1, dim2=2)[..., None]
    terms = normal_log_prob(white, scales.log())
    is_cell = cells.lower < cells.upper
    for r in is_cell.any(0).nonzero().flatten().tolist():
        low, high = (
            white[:, r] + (edge[:, r] - z[:, r]) / scales[:, r]
            for edge in (cells.lower, cells.upper)
        )
        masses = cell_log_prob(low, high)
        if r in cells.holes:
            masses = masses - _log_room(white[:, r], z[:, r], scales[:, r], cells.holes[r])
        terms[:, r] = torch.where(is_cell[:, r], masses, terms[:, r])
    return terms.permute(2, 1, 0)


def _log_room(white: Tensor, z: Tensor, scales: Tensor, holes: Tensor) -> Tensor:
    """Log of the mass (K, n) outside of the holes (A, 2), for numbers z (n,) that are `white`."""
    lost = torch.zeros_like(white)
    for low, high in holes:
        ends = (white + (edge - z) / scales for edge in (high, low))
        above, below = (torch.special.ndtr(end) for end in ends)
        lost += above - below
    return torch.log1p(-lost.clamp(0, 1 - 1e-12))


def cell_log_prob(low: Tensor, high: Tensor) -> Tensor:
    """Log of Phi(high) - Phi(low) (...), for edges low <= high (...) that may be infinite."""
    is_above = low + high > 0  # where Phi is close to one, the other tail is exact
    low, high = torch.where(is_above, -high, low), torch.where(is_above, -low, high)
    log_high = torch.special.log_ndtr(high)
    log_mass = log_high + log1mexp(log_high - torch.special.log_ndtr(low))
    width = high - low
    middle = normal_log_prob((high + low) / 2, torch.zeros_like(low)) + width.log()
    return torch.where(width < _NARROW, middle, log_mass)


def outside_holes(uniforms: Tensor, mean: Tensor, scale: Tensor, holes: Tensor) -> Tensor:
    """Cumulative probability (n,) at which a number outside of its holes (A, 2) is drawn.

    By uniforms, means and scales (n,) of its normal density.
    """
    ends = torch.special.ndtr((holes[None] - mean[:, None, None]) / scale[:, None, None])
    masses = ends[..., 1] - ends[..., 0]
    at = uniforms * (1 - masses.sum(1)).clamp(min=0)
    for k in range(holes.shape[0]):  # they rise
        at = torch.where(at >= ends[:, k, 0], at + masses[:, k], at)
    return at
