"""What every simple density can do: score, and draw what is unknown given what is known."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from made_exp.datasets.baselines.coordinates import Coordinates, Rows
from made_exp.datasets.baselines.fitted import FittedTables
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable

_MAX_NUMBERS = 2**23  # in memory at once


class SimpleDensity(FittedTables, ABC):
    """A density of codes that gives the marginal and the conditional of any known variables.

    Variables that are given are condition: it is the density of the others given them.

    Args:
        variables: What each of the D variables holds.
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__()
        self.coordinates = Coordinates(variables)
        self._is_given = torch.tensor([variable.is_given for variable in variables])
        self._given = bool(self._is_given.any())

    @abstractmethod
    def row_terms(self, rows: Rows) -> Tensor:
        """As `terms`, of rows that are taken apart."""

    def row_log_prob(self, rows: Rows) -> Tensor:
        """As `log_prob`, of rows that are taken apart."""
        return self.row_terms(rows).sum(1)

    @abstractmethod
    def draw(self, given: Rows, uniforms: Tensor) -> Rows:
        """Rows (N) with what is unknown in `given` drawn given what is known.

        Uniforms (N, 1 + 2D) are in [0, 1); those of a row decide its draw alone.
        """

    def box_probs(self, boxes: Sequence[Mapping[int, Subset]]) -> Tensor | None:
        """Probabilities (N,) that variables have values of subsets; None where it cannot say.

        Of given variables, which are condition, none may be asked.
        """
        return None

    def box_weights(self, box: Mapping[int, Subset], uniforms: Tensor) -> Tensor | None:
        """Weights (N,) whose mean is the probability of a box; None where it cannot say.

        Uniforms (N, 1 + 2D) are in [0, 1); those of a row decide its weight alone. Of given
        variables, which are condition, none may be asked, and none may be.
        """
        return None

    @property
    def num_classes(self) -> int:
        """Densities that are computed to be mixed."""
        return 1

    @torch.no_grad()
    def terms(self, codes: Tensor) -> Tensor:
        """Log p(x_d | known x before d), (B, D) float64 in nats, of codes (B, D).

        NaN is unknown and counts 0. Given variables count 0 and come before all others.
        """
        terms = self._by_parts(self.row_terms, codes)
        return terms.masked_fill(self._is_given.to(terms.device), 0.0) if self._given else terms

    @torch.no_grad()
    def log_prob(self, codes: Tensor) -> Tensor:
        """Log-probability (B,) float64 in nats of what is known of codes (B, D); NaN is unknown."""
        log_prob = self._by_parts(self.row_log_prob, codes)
        if not self._given:
            return log_prob
        condition = codes.double().where(self._is_given.to(codes.device), torch.nan)
        return log_prob - self._by_parts(self.row_log_prob, condition)

    def _by_parts(self, score: Callable[[Rows], Tensor], codes: Tensor) -> Tensor:
        size = max(1, _MAX_NUMBERS // (codes.shape[1] * self.num_classes))
        parts = [score(self.coordinates.rows(part)) for part in codes.split(size)]
        return torch.cat(parts).to(codes.device)

    @torch.no_grad()
    def sample(self, given: Tensor, uniforms: Tensor) -> Tensor:
        """Codes (B, D) float64: what is NaN in `given` (B, D) is drawn given the rest; see draw."""
        known = ~torch.isnan(given)
        drawn = self.draw(self.coordinates.rows(given), uniforms.to("cpu", torch.float64))
        codes = self.coordinates.codes(drawn).to(given.device)
        return torch.where(known, given.double(), codes)
