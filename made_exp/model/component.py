"""The densities that a model is made of.

Where orderings share their weights, one network serves them all: the model has one member. In an
ensemble each order has a network of its own. Either way a model is the mixture of its components,
each of them one network under one mask set.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from made_exp.masks.mask_set import MaskSet
from made_exp.masks.observed import is_prefix, with_observed_first
from made_exp.model.networks import Features, MaskedNetwork
from made_exp.variables.groups import VariableGroups
from made_exp.variables.outputs import Conditionals


@dataclass(frozen=True, eq=False)
class Component:
    """One density of the mixture: a member's network under one mask set.

    Attributes:
        groups: Conditionals and encodings of the variables.
        network: That of the member.
        member: Its number among the members, 0..M-1.
        masks: The ordering and the degrees, on the device of the network.
        label: The latent class that it is given; None of a network without, and in training, where
            each example has its own as context.
    """

    groups: VariableGroups
    network: MaskedNetwork
    member: int
    masks: MaskSet
    label: int | None = None

    @property
    def mixes_orders(self) -> bool:
        """Whether examples with different orderings can be computed together, as fast."""
        return self.network.schedule.resamples_order and not self._follows_order

    @property
    def serves_any_pattern(self) -> bool:
        """Whether it conditions on any variables, not only on the first ones of its order."""
        return self.network.schedule.resamples_order

    def serves(self, pattern: Tensor) -> bool:
        """Whether the variables of a pattern (D,) bool can be known, and the others not."""
        return self.serves_any_pattern or is_prefix(self.masks.ordering, pattern)

    @property
    def _follows_order(self) -> bool:
        """Whether hidden degrees change with the ordering: then none serves several examples."""
        return self.network.schedule.hidden_degrees == "by_variable"

    def conditionals(
        self, x: Tensor, context: Tensor | None = None, observed: Tensor | None = None
    ) -> Conditionals:
        """The distribution of each variable given the earlier ones of each example.

        Args:
            x: (B, D) codes.
            context: (B,) int64 class labels in 0..num_classes-1, or None.
            observed: (B, D) bool, the variables that are known and first in the ordering; the
                others are not read (NaN) and count 0. None where all are known.
        """
        x = self.groups.filled(x, observed)
        params = self.params(self.groups.features(x), self.one_hot(context, x.size(0)))
        return Conditionals(self.groups, params, observed)

    def params(self, features: Features, context: Tensor | None = None) -> Tensor:
        """What the network makes of features (B, F) and one-hot labels or None: (B, P)."""
        network, masks = self.network, self.masks
        if not (masks.is_per_example and self._follows_order and isinstance(features, Tensor)):
            params: Tensor = network(features, masks, context)
            return params
        found, inverse = torch.unique(masks.ordering, dim=0, return_inverse=True)
        rows = [torch.nonzero(inverse == number).flatten() for number in range(len(found))]
        parts = [
            network(
                features[own],
                network.schedule.reordered(masks, ordering),
                None if context is None else context[own],
            )
            for ordering, own in zip(found, rows, strict=True)
        ]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def log_prob(
        self, x: Tensor, context: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """Log-probability (B,) of what is known of the codes x (B, D); see `conditionals`."""
        return self.terms(x, context, observed).sum(1)

    def terms(
        self, x: Tensor, context: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """As `log_prob`, of each variable given those before it in the ordering, (B, D)."""
        return self.conditionals(x, context, observed).log_prob(x)

    def one_hot(self, context: Tensor | None, num_examples: int) -> Tensor | None:
        """Class labels as the network takes them, (B, num_classes); None for one without classes.

        Args:
            context: (B,) whole numbers in 0..num_classes-1, or None.
            num_examples: How many there must be.

        Raises:
            ValueError: If labels are missing, not wanted, too many or too few, or out of range.
        """
        network, num_classes = self.network, self.network.num_classes
        if self.label is not None and context is None:
            label = torch.tensor(self.label, device=network.output_bias.device)
            return one_hot(label, num_classes).to(network.output_bias).expand(num_examples, -1)
        if context is None and num_classes:
            raise ValueError(f"context: this model needs class labels 0..{num_classes - 1}")
        if context is None:
            return None
        if not num_classes or self.label is not None:
            raise ValueError("context: this model was built without classes, give None")
        if context.shape != (num_examples,):
            raise ValueError(
                f"context must have shape ({num_examples},), got {tuple(context.shape)}"
            )
        # Labels are looked at before training begins: a look in it would wait for a GPU.
        if not network.training and not _are_labels(context, num_classes):
            raise ValueError(f"context must hold labels in 0..{num_classes - 1}")
        return one_hot(context.long(), num_classes).to(network.output_bias)

    def observed_first(self, observed: Tensor | None) -> Self:
        """The component whose masks are `with_observed_first`; as it is where None says all are."""
        if observed is None:
            return self
        masks = with_observed_first(self.network.schedule, self.masks, observed)
        return replace(self, masks=masks)

    def rows(self, rows: Tensor | slice) -> Self:
        """The component for the examples at `rows`."""
        return replace(self, masks=self.masks.rows(rows))


def _are_labels(context: Tensor, num_classes: int) -> bool:
    return not len(context) or 0 <= int(context.min()) <= int(context.max()) < num_classes
