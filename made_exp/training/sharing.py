"""Which process trains which members of a model; values of all members come together in one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from made_exp.training.world import ALONE, World

_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False)
class Shares:
    """The members of a model, each trained by one process, its owner.

    Attributes:
        world: The processes.
        owners: Rank of the owner of each member.
    """

    world: World
    owners: tuple[int, ...]

    @property
    def is_shared(self) -> bool:
        """Whether there are several processes, which train at their own pace."""
        return self.world.size > 1

    @property
    def own(self) -> list[int]:
        """Numbers of the members of this process, rising."""
        return [member for member in range(len(self.owners)) if self.owns(member)]

    def owns(self, member: int) -> bool:
        """Whether this process trains a member."""
        return self.owners[member] == self.world.rank

    def collect(self, make: Callable[[int], _Value]) -> list[_Value] | None:
        """What `make` gives for each member, made by its owner; None where not the main process."""
        values: list[Any] = []
        for member, owner in enumerate(self.owners):
            value = make(member) if self.owns(member) else None
            if owner and self.world.rank in (0, owner):
                value = self.world.receive(value, owner)
            values.append(value)
        return values if self.world.is_main else None


def all_mine(num_members: int) -> Shares:
    """Every member in this process."""
    return Shares(ALONE, (ALONE.rank,) * num_members)


def share_out(world: World, costs: Sequence[int]) -> Shares:
    """Give each member, the costliest first, to the process that has least to do.

    Args:
        world: The processes.
        costs: Of each member, in any unit; the first of a tie goes first.
    """
    loads, owners = [0] * world.size, [0] * len(costs)
    for member in sorted(range(len(costs)), key=lambda member: -costs[member]):
        owners[member] = loads.index(min(loads))
        loads[owners[member]] += costs[member]
    return Shares(world, tuple(owners))
