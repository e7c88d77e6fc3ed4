"""MADE: an autoregressive network and a conditional for each variable.

    log p(x) = sum_d log p(x_d | x_earlier),

and for a model of several mask sets the mixture log p(x) = logsumexp_m(log w_m + log p_m(x)):
what is averaged are probabilities of whole examples (Germain et al. 2015, section 4.2), never
logits, which would be no distribution.
"""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.model.completion import Completion
from made_exp.model.component import Component
from made_exp.model.entry import as_given, codes_where, completed, enter, rows_at_once, scored
from made_exp.model.given_rows import GivenRows
from made_exp.model.members import Members
from made_exp.model.mixture import MixtureWeights
from made_exp.model.networks import MaskedNetwork
from made_exp.model.request import Request
from made_exp.model.samplers import (
    ProgressCallback,
    Samplers,
    Walkers,
    check_request,
    draw_uniforms,
)
from made_exp.model.sampling import IncrementalSampler
from made_exp.model.simple import num_uniforms
from made_exp.model.terms import has_wide_params, terms_of
from made_exp.variables.groups import VariableGroups

SAMPLING_BATCH, COMPLETION_BATCH = 250, 1000
_REQUEST = 10_000
_MAX_TERMS = 2**24  # in memory at once


@final
class MADE(Members):
    """An exact density over D discrete, real or mixed variables.

    It is a mixture of the densities of its `Members`.

    Args:
        groups: Conditionals and encodings of the variables.
        networks: The members: each maps encoded variables to params of the conditionals.
        num_orderings: See `Members`.
        fits_weights: Whether networks of one order each have weights of their own in the mixture,
            to be fitted, where there are several; otherwise all orderings have equal ones.
        extras: Simple densities that are part of the mixture too, by name, with fitted weights.
        given_rows: Where variables are given, the values of them that samples have.
        num_latent: See `Members`.

    Raises:
        ValueError: If the model does not have that many components.
    """

    def __init__(
        self,
        groups: VariableGroups,
        networks: Sequence[MaskedNetwork],
        num_orderings: int | None = None,
        fits_weights: bool = False,
        extras: Mapping[str, SimpleDensity] | None = None,
        given_rows: GivenRows | None = None,
        num_latent: int = 0,
    ) -> None:
        super().__init__(groups, networks, num_latent, num_orderings, extras or {})
        fits = fits_weights or num_latent or self.members[-1].schedule.is_resampled
        num_fitted = min(self.num_fixed, self.num_orderings) if fits else 0
        self.mixture = MixtureWeights(
            self.num_orderings, num_fitted, len(self.extras), num_classes=max(1, num_latent)
        )
        self.given_rows, self._samplers, self._walkers = given_rows, Samplers(), Walkers()

    def ordering_log_prob(
        self, x: Tensor, index: int, context: Tensor | None = None, grad: bool = False
    ) -> Tensor:
        """As `log_prob`, under the density with this index alone."""
        return self._log_prob(x, context, {index: 0.0}, {index: 0.0}, grad)

    def log_prob(
        self,
        x: Tensor,
        context: Tensor | None = None,
        num_orderings: int | None = None,
        grad: bool = False,
    ) -> Tensor:
        """Log-probability of x under the model, a mixture over its orderings.

        Where variables are given it is that of the others given them. Where values are missing it
        is that of the other values: orderings put these first, and networks of a fixed order are
        left out for such rows, if there are others.

        Args:
            x: (B, D) in data space, a tensor or an array; NaN is missing.
            context: (B,) class labels, or None.
            num_orderings: Orderings in the mixture; default the model's.
            grad: Whether to keep what a gradient needs, for all rows at once.

        Returns:
            (B,), nats; -inf where a value is none of its variable.

        Raises:
            ValueError: If x does not have D columns of numbers.
        """
        count = self.check_num_orderings(num_orderings or self.num_orderings)
        others = self.weighted(count, any_pattern=True)
        return self._log_prob(x, context, self.weighted(count), others, grad)

    def weighted(
        self, num_orderings: int | None = None, *, any_pattern: bool = False
    ) -> dict[int, float]:
        """See `MixtureWeights.weighted`."""
        return self.mixture.weighted(num_orderings, any_pattern=any_pattern)

    def _log_prob(
        self,
        x: Tensor,
        context: Tensor | None,
        log_weights: Mapping[int, float],
        others: Mapping[int, float],
        grad: bool,
    ) -> Tensor:
        """`log_prob` of the mixture of these components, by index; of others for rows with gaps."""

        def score(codes: Tensor, context: Tensor | None, observed: Tensor | None) -> Tensor:
            own = log_weights if observed is None else others
            densities = [self.density(index) for index in own]
            if is_wide:
                log_probs = terms_of(densities, codes, context, observed).sum(2)
                weights = log_probs.new_tensor([*own.values()])
                return (log_probs + weights[:, None]).logsumexp(0).to(self.dtype)
            total = codes.new_full((len(codes),), -torch.inf, dtype=self.dtype)
            for density, log_weight in zip(densities, own.values(), strict=True):
                component = density.observed_first(observed)
                log_prob = component.log_prob(codes, context, observed) + log_weight
                total = torch.logaddexp(total, log_prob)
            return total

        rows = None if grad else rows_at_once(self.members[0])
        is_wide = rows is not None and has_wide_params(self.groups, self.device)
        if rows is not None and is_wide:
            rows = min(rows, max(1, _MAX_TERMS // (len(log_weights) * self.num_dims)))
        with torch.set_grad_enabled(grad and torch.is_grad_enabled()):
            return scored(self.groups, x, context, score, self.device, rows)

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
        temperature: float = 1.0,
        batch_size: int = SAMPLING_BATCH,
        component: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Tensor:
        """Draw exact samples: first the ordering, then the example.

        A seed gives the same samples whatever the batch size: every example has its own uniforms.
        Given variables have the values of training rows; `complete` takes those that you choose.

        Args:
            num_samples: Number of examples n >= 0.
            generator: Source of randomness; default torch's own.
            context: (n,) class labels, or None.
            temperature: Divides the logits of discrete conditionals; 1 samples the model.
            batch_size: Examples drawn together.
            component: Draw from this component alone instead of the mixture.
            progress: Called with the number of examples done after each batch.

        Returns:
            (n, D) in data space, on the device of the model and in its dtype, or in float64 where
            values are real, may be missing or are wide.

        Raises:
            ValueError: If an argument is out of range, or it is not known which values given
                variables have in train.
        """
        check_request(num_samples, temperature, batch_size)
        one_hot = self._one_hot(context, num_samples)
        out, is_given = self.groups.empty_codes(num_samples), self.groups.is_given
        x = torch.full(out.shape, torch.nan, dtype=torch.float64, device=out.device)
        for start in range(0, num_samples, _REQUEST):
            own = slice(start, min(start + _REQUEST, num_samples))
            uniforms = self._uniforms(len(x[own]), generator)
            chosen = self.mixture.choose(uniforms[:, 0])
            if component is not None:
                chosen.fill_(component)
            if self.groups.given:
                x[own] = self.rows_of_train().draw(uniforms[:, 1])
            self._samplers.draw(
                [
                    (self.density(index), torch.nonzero(chosen == index).flatten())
                    for index in torch.unique(chosen).tolist()
                ],
                Request(
                    uniforms[:, self._num_choices :],
                    None if one_hot is None else one_hot[own],
                    temperature,
                    codes_where(self.groups, x[own], is_given) if self.groups.given else None,
                ),
                out[own],
                batch_size,
                progress,
            )
        drawn = self.groups.decode(out)
        return completed(x, is_given, drawn) if self.groups.given else drawn

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        observed: Tensor,
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
        temperature: float = 1.0,
        batch_size: int = COMPLETION_BATCH,
        progress: ProgressCallback | None = None,
    ) -> Tensor:
        """Draw the unobserved variables of x (B, D) given the observed ones, exactly.

        Observed is (B, D) or (D,) bool; other values of x are ignored and may be NaN. The options
        are those of `sample`; the answer is (B, D) as there, and exactly x where observed.

        Raises:
            ValueError: If a shape does not fit, an observed value is none of its variable, or the
                model has one fixed ordering and the observed variables do not come first in it.
        """
        check_request(len(x), temperature, batch_size)
        x, observed = as_given(self.groups, x, observed, self.device)
        uniforms = self._uniforms(len(x), generator)
        one_hot = self._one_hot(context, len(x))
        given = codes_where(self.groups, x, observed)
        out = torch.empty_like(given)
        self._samplers.draw(
            self._completion().choose(given, observed, uniforms[:, 0], context, batch_size),
            Request(uniforms[:, self._num_choices :], one_hot, temperature, given),
            out,
            batch_size,
            progress,
        )
        return completed(x, observed, self.groups.decode(out))

    @torch.no_grad()
    def completion_log_prob(
        self, x: Tensor, observed: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """Log-probability (B,) of the unobserved part of x given its observed part, in nats.

        It is the density that `complete` draws from; arguments and errors are the same.
        """
        x, observed = as_given(self.groups, x, observed, self.device)
        entered = enter(self.groups, x, ~observed)
        return entered.finish(self._completion().log_prob(entered.codes, observed, context))

    def walker(self, component: Component, num_steps: int) -> IncrementalSampler:
        """What takes the first steps of a component of its own orders; one a thread."""
        return self._walkers.walker(component, num_steps)

    def _one_hot(self, context: Tensor | None, count: int) -> Tensor | None:
        """Class labels that are given as networks take them; see `Component.one_hot`."""
        one_hot = self.component(0).one_hot(context, count)
        return None if self.num_latent else one_hot

    @property
    def _num_choices(self) -> int:
        """Uniform numbers N that choose a density, and a row of what is given if anything is."""
        return 1 + bool(self.groups.given)

    def rows_of_train(self) -> GivenRows:
        """Values of the given variables in train; ValueError where they are not known."""
        if self.given_rows is None:
            names = ", ".join(f"'{self.groups.variables[d].name}'" for d in self.groups.given)
            raise ValueError(
                f"this model is given {names} and knows no values of training rows: "
                "choose some with complete(x, observed)"
            )
        return self.given_rows

    def _uniforms(self, count: int, generator: torch.Generator | None) -> Tensor:
        """(count, N + U + V) in [0, 1): for choices, networks, and simple densities if any."""
        own = num_uniforms(self.num_dims) if self.extras else 0
        size = (count, self._num_choices + sum(self.groups.uniform_widths) + own)
        return draw_uniforms(size, self.dtype, generator).to(self.device)

    def _completion(self) -> Completion:
        weighted, others = self.weighted(), self.weighted(any_pattern=True)
        densities = {index: self.density(index) for index in weighted | others}
        return Completion.of(densities, weighted, others, self.members[0].output_bias)
