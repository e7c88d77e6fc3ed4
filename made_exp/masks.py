"""Degrees and the masks they stand for: which unit may look at which.

Each unit has a degree. Input variable d has its position in the ordering + 1 (1..D), a hidden
unit 1..D-1, and the output of variable d its input degree - 1 (0..D-1). In every layer output
unit o sees input unit i exactly if `out_degrees[o] >= in_degrees[i]`, so that the output of a
variable depends on no variable at the same or a later position (Germain et al. 2015, section 3).

A mask set is a pure function of (seed, index): evaluating a model never moves its training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from made_exp import orderings

HIDDEN_DEGREES = ("spread", "uniform", "random")
RESAMPLE = ("none", "order", "connectivity", "both")
_ORDER_STREAM, _DEGREE_STREAM = 1, 2


def visibility(in_degrees: Tensor, out_degrees: Tensor) -> Tensor:
    """The mask M[o, i] = [out_degrees[o] >= in_degrees[i]].

    Args:
        in_degrees: (I,) int64.
        out_degrees: (O,) int64.

    Returns:
        (O, I) bool.

    >>> visibility(torch.tensor([1, 2, 3]), torch.tensor([1, 2])).int().tolist()
    [[1, 0, 0], [1, 1, 0]]
    """
    return out_degrees[:, None] >= in_degrees[None, :]


@dataclass(frozen=True, eq=False)
class MaskSet:
    """An ordering and the degrees of every hidden unit: all masks of one network.

    Where examples have different variables observed, each has an ordering of its own: ordering
    and degrees of inputs are then (B, D), while hidden degrees are shared.

    Attributes:
        index: Which mask set of its schedule this is; -1 for one made for a single use.
        ordering: (D,) int64, `ordering[t]` is the variable modelled at step t; or (B, D).
        input_degrees: (D,) int64 in 1..D; or (B, D).
        hidden_degrees: For each hidden layer (H,) int64 in 1..D-1.
    """

    index: int
    ordering: Tensor
    input_degrees: Tensor
    hidden_degrees: tuple[Tensor, ...]

    @classmethod
    def from_ordering(
        cls, ordering: Tensor, hidden_degrees: Sequence[Tensor], index: int = -1
    ) -> "MaskSet":
        """Derive the input degrees from `ordering` (D,) or (B, D)."""
        degrees = orderings.inverse_ordering(ordering) + 1
        return cls(index, ordering, degrees, tuple(hidden_degrees))

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return self.ordering.shape[-1]

    @property
    def is_per_example(self) -> bool:
        """Whether every example has an ordering of its own."""
        return self.ordering.ndim == 2

    @cached_property
    def output_degrees(self) -> Tensor:
        """As `input_degrees`, in 0..D-1: what the output of each variable may see at most."""
        return self.input_degrees - 1

    @cached_property
    def floating(self) -> "MaskSet":
        """The same with degrees as float32, exact to 2**24, which the CPU compares faster."""
        hidden = tuple(degrees.float() for degrees in self.hidden_degrees)
        return MaskSet(self.index, self.ordering, self.input_degrees.float(), hidden)

    def rows(self, rows: Tensor) -> "MaskSet":
        """The mask set for the examples at `rows`."""
        if not self.is_per_example:
            return self
        ordering, degrees = self.ordering[rows], self.input_degrees[rows]
        return MaskSet(self.index, ordering, degrees, self.hidden_degrees)

    def to(self, device: torch.device | str) -> "MaskSet":
        """The same mask set on `device`."""
        if self.ordering.device == torch.device(device):
            return self
        return MaskSet(
            self.index,
            self.ordering.to(device),
            self.input_degrees.to(device),
            tuple(degrees.to(device) for degrees in self.hidden_degrees),
        )

    def with_first(self, observed: Tensor) -> "MaskSet":
        """The mask set whose ordering has the observed variables first, otherwise unchanged.

        Args:
            observed: (D,) bool, or (B, D) for an ordering of each example.
        """
        is_late = ~observed.to(self.ordering.device)[..., self.ordering]
        moved = self.ordering[torch.argsort(is_late.int(), dim=-1, stable=True)]
        return MaskSet.from_ordering(moved, self.hidden_degrees)


@dataclass(frozen=True)
class MaskSchedule:
    """Which mask set is used at which training step; mask sets are functions of (seed, index).

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
        every: Training steps for which a mask set stays.
        seed: Seed (>= 0) of everything that is drawn.
        sweeps: Share (0..1) of the resampled orderings that sweep an image in some direction; the
            others are uniformly random.
        image_shape: (height, width) of the image, if there are sweeps.
        separate: Whether each mask set has weights of its own: an ensemble.
        natural: Share (0..1) of the resampled orderings that are `ordering` itself.
        rasters: Share (0..1) of the resampled orderings that read an image in lines, from its
            corners in turn.
    """

    ordering: tuple[int, ...]
    hidden_sizes: tuple[int, ...] = ()
    hidden_degrees: str = "spread"
    tied: bool = False
    resample: str = "none"
    num_orderings: int = 1
    every: int = 1
    seed: int = 0
    sweeps: float = 0.0
    image_shape: orderings.ImageShape | None = None
    separate: bool = False
    natural: float = 0.0
    rasters: float = 0.0

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
        if self.every < 1:
            raise ValueError(f"every must be >= 1, got {self.every}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
        for name in ("sweeps", "natural", "rasters"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, got {getattr(self, name)}")
        if self.separate and (self.resample != "order" or self.num_orderings < 1):
            raise ValueError(
                f"mask sets with separate weights need resample=order and num_orderings >= 1, got "
                f"resample={self.resample}, num_orderings={self.num_orderings}"
            )
        is_image = self.image_shape and math.prod(self.image_shape) == self.num_dims
        for name in ("sweeps", "rasters"):
            share = getattr(self, name)
            if share and not is_image:
                raise ValueError(f"{name}={share} needs images, but the data have no image shape")

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return len(self.ordering)

    @property
    def is_resampled(self) -> bool:
        """Whether there is more than one mask set."""
        return self.resample != "none" and self.num_orderings != 1

    @property
    def resamples_order(self) -> bool:
        """Whether mask sets differ in their orderings."""
        return self.is_resampled and self.resample in ("order", "both")

    @property
    def serves_any_order(self) -> bool:
        """Whether the same weights serve many orderings, so that they condition on anything."""
        return self.resamples_order and not self.separate

    def single(self, index: int) -> "MaskSchedule":
        """The schedule that has the mask set at `index` alone."""
        ordering = tuple(self.mask_set(index).ordering.tolist())
        return replace(self, ordering=ordering, resample="none", separate=False)

    def index_at(self, step: int) -> int:
        """Index of the mask set that training step `step` (0, 1, ...) uses."""
        if not self.is_resampled:
            return 0
        index = step // self.every
        return index % self.num_orderings if self.num_orderings else index

    def mask_set(self, index: int) -> MaskSet:
        """The mask set at `index` (>= 0), on the CPU.

        Raises:
            ValueError: If the index lies outside the cycle.
        """
        limit = self.num_orderings if self.is_resampled else 1
        if index < 0 or (limit and index >= limit):
            raise ValueError(f"mask set {index} does not exist: allowed are 0..{limit - 1}")
        return _mask_set(self, index)

    def at_step(self, step: int) -> MaskSet:
        """The mask set that training step `step` uses."""
        return self.mask_set(self.index_at(step))


@lru_cache(maxsize=256)
def _mask_set(schedule: MaskSchedule, index: int) -> MaskSet:
    if schedule.resamples_order:
        ordering = _resampled_ordering(schedule, index)
    else:
        ordering = torch.tensor(schedule.ordering, dtype=torch.int64)
    return MaskSet.from_ordering(ordering, _hidden_degrees(schedule, index), index)


def _resampled_ordering(schedule: MaskSchedule, index: int) -> Tensor:
    seed = [schedule.seed, index, _ORDER_STREAM]
    if _is_due(index, schedule.natural):
        return torch.tensor(schedule.ordering, dtype=torch.int64)
    if schedule.image_shape and _is_due(index, schedule.rasters):
        return orderings.raster(schedule.image_shape, int(index * schedule.rasters))
    if schedule.image_shape and _is_due(index, schedule.sweeps):
        return orderings.sweep(schedule.image_shape, seed)
    return orderings.random(schedule.num_dims, seed)


def _is_due(index: int, share: float) -> bool:
    """Whether `index` is one of the `share` that are special: every stretch has its share."""
    return int((index + 1) * share) > int(index * share)


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
