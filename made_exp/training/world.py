"""Several processes that share one training: who they are, and what they tell each other."""

from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor
from typing_extensions import override

_CPU = torch.device("cpu")


class World(ABC):
    """This process among those of its run.

    What is told are plain values and tensors on the CPU. All processes call the same methods in
    the same order; `is_called` alone may be asked at any moment.

    Args:
        rank: 0..size-1; only rank 0 writes files and logs.
        size: Number of processes.
        device: Where this process computes.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device = _CPU) -> None:
        self.rank, self.size, self.device = rank, size, device

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    @abstractmethod
    def gather(self, value: Any) -> list[Any] | None:
        """What each process gives, by rank, in the main process; None in the others."""

    @abstractmethod
    def from_main(self, value: Any) -> Any:
        """What the main process gives, in every process."""

    @abstractmethod
    def receive(self, value: Any, rank: int) -> Any:
        """In the main process what process `rank` gives, in that one None; others do not call."""

    @abstractmethod
    def is_called(self) -> bool:
        """Whether another process waits in `meet` for this one."""

    @abstractmethod
    def meet(self, value: Any) -> list[Any]:
        """What each process gives, by rank, in every process; those that have not come are told."""

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        return any(self.meet(flag)) if self.size > 1 else flag

    def mean(self, values: Tensor) -> Tensor:
        """The mean of `values` over the processes."""
        if self.size == 1:
            return values
        return torch.stack(self.meet(values.detach().cpu())).mean(0)

    def wait(self) -> None:
        """Return when every process has called this."""
        self.any(False)


@final
class Alone(World):
    """The only process of its run."""

    @override
    def gather(self, value: Any) -> list[Any]:
        return [value]

    @override
    def from_main(self, value: Any) -> Any:
        return value

    @override
    def receive(self, value: Any, rank: int) -> Any:
        raise AssertionError("there is no other process")

    @override
    def is_called(self) -> bool:
        return False

    @override
    def meet(self, value: Any) -> list[Any]:
        return [value]


ALONE = Alone()
