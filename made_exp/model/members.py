"""The members of a model, and the densities that they have.

Where orderings share their weights, one network serves them all: the model has one member. In an
ensemble each order has a network of its own. Either way a model is the mixture of its components,
each of them one network under one mask set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn.functional import one_hot

from made_exp.masks import orderings
from made_exp.masks.mask_set import MaskSet
from made_exp.masks.observed import with_observed_first
from made_exp.masks.schedule import ORDER_STREAM, MaskSchedule
from made_exp.model.networks import MaskedNetwork
from made_exp.settings.ordering import EnsembleSettings
from made_exp.variables.groups import Conditionals, VariableGroups


@dataclass(frozen=True)
class MemberPlan:
    """What tells one member of an ensemble from the others.

    Attributes:
        index: Its number, 0..M-1.
        ordering: Its order, a permutation of 0..D-1.
        hidden_sizes: Units in each of its hidden layers.
    """

    index: int
    ordering: tuple[int, ...]
    hidden_sizes: tuple[int, ...]


def plan_members(
    ensemble: EnsembleSettings,
    num_dims: int,
    hidden_sizes: Sequence[int],
    *,
    image_shape: orderings.ImageShape | None = None,
    seed: int = 0,
) -> tuple[MemberPlan, ...]:
    """Choose the order and the depth of each member of an ensemble.

    Args:
        ensemble: How many there are, and the shares of each kind; a single one has the natural
            order and every layer.
        num_dims: Number of variables D.
        hidden_sizes: Units in each hidden layer of a member that has them all.
        image_shape: (height, width) of the image, if there are rasters.
        seed: Seed (>= 0) of the random orders.

    Raises:
        ValueError: If there are rasters without an image.
    """
    num_members, rasters = ensemble.num_orderings, ensemble.rasters
    if rasters and not orderings.is_image(image_shape, num_dims):
        raise ValueError(f"rasters={rasters} needs images, but the data have no image shape")

    def order(index: int) -> Tensor:
        if num_members == 1 or orderings.is_due(index, ensemble.natural):
            return orderings.fixed_ordering("natural", num_dims)
        if image_shape and orderings.is_due(index, rasters):
            return orderings.raster(image_shape, int(index * rasters))
        return orderings.random(num_dims, [seed, index, ORDER_STREAM])

    def sizes(index: int) -> tuple[int, ...]:
        # One later in every four: else a quarter in the natural order would all be shallow.
        is_shallow = num_members > 1 and orderings.is_due(index + index // 4, ensemble.shallow)
        return tuple(hidden_sizes[:1] if is_shallow else hidden_sizes)

    return tuple(
        MemberPlan(index, tuple(order(index).tolist()), sizes(index))
        for index in range(num_members)
    )


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a model.

    Attributes:
        index: Its number among the members, 0..M-1.
        network: Its weights.
    """

    index: int
    network: MaskedNetwork

    @property
    def schedule(self) -> MaskSchedule:
        """The mask sets that its network serves."""
        return self.network.schedule


@dataclass(frozen=True, eq=False)
class Component:
    """One density of the mixture: a member's network under one mask set.

    Attributes:
        groups: Conditionals and encodings of the variables.
        member: Whose network it is.
        masks: The ordering and the degrees, on the device of the network.
    """

    groups: VariableGroups
    member: Member
    masks: MaskSet

    def conditionals(
        self, x: Tensor, context: Tensor | None = None, observed: Tensor | None = None
    ) -> Conditionals:
        """The distribution of each variable given the earlier ones of each example.

        Args:
            x: (B, D).
            context: (B,) int64 class labels in 0..num_classes-1, or None.
            observed: (B, D) bool, the variables that are known and first in the ordering; the
                others are not read (NaN) and count 0. None where all are known.
        """
        network = self.member.network
        x = self.groups.filled(x, observed, network.output_bias.dtype)
        params = network(self.groups.features(x), self.masks, self.one_hot(context, x.size(0)))
        return Conditionals(self.groups, params, observed)

    def log_prob(
        self, x: Tensor, context: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor:
        """Log-probability (B,) of what is known of x (B, D), in nats; see `conditionals`."""
        return self.conditionals(x, context, observed).log_prob(x).sum(1)

    def one_hot(self, context: Tensor | None, num_examples: int) -> Tensor | None:
        """Class labels as the network takes them, (B, num_classes); None for one without classes.

        Args:
            context: (B,) whole numbers in 0..num_classes-1, or None.
            num_examples: How many there must be.

        Raises:
            ValueError: If labels are missing, not wanted, too many or too few, or out of range.
        """
        network = self.member.network
        num_classes = network.num_classes
        if context is None and num_classes:
            raise ValueError(f"context: this model needs class labels 0..{num_classes - 1}")
        if context is None:
            return None
        if not num_classes:
            raise ValueError("context: this model was built without classes, give None")
        if context.shape != (num_examples,):
            raise ValueError(
                f"context must have shape ({num_examples},), got {tuple(context.shape)}"
            )
        # Labels are looked at before training begins: a look in it would wait for a GPU.
        if not network.training and not _are_labels(context, num_classes):
            raise ValueError(f"context must hold labels in 0..{num_classes - 1}")
        return one_hot(context.long(), num_classes).to(network.output_bias)

    def observed_first(self, observed: Tensor | None) -> "Component":
        """The component whose ordering has the observed variables first.

        Args:
            observed: (D,) bool, or (B, D) for an ordering of each example; None for all.

        Raises:
            ValueError: If the member has one fixed ordering with others first.
        """
        if observed is None:
            return self
        masks = with_observed_first(self.member.schedule, self.masks, observed)
        return replace(self, masks=masks)

    def rows(self, rows: Tensor) -> "Component":
        """The component for the examples at `rows`."""
        return replace(self, masks=self.masks.rows(rows))


def _are_labels(context: Tensor, num_classes: int) -> bool:
    return not len(context) or 0 <= int(context.min()) <= int(context.max()) < num_classes
