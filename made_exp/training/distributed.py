"""Several processes that share one training (torchrun): who they are and what they agree on."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn  # imported while a group lives, it would keep that one for ever
from torch import Tensor

from made_exp.machine import is_distributed


@dataclass(frozen=True)
class World:
    """This process among those of its run.

    Attributes:
        rank: 0..size-1; only rank 0 writes files and logs.
        size: Number of processes.
        device: Where this process keeps what it communicates.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean of `values` over the processes."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.size
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if self.size == 1:
            return flag
        flags = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags.item())

    def from_main(self, value: Any) -> Any:
        """What rank 0 gives, in every process; a plain value."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, 0, device=self.device)
        return values[0]

    def wait(self) -> None:
        """Return when every process has called this."""
        self.any(False)


ALONE = World()


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """The world of this process; one process alone where torchrun did not start it.

    Args:
        device: Where the model lies; decides between gloo (CPU) and NCCL.
    """
    if not is_distributed():
        yield World(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
        # What trained holds the group in reference cycles. Threads of gloo that outlive the
        # interpreter abort the process, and torchrun then reports a finished run as failed.
        gc.collect()
