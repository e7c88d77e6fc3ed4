"""The processes that torchrun, srun or Ray started for one run, on one machine or several."""

import gc
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
import torch.distributed as dist
import torch.distributed.nn  # imported while a group lives, it would keep that one for ever
from torch.distributed.distributed_c10d import _get_default_store
from typing_extensions import override

from made_exp.errors import LostProcessError
from made_exp.machine import rank as own_rank
from made_exp.training.world import Alone, World

_SECONDS_BETWEEN_LOOKS = 0.05
_groups = itertools.count()
"""Numbers the groups that this process joins, one after the other."""


@final
class Ranks(World):
    """This process among those that were started for the run.

    Args:
        rank: See `World`.
        size: See `World`.
        device: See `World`.
        store: Where a process that waits for the others leaves word.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        store: dist.Store | None = None,
    ) -> None:
        super().__init__(rank, size, device)
        self._store, self._meetings, self._looked_at = store, 0, 0.0

    @override
    def gather(self, value: Any) -> list[Any] | None:
        values = [None] * self.size if self.is_main else None
        dist.gather_object(value, values)
        return values

    @override
    def from_main(self, value: Any) -> Any:
        values = [value]
        dist.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]

    @override
    def receive(self, value: Any, rank: int) -> Any:
        values, cpu = [value], torch.device("cpu")
        if self.is_main:
            dist.recv_object_list(values, rank, device=cpu)
            return values[0]
        dist.send_object_list(values, 0, device=cpu)
        return None

    @override
    def is_called(self) -> bool:
        now = time.monotonic()
        if self._store is None or now - self._looked_at < _SECONDS_BETWEEN_LOOKS:
            return False
        self._looked_at = now
        return bool(self._store.check([f"meeting {self._meetings}"]))

    @override
    def meet(self, value: Any) -> list[Any]:
        if self._store is not None:
            self._store.set(f"meeting {self._meetings}", "called")
        self._meetings += 1
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """The world of this process; one process alone where no engine started several.

    Args:
        device: Where the model lies; gradients on GPUs are averaged by NCCL.

    Raises:
        LostProcessError: If another process was lost.
    """
    own = own_rank()
    if own is None:
        yield Alone(device=device)
        return
    if device.type == "cuda":
        # Members of an ensemble may share a GPU.
        device = torch.device("cuda", own.local % torch.cuda.device_count())
        torch.cuda.set_device(device)
    is_there = dist.is_initialized()  # Ray Train has made the group
    if is_there:
        common, rank, size = _get_default_store(), own.number, own.size
    else:
        common, rank, size = next(dist.rendezvous(own.meeting))
    # It lives as long as torchrun, and with it the addresses that a group before left there.
    store = dist.PrefixStore(f"group {next(_groups)}", common)
    if not is_there:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield Ranks(rank, size, device, dist.PrefixStore("made", store))
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostProcessError(
                f"process {rank + 1} of {size} has lost another ({str(error).splitlines()[0]}). "
                "What was saved is intact: resume=true goes on from there"
            ) from error
        raise
    finally:
        if not is_there:
            dist.destroy_process_group()
        # What trained holds the group in reference cycles. Threads of gloo that outlive the
        # interpreter abort the process, and torchrun then reports a finished run as failed.
        gc.collect()
