"""One optimizer step: gather a batch, likelihood, gradient, update; with autograd or without."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import override

from made_exp.kernels.bfloat16 import bfloat16_products, has_bfloat16_products
from made_exp.masks.mask_set import MaskSet
from made_exp.model.component import Component
from made_exp.model.made import MADE
from made_exp.model.network_vjp import network_vjp
from made_exp.runtime import derive_seed
from made_exp.settings.training import TrainerSettings
from made_exp.training.batches import Batches
from made_exp.training.learner import TrainedMember
from made_exp.training.optimizers import set_learning_rate
from made_exp.variables.outputs import Conditionals

_DROPOUT_STREAM = 3


class NegativeLogLikelihood(nn.Module):
    """The loss as a module, which is what DistributedDataParallel wraps.

    Args:
        model: The model.
        has_missing: Whether values of the data are missing (NaN); the ordering of an example then
            has those that are not first.
    """

    def __init__(self, model: MADE, has_missing: bool = False) -> None:
        super().__init__()
        self.model, self.has_missing = model, has_missing
        ranks = model.members[0].schedule.missing_ranks
        self._ranks = None if ranks is None else ranks.to(model.device)

    def forward(self, x: Tensor, component: Component, context: Tensor | None) -> Tensor:
        """Mean NLL () of x (B, D) in nats under one component of the model."""
        observed = ~torch.isnan(x) if self.has_missing else None
        counted = observed
        if observed is not None and component.network.schedule.resamples_order:
            # A fixed order has them first: that was checked before training.
            counted = observed & self._is_fair(component.masks, observed)
            component = component.observed_first(observed)
        # One sum and one division: each operation more is felt, forward and backward.
        x = self.model.groups.cast(x)
        conditionals = component.conditionals(x, context, observed)
        log_probs = replace(conditionals, observed=counted).log_prob(x)
        return log_probs.sum() / -x.size(0)  # len(x) is slow

    def _is_fair(self, masks: MaskSet, observed: Tensor) -> Tensor:
        """Where (B, D) no variable before one that is missing more rarely is missing.

        Of an ordering with an often missing a before b, examples without a would teach b without
        its predecessor and those with a would not: b alone is learned from orderings in which it
        comes before a, where all examples are alike.
        """
        if self._ranks is None:
            return observed
        ranks, missing = self._ranks[masks.ordering], ~observed[:, masks.ordering]
        worst_before = torch.where(missing, ranks, 0).cummax(1).values
        return (worst_before <= ranks)[:, masks.input_degrees - 1]


class TrainStep:
    """The plain form of a step; `GraphedStep` replays the same from a CUDA graph.

    Args:
        model: The model, on its device.
        members: Its members, each with what trains it.
        batches: Where examples come from; several processes that share them average gradients.
        settings: Precision and clipping of the gradient.
    """

    def __init__(
        self,
        model: MADE,
        members: Sequence[TrainedMember],
        batches: Batches,
        settings: TrainerSettings,
    ) -> None:
        self.model, self.members, self.batches = model, members, batches
        self.grad_clip = settings.grad_clip
        self.parameters = [list(member.parameters()) for member in model.members]
        self.loss: nn.Module = NegativeLogLikelihood(model, batches.has_missing)
        self._own_loss = self.loss
        if batches.world.size > 1:
            self.loss = DistributedDataParallel(self.loss)
        wanted, is_cpu = settings.precision == "bf16", batches.device.type == "cpu"
        self._has_products = wanted and is_cpu and has_bfloat16_products()
        self._casts = wanted and not self._has_products
        self._draws = model.members[0].dropout > 0

    def __call__(self, index: Tensor, step: int, lr: float) -> Tensor:
        """Train on the examples at `index` (B,) at the rate `lr`; returns their mean NLL ()."""
        self.seed_dropout(step)
        component = self.model.at_step(step)
        member = self.members[component.member]
        set_learning_rate(member.optimizer, lr)
        loss = self.update(index, self.batches.thresholds(step), component)
        member.finish_step(lr, member.share_at(self.model.turn_at(step)))
        return loss

    def beside(self, number: int) -> AbstractContextManager[object]:
        """While entered, steps of member `number` may run on beside those of others."""
        return nullcontext()

    def part(self) -> None:
        """Let steps follow what was done outside of `beside` up to now."""

    def join(self) -> None:
        """Let what is done outside of `beside` follow all steps up to now."""

    def update(self, index: Tensor, thresholds: Tensor | None, component: Component) -> Tensor:
        """Gather the examples, and move the weights of one member against the gradient."""
        x, context = self.batches.gather(index, thresholds)
        labels = self.model.labels(x)
        with self._products():
            loss = self.differentiate(x, component, context if labels is None else labels)
        trained = component.member
        if self.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.parameters[trained], self.grad_clip)
        self.members[trained].optimizer.step()
        return self._joint(loss, labels)

    def differentiate(self, x: Tensor, component: Component, context: Tensor | None) -> Tensor:
        """Mean NLL () of x (B, D) in nats; its gradient is left in the member's parameters."""
        for parameter in self.parameters[component.member]:
            parameter.grad = None  # a tenth of the time that zero_grad takes
        with self._autocast():
            loss: Tensor = self.loss(x, component, context)
        loss.backward()
        return loss.detach()

    def loss_of(self, x: Tensor, component: Component, context: Tensor | None) -> Tensor:
        """Mean NLL () of x (B, D) in this process alone, in the precision of training."""
        labels = self.model.labels(x)
        with self._products(), self._autocast():
            loss: Tensor = self._own_loss(x, component, context if labels is None else labels)
        return self._joint(loss, labels)

    def _joint(self, loss: Tensor, labels: Tensor | None) -> Tensor:
        """The loss () with the mean NLL of latent classes (B,), if any, which no weight decides."""
        if labels is None:
            return loss
        return loss - self.model.mixture.log_shares[labels].mean().to(self.model.dtype)

    def seed_dropout(self, step: int) -> None:
        """Make what dropout draws a function of (seed, step), so that it needs no saved state."""
        if not self._draws:
            return
        seed = derive_seed(self.batches.seed, _DROPOUT_STREAM, step, self.batches.world.rank)
        if self.batches.device.type == "cuda":
            torch.cuda.default_generators[self.batches.device.index or 0].manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)

    def _products(self) -> AbstractContextManager[None]:
        return bfloat16_products() if self._has_products else nullcontext()

    def _autocast(self) -> AbstractContextManager[None]:
        if not self._casts:
            return nullcontext()
        # Cached casts would outlive the step that a graph records.
        device = self.batches.device.type
        return torch.autocast(device, dtype=torch.bfloat16, cache_enabled=False)


class DirectStep(TrainStep):
    """As `TrainStep`, but the gradient of a plain network is written out, without autograd.

    Around the products of a small network autograd takes a fifth of the step. The loss and the
    gradients are those of the plain step, and tests compare the two.
    """

    @override
    def differentiate(self, x: Tensor, component: Component, context: Tensor | None) -> Tensor:
        groups, network = component.groups, component.network
        with torch.no_grad():
            x = groups.cast(x)
            params, to_parameters = network_vjp(
                network,
                groups.features(x),
                component.masks,
                component.one_hot(context, x.size(0)),
            )
            log_probs, to_params = Conditionals(groups, params).log_prob_vjp(x)
            scale = -1 / x.size(0)
            gradients = to_parameters(to_params(log_probs.new_full((), scale).expand_as(log_probs)))
        for trained, gradient in gradients.items():
            trained.grad = gradient
        return log_probs.sum().mul_(scale)
