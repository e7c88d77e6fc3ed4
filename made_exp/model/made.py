"""MADE: an autoregressive network and a conditional for each variable.

    log p(x) = sum_d log p(x_d | x_earlier),

and for a model of several mask sets the mixture log p(x) = logsumexp_m(log w_m + log p_m(x)):
what is averaged are probabilities of whole examples (Germain et al. 2015, section 4.2), never
logits, which would be no distribution.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from made_exp.masks.mask_set import MaskSet
from made_exp.masks.observed import check_observed, observed_in
from made_exp.model.completion import Completion
from made_exp.model.component import Component
from made_exp.model.mixture import MixtureWeights
from made_exp.model.networks import MaskedNetwork
from made_exp.model.samplers import ProgressCallback, Samplers, check_request
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
        return self._component(number, self.members[number].schedule.scored_set(mask_set))

    def index_at(self, step: int) -> int:
        """Index of the component that training step `step` (0, 1, ...) uses: each in turn."""
        return step % self.max_orderings if self.max_orderings else step

    def at_step(self, step: int) -> Component:
        """The component that training step `step` (0, 1, ...) uses, with its `masks_at`."""
        number, _ = self._place(self.index_at(step))
        return self._component(number, self.masks_at(step))

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

    def _component(self, number: int, masks: MaskSet) -> Component:
        return Component(self.groups, self.members[number], number, masks.to(self.device))

    def ordering_log_prob(self, x: Tensor, index: int, context: Tensor | None = None) -> Tensor:
        """As `log_prob`, under component `index` alone."""
        observed = observed_in(x)
        return self.component(index).observed_first(observed).log_prob(x, context, observed)

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
        count = self.check_num_orderings(num_orderings or self.num_orderings)
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
            (n, D) in the dtype and on the device of the model.

        Raises:
            ValueError: If an argument is out of range.
        """
        check_request(num_samples, temperature, batch_size)
        one_hot = self.component(0).one_hot(context, num_samples)
        out = torch.empty(num_samples, self.num_dims, dtype=self.dtype, device=self.device)
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
        """Draw the unobserved variables of x (B, D) given the observed ones, exactly.

        Observed is (B, D) or (D,) bool; other values of x are ignored and may be NaN. The options
        are those of `sample`; the answer is (B, D), equal to x where observed.

        Raises:
            ValueError: If a shape does not fit, or the model has one fixed ordering and the
                observed variables do not come first in it.
        """
        check_request(len(x), temperature, batch_size)
        x = x.to(self.device)
        observed = check_observed(observed, x, self.num_dims)
        uniforms = self._uniforms(len(x), generator)
        one_hot = self.component(0).one_hot(context, len(x))
        given = torch.where(observed, x.to(self.dtype), torch.nan)
        out = torch.empty_like(given)
        self._samplers.draw(
            self._completion().choose(given, observed, uniforms[:, 0], context, batch_size),
            Request(uniforms[:, 1:], one_hot, temperature, given),
            out,
            batch_size,
            progress,
        )
        return out

    @torch.no_grad()
    def completion_log_prob(
        self, x: Tensor, observed: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """Log-probability (B,) of the unobserved part of x given its observed part, in nats.

        It is the density that `complete` draws from; arguments and errors are the same.
        """
        x = x.to(self.device)
        observed = check_observed(observed, x, self.num_dims)
        return self._completion().log_prob(x, observed, context)

    @torch.no_grad()
    def initialise_bias(self, train: Tensor) -> None:
        """Start the output biases at the marginals of `train` (N, D)."""
        params = self.groups.initial_params(train)
        for member in self.members:
            member.output_bias.copy_(params)

    def _uniforms(self, count: int, generator: torch.Generator | None) -> Tensor:
        """(count, 1 + U) in [0, 1): one for the ordering, then those of the variables.

        They are drawn on the CPU row by row, which is what makes them independent of batches.
        """
        if generator is not None and generator.device.type != "cpu":
            seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
            generator = torch.Generator().manual_seed(int(seed))
        width = 1 + sum(self.groups.uniform_widths)
        return torch.rand(count, width, generator=generator, dtype=self.dtype).to(self.device)

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
