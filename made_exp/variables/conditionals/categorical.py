"""A discrete variable with a free table of probabilities."""

import math
from dataclasses import dataclass
from typing import Self, final

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from made_exp.variables.conditionals.base import (
    DiscreteConditional,
    observed_values,
    smoothed_frequencies,
)
from made_exp.variables.distributions import (
    categorical_log_prob,
    categorical_quantile,
    constants,
    log_sum_exp,
    outside,
)
from made_exp.variables.encodings import cosine_basis, num_basis_functions, with_pool_as_one
from made_exp.variables.variable import Kind, Variable


@final
@dataclass(frozen=True)
class Categorical(DiscreteConditional):
    """p = softmax(logits), with K logits as they are, or smooth ones.

    Where values are pooled the last logit of a value is that of the pool, whose probability is
    reserve + (1 - reserve) softmax, and log p(v) = log p(pool) + log share of v. Where a value may
    be missing that is code num_values - 1, with a logit of its own.

    Attributes:
        num_values: Number of codes, at least 2.
        smooth: For ordered values: the logits are a smooth function of the value, a sum of
            cosines weighted by the raw numbers, so that neighbouring values share strength.
        may_be_missing: Whether the last code is that of a missing value.
        pooled: Shares of the last values, of a pool.
        reserve: What the pool keeps, whatever the network says, in [0, 1).
    """

    num_values: int
    smooth: bool = False
    may_be_missing: bool = False
    pooled: tuple[float, ...] = ()
    reserve: float = 0.0

    @classmethod
    @override
    def for_variable(cls, variable: Variable, num_components: int, smooth_logits: bool) -> Self:
        assert variable.num_values is not None
        is_ordered = variable.kind in (Kind.ORDINAL, Kind.INTEGER)
        return cls(
            variable.num_values + variable.may_be_missing,
            smooth_logits and is_ordered,
            variable.may_be_missing,
            variable.pooled,
            variable.reserve,
        )

    @property
    @override
    def num_uniforms(self) -> int:  # type: ignore[override]
        """The value or the pool, and which of the pool."""
        return 2 if self.pooled else 1

    @property
    @override
    def num_params(self) -> int:
        """One logit for each value, or one weight for each basis function."""
        if self.smooth:
            return num_basis_functions(self._num_levels) + self.may_be_missing
        return self._num_modelled

    @property
    def _num_levels(self) -> int:
        """Values that are not missing, each of the pool included."""
        return self.num_values - self.may_be_missing

    @property
    def _num_modelled(self) -> int:
        """Logits: the pool has one."""
        return self.num_values - max(0, len(self.pooled) - 1)

    def logits(self, params: Tensor) -> Tensor:
        """Logits (..., M) for params (..., K), of all codes, or those with a pool for one."""
        if not self.smooth:
            return params
        if not self.may_be_missing:
            return params @ self._basis(params)
        return torch.cat([params[..., :-1] @ self._basis(params), params[..., -1:]], -1)

    @override
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        if not self.pooled:
            return categorical_log_prob(self.logits(params), x)
        x = x.to(params.dtype)
        log_probs = self._with_reserve(params)
        chosen = categorical_log_prob(log_probs, self._modelled(x), is_normalised=True)
        return torch.where(self._is_pooled(x), chosen + self._log_shares(x, params), chosen)

    @override
    def log_prob_turned(self, params: Tensor, x: Tensor) -> Tensor:
        if self.smooth:
            return super().log_prob_turned(params, x)
        x = x.to(params.dtype)
        modelled = self._modelled(x) if self.pooled else x
        index = modelled.nan_to_num(0).clamp(0, len(params) - 1).long()
        chosen = params.gather(0, index.expand(1, *params.shape[1:]))[0] - log_sum_exp(params)
        if self.pooled:
            chosen = chosen + math.log1p(-self.reserve)
            is_pooled, logs = self._is_pooled(x), self._log_shares(x, params)
            if self.reserve:
                of_pool = torch.logaddexp(chosen, chosen.new_full((), math.log(self.reserve)))
                chosen = torch.where(is_pooled, of_pool, chosen)
            chosen = torch.where(is_pooled, chosen + logs, chosen)
        return chosen.masked_fill(outside(x, self.num_values), -torch.inf)

    @override
    def probs(self, params: Tensor) -> Tensor:
        if not self.pooled:
            return torch.softmax(self.logits(params), -1)
        log_probs = self._with_reserve(params)
        codes = torch.arange(self.num_values, device=params.device, dtype=params.dtype)
        found = log_probs[..., self._modelled(codes).long()]
        return torch.where(
            self._is_pooled(codes), found + self._log_shares(codes, params), found
        ).exp()

    @override
    def sample(self, params: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        if not self.pooled:
            probs = torch.softmax(self.logits(params) / temperature, -1)
            return categorical_quantile(probs, uniforms.squeeze(-1)).to(params.dtype)
        probs = self._with_reserve(params / temperature).exp()
        drawn = categorical_quantile(probs, uniforms[..., 0])
        shares = self._pool(params).expand(*uniforms.shape[:-1], -1)
        of_pool = self._first_pooled + categorical_quantile(shares, uniforms[..., 1])
        others = torch.where(drawn < self._first_pooled, drawn, self.num_values - 1)
        return torch.where(drawn == self._first_pooled, of_pool, others).to(params.dtype)

    @override
    def initial_params(self, x: Tensor) -> Tensor:
        """Centred log frequencies (K,) of x (N,), or their least squares fit by the basis."""
        if self.pooled:
            x = self._modelled(observed_values(x))
        frequencies = smoothed_frequencies(x, self._num_modelled)
        logits = frequencies.log() - frequencies.log().mean()
        if not self.smooth:
            return logits
        missing = logits[self._num_levels :]
        frequencies, logits = frequencies[: self._num_levels], logits[: self._num_levels]
        if self.may_be_missing:
            frequencies = frequencies / frequencies.sum()
        # Weighted by frequency: the rare values have the noisiest logarithms.
        basis = self._basis(logits)
        basis = basis - (basis @ frequencies)[:, None]
        target = logits - logits @ frequencies
        gram = (basis * frequencies) @ basis.T
        ridge = 1e-4 * torch.eye(len(basis), dtype=logits.dtype, device=logits.device)
        weights = torch.linalg.solve(gram + ridge, basis @ (frequencies * target))
        if not self.may_be_missing:
            return weights
        level = (weights @ self._basis(logits) - logits) @ frequencies
        return torch.cat([weights, missing + level])

    @property
    def _first_pooled(self) -> int:
        return self._num_levels - len(self.pooled)

    def _pool(self, like: Tensor) -> Tensor:
        """Shares (G,) of the values of the pool, as `like` is."""
        return constants(tuple(self.pooled), like)

    def _is_pooled(self, codes: Tensor) -> Tensor:
        return (codes >= self._first_pooled) & (codes < self._num_levels)

    def _modelled(self, codes: Tensor) -> Tensor:
        """Codes (...) with the pool as one value, followed by the missing one."""
        return with_pool_as_one(codes, self._num_levels, len(self.pooled))

    def _log_shares(self, codes: Tensor, like: Tensor) -> Tensor:
        """Log share (...) of codes (...) in the pool, of the first one for others."""
        index = (codes.nan_to_num(0) - self._first_pooled).clamp(0, len(self.pooled) - 1).long()
        return self._pool(like).log()[index]

    def _with_reserve(self, logits: Tensor) -> Tensor:
        """Log-probabilities (..., M), of which the pool has its reserve."""
        log_probs = F.log_softmax(logits, -1) + math.log1p(-self.reserve)
        if not self.reserve:
            return log_probs
        pool = self._first_pooled
        least = log_probs.new_full((), math.log(self.reserve))
        kept = torch.logaddexp(log_probs[..., pool : pool + 1], least)
        return torch.cat([log_probs[..., :pool], kept, log_probs[..., pool + 1 :]], -1)

    def _basis(self, like: Tensor) -> Tensor:
        count = num_basis_functions(self._num_levels)
        return cosine_basis(self._num_levels, count, like.dtype, like.device)
