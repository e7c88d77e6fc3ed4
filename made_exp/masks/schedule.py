"""Which masks a network has: a single mask set, or many that are resampled in training.

A mask set is a pure function of (seed, index): evaluating a model never moves its training.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from made_exp.masks import orderings
from made_exp.masks.mask_set import MaskSet

ORDER_STREAM, _DEGREE_STREAM = 1, 2
_MISSING_STEPS = (0.0, 0.05, 0.2, 0.5)


@dataclass(frozen=True, eq=False)
class MaskSchedule:
    """The mask sets of one network, as functions of (seed, index): a fixed one, or many.

    Order-agnostic and connectivity-agnostic training (section 4.2 and 4.3 of the paper) are
    settings of the same schedule: `resample` says what changes with the index.

    Attributes:
        ordering: The fixed ordering, a permutation of 0..D-1; where the order is resampled it is
            used by no mask set.
        hidden_sizes: Units in each hidden layer.
        hidden_degrees: How hidden degrees are chosen. `spread`: equally over 1..D-1; `uniform`:
            drawn uniformly from 1..D-1; `random`: as in the paper, drawn uniformly from the
            smallest degree of the layer below to D-1; `by_variable`: each unit belongs to one
            variable and sees all that comes before it, in every ordering.
        residual: Whether every second hidden layer is added to the one two below it, for which all
            have the same degrees.
        resample: What differs between mask sets: none, order, connectivity or both.
        num_orderings: Number of mask sets in the cycle; 0 never repeats.
        seed: Seed (>= 0) of everything that is drawn.
        sweeps: Share (0..1) of the resampled orderings that sweep an image in some direction; the
            others are uniformly random.
        image_shape: (height, width) of the image, if there are sweeps.
        missing: Share (0..1) of the training examples in which each variable is missing; () where
            none ever is.
        first: Variables that come first in every ordering, as those do that are given; hidden
            units see all of them.

    Examples:
        >>> schedule = MaskSchedule((0, 1, 2), (4,), resample="order", num_orderings=2)
        >>> [sorted(schedule.mask_set(index).ordering.tolist()) for index in range(2)]
        [[0, 1, 2], [0, 1, 2]]
    """

    ordering: tuple[int, ...]
    hidden_sizes: tuple[int, ...] = ()
    hidden_degrees: str = "spread"
    residual: bool = False
    resample: str = "none"
    num_orderings: int = 1
    seed: int = 0
    sweeps: float = 0.0
    image_shape: orderings.ImageShape | None = None
    missing: tuple[float, ...] = ()
    first: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert sorted(self.ordering) == list(range(self.num_dims))
        assert not self.residual or len(set(self.hidden_sizes)) == len(self.hidden_sizes) % 2
        assert len(set(self.first)) == len(self.first) < self.num_dims
        if self.sweeps and not orderings.is_image(self.image_shape, self.num_dims):
            raise ValueError(f"sweeps={self.sweeps} needs images, but the data have no image shape")

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return len(self.ordering)

    @property
    def lowest_degree(self) -> int:
        """The least degree of a hidden unit: it sees all variables that come first."""
        return max(1, len(self.first))

    def first_first(self, ordering: Tensor) -> Tensor:
        """The ordering (D,) with the variables that come first moved to its front."""
        if not self.first:
            return ordering
        is_late = ~torch.isin(ordering, torch.tensor(self.first))
        return ordering[torch.argsort(is_late.int(), stable=True)]

    @cached_property
    def is_resampled(self) -> bool:
        """Whether there is more than one mask set."""
        return self.resample != "none" and self.num_orderings != 1

    @property
    def num_mask_sets(self) -> int:
        """Number of mask sets; 0 where they never repeat."""
        return self.num_orderings if self.is_resampled else 1

    @property
    def resamples_order(self) -> bool:
        """Whether the same weights serve many orderings, so that they condition on anything."""
        return self.is_resampled and self.resample in ("order", "both")

    @cached_property
    def missing_ranks(self) -> Tensor | None:
        """How often each variable is missing (D,), in coarse steps, 0 for never; None if all are 0.

        They are coarse so that orderings that follow them stay many.
        """
        if not any(self.missing):
            return None
        steps = torch.tensor(_MISSING_STEPS, dtype=torch.float64)
        return torch.bucketize(torch.tensor(self.missing, dtype=torch.float64), steps)

    @property
    def begins_with_asked(self) -> bool:
        """Whether a question may be answered in orderings that begin with what is asked.

        Not where values were missing: what is often missing would begin with what was seen of it.
        """
        return self.resamples_order and self.missing_ranks is None

    def mask_set(self, index: int) -> MaskSet:
        """The mask set at `index` (>= 0), on the CPU.

        Raises:
            ValueError: If the index lies outside the cycle.
        """
        self._check(index)
        return _mask_set(self, index)

    def scored_set(self, index: int) -> MaskSet:
        """The mask set at `index` as a model is scored and sampled with it.

        An ordering that begins with a variable that is often missing learns its marginal from the
        examples alone in which it is not: a biased one where another variable decides what is
        missing. So variables of lower `missing_ranks` come first.
        """
        self._check(index)
        return _scored_set(self, index)

    def _check(self, index: int) -> None:
        limit = self.num_mask_sets
        if index < 0 or (limit and index >= limit):
            raise ValueError(f"mask set {index} does not exist: allowed are 0..{limit - 1}")

    def reordered(self, masks: MaskSet, ordering: Tensor) -> MaskSet:
        """A mask set with another ordering (D,), or one for each example (B, D).

        Units that belong to a variable follow it, but where examples differ they stay.
        """
        degrees = masks.hidden_degrees
        if self.hidden_degrees == "by_variable" and ordering.ndim == 1:
            degrees = tuple(d.to(ordering.device) for d in _owned_degrees(self, ordering.cpu()))
        return replace(masks, ordering=ordering, hidden_degrees=degrees)


@lru_cache(maxsize=256)
def _mask_set(schedule: MaskSchedule, index: int) -> MaskSet:
    seed = [schedule.seed, index, ORDER_STREAM]
    if not schedule.resamples_order:
        ordering = torch.tensor(schedule.ordering, dtype=torch.int64)
    elif schedule.image_shape and orderings.is_due(index, schedule.sweeps):
        ordering = orderings.sweep(schedule.image_shape, seed)
    else:
        ordering = orderings.random(schedule.num_dims, seed)
    ordering = schedule.first_first(ordering)
    owned = schedule.hidden_degrees == "by_variable"
    degrees = _owned_degrees(schedule, ordering) if owned else _hidden_degrees(schedule, index)
    return MaskSet(index, ordering, degrees, len(schedule.first))


def _owned_degrees(schedule: MaskSchedule, ordering: Tensor) -> tuple[Tensor, ...]:
    """Degrees of every hidden layer whose units belong to the variables in equal shares.

    A unit of variable d, at position p (0..D-1), sees the p variables before it; what belongs to
    the first variable is of use to the later ones and sees it. What is given owns none.
    """
    num_dims, positions = schedule.num_dims, orderings.inverse_ordering(ordering)
    late = torch.tensor([d for d in range(num_dims) if d not in schedule.first])
    layers = []
    for size in schedule.hidden_sizes:
        owners = late[torch.arange(size) * len(late) // size]
        degrees = positions[owners].clamp(schedule.lowest_degree, max(num_dims - 1, 1))
        layers.append(degrees if schedule.resamples_order else degrees.sort().values)
    return tuple(layers)


@lru_cache(maxsize=256)
def _scored_set(schedule: MaskSchedule, index: int) -> MaskSet:
    masks, ranks = _mask_set(schedule, index), schedule.missing_ranks
    if not schedule.resamples_order or ranks is None:
        return masks
    moved = masks.ordering[torch.argsort(ranks[masks.ordering], stable=True)]
    return schedule.reordered(masks, moved)


def _hidden_degrees(schedule: MaskSchedule, index: int) -> tuple[Tensor, ...]:
    """Degrees of every hidden layer; sorted unless they change from one index to the next."""
    if schedule.num_dims < 2:
        return tuple(torch.ones(size, dtype=torch.int64) for size in schedule.hidden_sizes)
    resamples = schedule.is_resampled and schedule.resample in ("connectivity", "both")
    layers: list[Tensor] = []
    for layer, size in enumerate(schedule.hidden_sizes):
        if layers and schedule.residual:
            layers.append(layers[0])
            continue
        seed = [schedule.seed, index if resamples else 0, _DEGREE_STREAM, layer]
        rng = np.random.Generator(np.random.PCG64(seed))
        lowest = int(layers[-1].min()) if layers else schedule.lowest_degree
        start = lowest if schedule.hidden_degrees == "random" else schedule.lowest_degree
        span = schedule.num_dims - start
        if schedule.hidden_degrees == "spread":
            degrees = start + np.arange(size, dtype=np.int64) * span // size
        else:
            degrees = start + np.minimum((rng.random(size) * span).astype(np.int64), span - 1)
        if resamples:
            degrees = degrees[np.argsort(rng.random(size), kind="stable")]
        else:
            degrees = np.sort(degrees)
        layers.append(torch.from_numpy(degrees))
    return tuple(layers)
