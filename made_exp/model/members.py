"""What the mixture that a model is consists of: networks under mask sets, and simple densities."""

from abc import ABC
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.errors import whole_number
from made_exp.masks.mask_set import MaskSet
from made_exp.model.component import Component
from made_exp.model.lengths import class_log_odds, length_edges, length_labels
from made_exp.model.networks import MaskedNetwork
from made_exp.model.simple import SimpleComponent
from made_exp.variables.groups import VariableGroups

DEFAULT_ORDERINGS = 32


class Members(nn.Module, ABC):
    """The densities of a mixture over the same variables.

    Its components are the mask sets of its members: first the only one of each member but the last,
    then all that the last one has; where members have latent classes, one for each of these. Simple
    densities come after them.

    Args:
        groups: Conditionals and encodings of the variables.
        networks: The members: each maps encoded variables to params of the conditionals.
        num_latent: Latent classes of each network, which its labels then are; 0 for none.
        num_orderings: Components of the mixture; default all there are, or 32 where mask sets
            never repeat.
        extras: Simple densities of the mixture, by name.

    Raises:
        ValueError: If the model does not have that many components.
    """

    length_edges: Tensor

    def __init__(
        self,
        groups: VariableGroups,
        networks: Sequence[MaskedNetwork],
        num_latent: int,
        num_orderings: int | None,
        extras: Mapping[str, SimpleDensity],
    ) -> None:
        super().__init__()
        self.groups, self.networks = groups, nn.ModuleList(networks)
        self.members, self.num_latent = tuple(networks), num_latent
        labels = [*range(num_latent)] or [None]
        fixed = len(networks) - networks[-1].schedule.is_resampled
        self._fixed = [(number, label) for number in range(fixed) for label in labels]
        self.num_orderings = num_orderings or self.max_orderings or DEFAULT_ORDERINGS
        self.check_num_orderings(self.num_orderings)
        edges = torch.zeros(max(0, num_latent - 1), dtype=torch.float64)
        self.register_buffer("length_edges", edges, persistent=num_latent > 0)
        self.extras, self._extras = nn.ModuleDict(extras), tuple(extras.values())

    @property
    def max_orderings(self) -> int:
        """How many components there are; 0 where mask sets never repeat."""
        last = self.members[-1].schedule
        if not last.is_resampled:
            return self.num_fixed
        return last.num_mask_sets and self.num_fixed + last.num_mask_sets

    @property
    def num_fixed(self) -> int:
        """How many components, the first ones, are of networks that have one order each."""
        return len(self._fixed)

    @property
    def num_classes(self) -> int:
        """Classes of the context; 0 for none."""
        return 0 if self.num_latent else self.members[0].num_classes

    @torch.no_grad()
    def initialise_bias(self, train: Tensor) -> None:
        """Start the output biases at the marginals of `train` (N, D), in data space."""
        params = self.groups.initial_params(self.groups.encode(train.to(self.device)))
        for member in self.members:
            member.output_bias.copy_(params)

    @torch.no_grad()
    def find_classes(self, train: Tensor) -> Tensor:
        """Find the latent classes in `train` (N, D); how many rows (K,) each has.

        Networks start at the marginals in each class, as `initialise_bias` does for all rows.
        """
        self.length_edges.copy_(length_edges(train, self.num_latent))
        labels = length_labels(train, self.length_edges.cpu())
        offsets = class_log_odds(train, labels, self.num_latent)
        for member in self.members:
            weight = member.context[-1].weight
            assert isinstance(weight, Tensor)
            weight.copy_(offsets.T)
        return torch.bincount(labels, minlength=self.num_latent)

    def labels(self, x: Tensor) -> Tensor | None:
        """Latent classes (N,) int64 of rows x (N, D); None where networks have none."""
        return length_labels(x, self.length_edges) if self.num_latent else None

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return self.groups.num_dims

    @property
    def num_modelled(self) -> int:
        """How many of the D variables have a probability."""
        return self.groups.num_modelled

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
        number, mask_set, label = self._place(index)
        masks = self.members[number].schedule.scored_set(mask_set).to(self.device)
        return Component(self.groups, self.members[number], number, masks, label)

    def indices_of(self, member: int, count: int) -> list[int]:
        """Of the first `count` components those of a member."""
        return [index for index in range(count) if self._place(index)[0] == member]

    def index_at(self, step: int) -> int:
        """Index of the component that training step `step` (0, 1, ...) uses.

        Each member in turn, and of the last one each mask set; of latent classes the first stands
        for all.
        """
        number, turn = self._turn(step)
        count = self.members[number].schedule.num_mask_sets
        return number * max(1, self.num_latent) + (turn % count if count else turn)

    def member_at(self, step: int) -> int:
        """Number of the member that training step `step` (0, 1, ...) trains.

        One of many orders has more to learn: every other step, where there are fixed ones too.
        """
        return self._turn(step)[0]

    def turn_at(self, step: int) -> int:
        """How often that member was trained before training step `step` (0, 1, ...)."""
        return self._turn(step)[1]

    def _turn(self, step: int) -> tuple[int, int]:
        """The member that a step trains, and how often it was trained before."""
        count = len(self.members)
        fixed = count - self.members[-1].schedule.is_resampled
        if fixed in (0, count):
            return step % count, step // count
        return (fixed, step // 2) if step % 2 else (step // 2 % fixed, step // 2 // fixed)

    def at_step(self, step: int) -> Component:
        """The component that training step `step` (0, 1, ...) uses, with its `masks_at`."""
        number, *_ = self._place(self.index_at(step))
        masks = self.masks_at(step).to(self.device)
        return Component(self.groups, self.members[number], number, masks)

    def masks_at(self, step: int) -> MaskSet:
        """The mask set of training step `step`, on the CPU.

        Every other time an index comes round it is the one that is scored, so that these are
        trained best; in between the ordering is as it was drawn, to complete any pattern.
        """
        number, mask_set, _ = self._place(self.index_at(step))
        schedule = self.members[number].schedule
        is_scored = self._turn(step)[1] // (schedule.num_mask_sets or 1) % 2 == 0
        return (schedule.scored_set if is_scored else schedule.mask_set)(mask_set)

    def _place(self, index: int) -> tuple[int, int, int | None]:
        """The member of a component, which of the member's mask sets it has, and which label."""
        limit, last = self.max_orderings, len(self.members) - 1
        if index < 0 or (limit and index >= limit):
            allowed = f"0..{limit - 1}" if limit else ">= 0"
            raise ValueError(f"component {index} does not exist: allowed are {allowed}")
        if index < self.num_fixed:
            number, label = self._fixed[index]
            return number, 0, label
        return last, index - self.num_fixed, None

    def indices(self, num_orderings: int | None = None) -> list[int]:
        """Of the mixture of so many orderings: theirs from 0 on, then -E..-1, the extras'."""
        return [*range(num_orderings or self.num_orderings), *range(-len(self.extras), 0)]

    def density(self, index: int) -> Component | SimpleComponent:
        """The density of the mixture with this index, see `indices`."""
        if index >= 0:
            return self.component(index)
        return SimpleComponent(self._extras[index], self.dtype)

    def check_num_orderings(self, count: int) -> int:
        """Return `count`; raise ValueError unless the model has that many components."""
        limit = self.max_orderings
        if limit and isinstance(count, int) and not 1 <= count <= limit:
            raise ValueError(f"num_orderings must be in 1..{limit}, got {count}")
        return whole_number("num_orderings", count, 1)
