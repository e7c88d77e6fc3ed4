"""Degrees and the masks they stand for: which unit may look at which.

Each unit has a degree. Input variable d has its position in the ordering + 1 (1..D), a hidden
unit 1..D-1, and the output of variable d its input degree - 1 (0..D-1). In every layer output
unit o sees input unit i exactly if `out_degrees[o] >= in_degrees[i]`, so that the output of a
variable depends on no variable at the same or a later position (Germain et al. 2015, section 3).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from made_exp.masks import orderings


def visibility(in_degrees: Tensor, out_degrees: Tensor) -> Tensor:
    """The mask M[o, i] = [out_degrees[o] >= in_degrees[i]].

    Args:
        in_degrees: (I,) int64.
        out_degrees: (O,) int64.

    Returns:
        (O, I) bool.

    Examples:
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
        index: Which mask set of its schedule this is, or has the hidden degrees of.
        ordering: (D,) int64, `ordering[t]` is the variable modelled at step t; or (B, D).
        hidden_degrees: For each hidden layer (H,) int64 in 1..D-1.
        num_given: Variables at the front of the ordering that are given and have no output.

    Examples:
        >>> masks = MaskSet(0, torch.tensor([2, 0, 1]), (torch.tensor([1, 1, 2, 2]),))
        >>> masks.input_degrees.tolist(), masks.output_degrees.tolist()
        ([2, 3, 1], [1, 2, 0])
    """

    index: int
    ordering: Tensor
    hidden_degrees: tuple[Tensor, ...]
    num_given: int = 0

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return self.ordering.shape[-1]

    @property
    def is_per_example(self) -> bool:
        """Whether every example has an ordering of its own."""
        return self.ordering.ndim == 2

    @cached_property
    def input_degrees(self) -> Tensor:
        """(D,) int64 in 1..D, or (B, D): the position of each variable in the ordering, + 1."""
        return orderings.inverse_ordering(self.ordering) + 1

    @cached_property
    def output_degrees(self) -> Tensor:
        """As `input_degrees`, in 0..D-1: what the output of each variable may see at most."""
        return self.input_degrees - 1

    @cached_property
    def layer_degrees(self) -> tuple[Tensor, ...]:
        """Degrees of the inputs, of each hidden layer that has predecessors, and of the outputs."""
        hidden = self.hidden_degrees if self.num_dims > 1 else ()
        return (self.input_degrees, *hidden, self.output_degrees)

    @cached_property
    def floating_degrees(self) -> tuple[Tensor, ...]:
        """`layer_degrees` as float32, exact to 2**24, which the CPU compares faster."""
        return tuple(degrees.float() for degrees in self.layer_degrees)

    def rows(self, rows: Tensor | slice) -> Self:
        """The mask set for the examples at `rows`."""
        return replace(self, ordering=self.ordering[rows]) if self.is_per_example else self

    def to(self, device: torch.device | str) -> Self:
        """The same mask set on `device`, moved there once."""
        device = torch.device(device)
        if self.ordering.device == device:
            return self
        if device not in self._copies:
            hidden = tuple(degrees.to(device) for degrees in self.hidden_degrees)
            moved = replace(self, ordering=self.ordering.to(device), hidden_degrees=hidden)
            self._copies[device] = moved
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[torch.device, Self]:
        return {}
