"""Which masks a network has: a single mask set, or many that are resampled in training.

A mask set is a pure function of (seed, index): evaluating a model never moves its training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.masks import orderings
from made_exp.masks.mask_set import MaskSet

HIDDEN_DEGREES = ("spread", "uniform", "random")
RESAMPLE = ("none", "order", "connectivity", "both")
ORDER_STREAM, _DEGREE_STREAM = 1, 2


@dataclass(frozen=True)
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
            smallest degree of the layer below to D-1.
        tied: Whether all hidden layers share their degrees (residual networks need it).
        resample: What differs between mask sets: none, order, connectivity or both.
        num_orderings: Number of mask sets in the cycle; 0 never repeats.
        seed: Seed (>= 0) of everything that is drawn.
        sweeps: Share (0..1) of the resampled orderings that sweep an image in some direction; the
            others are uniformly random.
        image_shape: (height, width) of the image, if there are sweeps.
    """

    ordering: tuple[int, ...]
    hidden_sizes: tuple[int, ...] = ()
    hidden_degrees: str = "spread"
    tied: bool = False
    resample: str = "none"
    num_orderings: int = 1
    seed: int = 0
    sweeps: float = 0.0
    image_shape: orderings.ImageShape | None = None

    def __post_init__(self) -> None:
        orderings.check_ordering(self.ordering, len(self.ordering))
        _check_choice("hidden_degrees", self.hidden_degrees, HIDDEN_DEGREES)
        _check_choice("resample", self.resample, RESAMPLE)
        if any(size < 1 for size in self.hidden_sizes):
            raise ValueError(f"hidden_sizes must be >= 1, got {list(self.hidden_sizes)}")
        if self.tied and len(set(self.hidden_sizes)) > 1:
            raise ValueError(f"tied hidden layers need one size, got {list(self.hidden_sizes)}")
        if self.num_orderings < 0:
            raise ValueError(f"num_orderings must be >= 0, got {self.num_orderings}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
        orderings.check_image_share("sweeps", self.sweeps, self.num_dims, self.image_shape)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Of every field; found once, since to look at the ordering is felt in a small step."""
        return hash(tuple(self.__getstate__().values()))

    def __getstate__(self) -> dict[str, Any]:
        # Not the hash: that of a string differs from one process to the next.
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return len(self.ordering)

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

    def mask_set(self, index: int) -> MaskSet:
        """The mask set at `index` (>= 0), on the CPU.

        Raises:
            ValueError: If the index lies outside the cycle.
        """
        limit = self.num_mask_sets
        if index < 0 or (limit and index >= limit):
            raise ValueError(f"mask set {index} does not exist: allowed are 0..{limit - 1}")
        return _mask_set(self, index)


@lru_cache(maxsize=256)
def _mask_set(schedule: MaskSchedule, index: int) -> MaskSet:
    if schedule.resamples_order:
        ordering = _resampled_ordering(schedule, index)
    else:
        ordering = torch.tensor(schedule.ordering, dtype=torch.int64)
    return MaskSet.from_ordering(ordering, _hidden_degrees(schedule, index), index)


def _resampled_ordering(schedule: MaskSchedule, index: int) -> Tensor:
    seed = [schedule.seed, index, ORDER_STREAM]
    if schedule.image_shape and orderings.is_due(index, schedule.sweeps):
        return orderings.sweep(schedule.image_shape, seed)
    return orderings.random(schedule.num_dims, seed)


def _hidden_degrees(schedule: MaskSchedule, index: int) -> tuple[Tensor, ...]:
    """Degrees of every hidden layer; sorted unless they change from one index to the next."""
    if schedule.num_dims < 2:
        return tuple(torch.ones(size, dtype=torch.int64) for size in schedule.hidden_sizes)
    resamples = schedule.is_resampled and schedule.resample in ("connectivity", "both")
    layers: list[Tensor] = []
    for layer, size in enumerate(schedule.hidden_sizes):
        if layers and schedule.tied:
            layers.append(layers[0])
            continue
        seed = [schedule.seed, index if resamples else 0, _DEGREE_STREAM, layer]
        rng = np.random.Generator(np.random.PCG64(seed))
        lowest = int(layers[-1].min()) if layers else 1
        degrees = _draw_degrees(schedule.hidden_degrees, size, schedule.num_dims, lowest, rng)
        if resamples:
            degrees = degrees[np.argsort(rng.random(size), kind="stable")]
        else:
            degrees = np.sort(degrees)
        layers.append(torch.from_numpy(degrees))
    return tuple(layers)


def _draw_degrees(
    kind: str, size: int, num_dims: int, lowest: int, rng: np.random.Generator
) -> np.ndarray:
    """(size,) int64 degrees in 1..num_dims-1."""
    if kind == "spread":
        return 1 + np.arange(size, dtype=np.int64) * (num_dims - 1) // size
    start = lowest if kind == "random" else 1
    span = num_dims - start
    return start + np.minimum((rng.random(size) * span).astype(np.int64), span - 1)


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} '{value}' is not one of {', '.join(allowed)}")
