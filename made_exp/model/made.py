"""MADE: an autoregressive network and a conditional for each variable.

    log p(x) = sum_d log p(x_d | x_earlier),

and for a model of several mask sets the mixture log p(x) = logsumexp_m(log w_m + log p_m(x)):
what is averaged are probabilities of whole examples (Germain et al. 2015, section 4.2), never
logits, which would be no distribution.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from made_exp.masks.mask_set import MaskSet
from made_exp.model.completion import Completion
from made_exp.model.component import Component
from made_exp.model.entry import as_given, completed, enter, rows_at_once, scored
from made_exp.model.mixture import MixtureWeights
from made_exp.model.networks import MaskedNetwork
from made_exp.model.samplers import ProgressCallback, Samplers, check_request, draw_uniforms
from made_exp.model.sampling import Request
from made_exp.variables.groups import VariableGroups

DEFAULT_ORDERINGS = 32
SAMPLING_BATCH = 250
_REQUEST = 10_000


class MADE(nn.Module):
    """An exact density over D discrete, real or mixed variables.

    Its components are the mask sets of its one member, or its members, if there are several, with
    the single mask set of each.

    Args:
        groups: Conditionals and encodings of the variables.
        networks: The members: each maps encoded variables to params of the conditionals.
        num_orderings: Components of the mixture that `log_prob`, `sample` and `complete` stand
            for; default all there are, or 32 where mask sets never repeat.
        fits_weights: Whether the weights of the mixture are part of the model, to be fitted;
            otherwise they are equal.

    Raises:
        ValueError: If the model does not have that many components.
    """

    def __init__(
        self,
        groups: VariableGroups,
        networks: Sequence[MaskedNetwork],
        num_orderings: int | None = None,
        fits_weights: bool = False,
    ) -> None:
        super().__init__()
        self.groups, self.networks = groups, nn.ModuleList(networks)
        self.members = tuple(networks)
        self.num_orderings = num_orderings or self.max_orderings or DEFAULT_ORDERINGS
        self.check_num_orderings(self.num_orderings)
        self.mixture = MixtureWeights(self.num_orderings, fits_weights)
        self._samplers = Samplers()

    @property
    def max_orderings(self) -> int:
        """How many components there are; 0 where mask sets never repeat."""
        count = len(self.members)
        return count if count > 1 else self.members[0].schedule.num_mask_sets

    @property
    def num_classes(self) -> int:
        """Classes of the context; 0 for none."""
        return self.members[0].num_classes

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return self.groups.num_dims

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype of the parameters."""
        return self.members[0].output_bias.dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.members[0].output_bias.device

    def component(self, index: int) -> Component:
        """Component `index` (0, 1, ...) of the mixture.

        Raises:
            ValueError: If there is none with this index.
        """
        number, mask_set = self._place(index)
        masks = self.members[number].schedule.scored_set(mask_set).to(self.device)
        return Component(self.groups, self.members[number], number, masks)

    def index_at(self, step: int) -> int:
        """Index of the component that training step `step` (0, 1, ...) uses: each in turn."""
        return step % self.max_orderings if self.max_orderings else step

    def at_step(self, step: int) -> Component:
        """The component that training step `step` (0, 1, ...) uses, with its `masks_at`."""
        number, _ = self._place(self.index_at(step))
        masks = self.masks_at(step).to(self.device)
        return Component(self.groups, self.members[number], number, masks)

    def masks_at(self, step: int) -> MaskSet:
        """The mask set of training step `step`, on the CPU.

        Every other time an index comes round it is the one that is scored, so that these are
        trained best; in between the ordering is as it was drawn, to complete any pattern.
        """
        number, mask_set = self._place(self.index_at(step))
        schedule = self.members[number].schedule
        is_scored = step // (self.max_orderings or 1) % 2 == 0
        return (schedule.scored_set if is_scored else schedule.mask_set)(mask_set)

    def _place(self, index: int) -> tuple[int, int]:
        """The member of a component, and which of the member's mask sets it has."""
        count = len(self.members)
        if count > 1 and not 0 <= index < count:
            raise ValueError(f"component {index} does not exist: allowed are 0..{count - 1}")
        return (index, 0) if count > 1 else (0, index)

    def ordering_log_prob(
        self, x: Tensor, index: int, context: Tensor | None = None, grad: bool = False
    ) -> Tensor:
        """As `log_prob`, under component `index` alone."""
        return self._log_prob(x, context, {index: 0.0}, grad)

    def log_prob(
        self,
        x: Tensor,
        context: Tensor | None = None,
        num_orderings: int | None = None,
        grad: bool = False,
    ) -> Tensor:
        """Log-probability of x under the model, a mixture over its orderings.

        Where values are missing it is that of the others: orderings put these first.

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
        log_weights = self.mixture.log_weights(count).tolist()
        return self._log_prob(x, context, dict(enumerate(log_weights)), grad)

    def _log_prob(
        self, x: Tensor, context: Tensor | None, log_weights: Mapping[int, float], grad: bool
    ) -> Tensor:
        """`log_prob` of the mixture of these components, by index."""

        def score(codes: Tensor, context: Tensor | None, observed: Tensor | None) -> Tensor:
            total = codes.new_full((len(codes),), -torch.inf, dtype=self.dtype)
            for index, log_weight in log_weights.items():
                component = self.component(index).observed_first(observed)
                log_prob = component.log_prob(codes, context, observed) + log_weight
                total = torch.logaddexp(total, log_prob)
            return total

        rows = None if grad else rows_at_once(self.members[0])
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
            ValueError: If an argument is out of range.
        """
        check_request(num_samples, temperature, batch_size)
        one_hot = self.component(0).one_hot(context, num_samples)
        out = self.groups.empty_codes(num_samples)
        for start in range(0, num_samples, _REQUEST):
            uniforms = self._uniforms(min(_REQUEST, num_samples - start), generator)
            chosen = self.mixture.choose(uniforms[:, 0])
            if component is not None:
                chosen.fill_(component)
            own = slice(start, start + len(uniforms))
            self._samplers.draw(
                [
                    (self.component(index), torch.nonzero(chosen == index).flatten())
                    for index in torch.unique(chosen).tolist()
                ],
                Request(uniforms[:, 1:], None if one_hot is None else one_hot[own], temperature),
                out[own],
                batch_size,
                progress,
            )
        return self.groups.decode(out)

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
        one_hot = self.component(0).one_hot(context, len(x))
        codes = self.groups.cast(self.groups.encode(x.where(observed, 0)))
        given, out = codes.where(observed, torch.nan), torch.empty_like(codes)
        self._samplers.draw(
            self._completion().choose(given, observed, uniforms[:, 0], context, batch_size),
            Request(uniforms[:, 1:], one_hot, temperature, given),
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

    @torch.no_grad()
    def initialise_bias(self, train: Tensor) -> None:
        """Start the output biases at the marginals of `train` (N, D), in data space."""
        params = self.groups.initial_params(self.groups.encode(train.to(self.device)))
        for member in self.members:
            member.output_bias.copy_(params)

    def _uniforms(self, count: int, generator: torch.Generator | None) -> Tensor:
        """(count, 1 + U) in [0, 1): one for the ordering, then those of the variables."""
        size = (count, 1 + sum(self.groups.uniform_widths))
        return draw_uniforms(size, self.dtype, generator).to(self.device)

    def _completion(self) -> Completion:
        components = [self.component(index) for index in range(self.num_orderings)]
        return Completion(components, self.mixture.log_weights().to(self.device, self.dtype))

    def check_num_orderings(self, count: int) -> int:
        """Return `count`; raise ValueError unless the model has that many components."""
        limit = self.max_orderings
        if count < 1 or (limit and count > limit):
            allowed = f"in 1..{limit}" if limit else ">= 1"
            raise ValueError(f"num_orderings must be {allowed}, got {count}")
        return count
