"""MADE: an autoregressive network and a conditional for each variable.

    log p(x) = sum_d log p(x_d | x_earlier),

and for a model of several mask sets the mixture log p(x) = logsumexp_m(log w_m + log p_m(x)):
what is averaged are probabilities of whole examples (Germain et al. 2015, section 4.2), never
logits, which would be no distribution.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from made_exp.masks.mask_set import MaskSet
from made_exp.model import completion
from made_exp.model.ensembles import EnsembleNetwork
from made_exp.model.mixture import MixtureWeights
from made_exp.model.networks import MaskedNetwork
from made_exp.model.sampler_cache import SamplerCache
from made_exp.model.sampling import check_request
from made_exp.variables.groups import VariableGroups
from made_exp.variables.labels import one_hot_labels

DEFAULT_ORDERINGS = 32
SAMPLING_BATCH = 250
_REQUEST = 10_000

ProgressCallback = Callable[[int], None]


class MADE(nn.Module):
    """An exact density over D discrete, real or mixed variables.

    Args:
        groups: Conditionals and encodings of the variables.
        network: Maps encoded variables to params of the conditionals; its schedule holds the
            orderings.
        num_orderings: Mask sets in the mixture that `log_prob`, `sample` and `complete` stand
            for; default all of the schedule, or 32 where it never repeats.
        fits_weights: Whether the weights of the mixture are part of the model, to be fitted;
            otherwise they are equal.

    Raises:
        ValueError: If the schedule does not have that many mask sets.
    """

    def __init__(
        self,
        groups: VariableGroups,
        network: MaskedNetwork | EnsembleNetwork,
        num_orderings: int | None = None,
        fits_weights: bool = False,
    ) -> None:
        super().__init__()
        self.groups, self.network, self.schedule = groups, network, network.schedule
        available = self.schedule.num_orderings if self.schedule.is_resampled else 1
        self.num_orderings = num_orderings or available or DEFAULT_ORDERINGS
        self._check_num_orderings(self.num_orderings)
        self.mixture = MixtureWeights(self.num_orderings, fits_weights)
        self._samplers = SamplerCache(network, groups)

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return self.groups.num_dims

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype of the parameters."""
        return self.network.output_bias.dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.network.output_bias.device

    def forward(
        self, x: Tensor, masks: MaskSet | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Params (B, P) of all conditionals given x (B, D); see `conditional_log_probs`."""
        context = self._one_hot(context, len(x))
        return self.network(self.groups.features(x.to(self.dtype)), masks, context)

    def conditional_log_probs(
        self,
        x: Tensor,
        masks: MaskSet | None = None,
        context: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> Tensor:
        """Log-probability of each variable given the earlier ones.

        Args:
            x: (B, D).
            masks: The mask set; None for mask set 0.
            context: (B,) int64 class labels in 0..num_classes-1, or None.
            observed: (B, D) bool, the variables that are known and first in the ordering; the
                others are not read (NaN) and count 0. None where all are known.

        Returns:
            (B, D), nats.
        """
        x = x.to(self.dtype) if observed is None else completion.fill(self, x, observed)
        params = self.network(self.groups.features(x), masks, self._one_hot(context, x.size(0)))
        log_probs = self.groups.log_prob(params, x)
        return log_probs if observed is None else torch.where(observed, log_probs, 0)

    def joint_log_prob(
        self,
        x: Tensor,
        masks: MaskSet | None = None,
        context: Tensor | None = None,
        observed: Tensor | None = None,
    ) -> Tensor:
        """Log-probability (B,) of examples under one mask set, in nats; see above."""
        return self.conditional_log_probs(x, masks, context, observed).sum(1)

    def ordering_log_prob(self, x: Tensor, index: int, context: Tensor | None = None) -> Tensor:
        """As `log_prob`, under the ordering of mask set `index` alone."""
        masks = self.schedule.mask_set(index).to(x.device)
        masks, observed = completion.observed_first(self.schedule, masks, x)
        return self.joint_log_prob(x, masks, context, observed)

    def log_prob(
        self, x: Tensor, context: Tensor | None = None, num_orderings: int | None = None
    ) -> Tensor:
        """Log-probability of x under the model, a mixture over its orderings.

        Where values are missing it is that of the others: orderings put these first.

        Args:
            x: (B, D); NaN is missing.
            context: (B,) class labels, or None.
            num_orderings: Orderings in the mixture; default the model's.

        Returns:
            (B,), nats.
        """
        count = self._check_num_orderings(num_orderings or self.num_orderings)
        total = x.new_full((len(x),), -torch.inf, dtype=self.dtype)
        log_weights = self.mixture.log_weights(count).to(self.dtype)
        for index in range(count):
            log_prob = self.ordering_log_prob(x, index, context) + log_weights[index]
            total = torch.logaddexp(total, log_prob)
        return total

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
        temperature: float = 1.0,
        batch_size: int = SAMPLING_BATCH,
        mask_index: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Tensor:
        """Draw exact samples: first the ordering, then the example.

        A seed gives the same samples whatever the batch size: every example has its own uniforms.

        Args:
            num_samples: Number of examples n >= 0.
            generator: Source of randomness; default torch's own.
            context: (n,) class labels, or None.
            temperature: Divides the logits of discrete conditionals; 1 samples the model.
            batch_size: Examples drawn together.
            mask_index: Draw from this mask set alone instead of the mixture.
            progress: Called with the number of examples done after each batch.

        Returns:
            (n, D) in the dtype and on the device of the model.

        Raises:
            ValueError: If an argument is out of range.
        """
        check_request(num_samples, temperature, batch_size)
        one_hot = self._one_hot(context, num_samples)
        out = torch.empty(num_samples, self.num_dims, dtype=self.dtype, device=self.device)
        for start in range(0, num_samples, _REQUEST):
            uniforms = self._uniforms(min(_REQUEST, num_samples - start), generator)
            chosen = self.mixture.choose(uniforms[:, 0])
            if mask_index is not None:
                chosen.fill_(mask_index)
            for index in torch.unique(chosen).tolist():
                rows = torch.nonzero(chosen == index).flatten()
                draw = self._samplers.drawer(self.schedule.mask_set(index))
                for part in rows.split(batch_size):
                    out[start + part] = draw(
                        uniforms[part, 1:],
                        context=None if one_hot is None else one_hot[start + part],
                        temperature=temperature,
                    )
                    if progress is not None:
                        progress(len(part))
        return out

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        observed: Tensor,
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
        temperature: float = 1.0,
        batch_size: int = SAMPLING_BATCH,
        progress: ProgressCallback | None = None,
    ) -> Tensor:
        """Draw the unobserved variables given the observed ones, exactly.

        Args:
            x: (B, D); values at unobserved places are ignored and may be NaN.
            observed: (B, D) or (D,) bool.
            generator: Source of randomness; default torch's own.
            context: (B,) class labels, or None.
            temperature: Divides the logits of discrete conditionals.
            batch_size: Examples drawn together.
            progress: Called with the number of examples done after each batch.

        Returns:
            (B, D), equal to x where observed.

        Raises:
            ValueError: If a shape does not fit, or the model has one fixed ordering and the
                observed variables do not come first in it.
        """
        check_request(len(x), temperature, batch_size)
        x = x.to(self.device)
        observed = completion.check_observed(observed, x, self.num_dims)
        uniforms, one_hot = self._uniforms(len(x), generator), self._one_hot(context, len(x))
        x = completion.fill(self, x, observed)
        out = torch.empty_like(x)
        for masks, rows in completion.choose_masks(
            self, x, observed, uniforms[:, 0], context, batch_size
        ):
            draw = self._samplers.drawer(masks)
            for part in rows.split(batch_size):
                out[part] = draw(
                    uniforms[part, 1:],
                    context=None if one_hot is None else one_hot[part],
                    temperature=temperature,
                    given=x[part],
                    observed=observed[part],
                )
                if progress is not None:
                    progress(len(part))
        return out

    @torch.no_grad()
    def completion_log_prob(
        self, x: Tensor, observed: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """Log-probability (B,) of the unobserved part of x given its observed part, in nats.

        It is the density that `complete` draws from; arguments and errors are the same.
        """
        return completion.log_prob(self, x, observed, context)

    @torch.no_grad()
    def initialise_bias(self, train: Tensor) -> None:
        """Start the output biases at the marginals of `train` (N, D)."""
        params = self.groups.initial_params(train)
        self.network.initialise_bias(params)

    def _uniforms(self, count: int, generator: torch.Generator | None) -> Tensor:
        """(count, 1 + U) in [0, 1): one for the ordering, then those of the variables.

        They are drawn on the CPU row by row, which is what makes them independent of batches.
        """
        if generator is not None and generator.device.type != "cpu":
            seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
            generator = torch.Generator().manual_seed(int(seed))
        width = 1 + sum(self.groups.uniform_widths)
        return torch.rand(count, width, generator=generator, dtype=self.dtype).to(self.device)

    def _one_hot(self, context: Tensor | None, num_examples: int) -> Tensor | None:
        # Labels are looked at before training begins: a look in it would wait for a GPU.
        one_hot = one_hot_labels(
            context, num_examples, self.network.num_classes, is_checked=self.training
        )
        return None if one_hot is None else one_hot.to(self.device, self.dtype)

    def _check_num_orderings(self, count: int) -> int:
        limit = self.schedule.num_orderings if self.schedule.is_resampled else 1
        if count < 1 or (limit and count > limit):
            raise ValueError(f"num_orderings must be in 1..{limit}, got {count}")
        return count
