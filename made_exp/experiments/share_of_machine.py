"""How many processes and threads a run gets on this machine."""

import logging
import sys
from typing import NamedTuple

import torch

from made_exp.machine import cpus_per_job, is_distributed, jobs_at_once
from made_exp.settings.experiment import Settings
from made_exp.training.siblings import copies_can_differentiate

_log = logging.getLogger(__name__)


class Share(NamedTuple):
    """What a run gets.

    Attributes:
        threads: CPU threads of each process; None for as many as torch takes.
        processes: Processes that the run starts, the first included; torchrun's are not counted.
    """

    threads: int | None
    processes: int


def share_of_machine(settings: Settings, device: torch.device) -> Share:
    """The share of a run that computes on `device`.

    An ensemble on the CPU has one thread a process, and a process a CPU, unless it is told
    otherwise: the threads decide the last bits of its numbers, the processes do not.

    Raises:
        ValueError: If several processes are asked for where there can be none.
    """
    trainer, members = settings.trainer, settings.num_members
    wanted, cpus = trainer.num_processes, cpus_per_job()
    if wanted not in (None, 1) and device.type != "cpu":
        raise ValueError(
            f"trainer.processes={wanted} is for the CPU, but the run is on {device}: torchrun "
            "trains on several GPUs"
        )
    if members == 1 or device.type != "cpu":
        if wanted not in (None, 1):
            _log.warning(
                "trainer.processes=%d: the model has one member, one process trains it", wanted
            )
        threads = cpus if jobs_at_once() > 1 else None
        return Share(trainer.num_threads or threads, 1)
    threads = trainer.num_threads or 1
    if is_distributed():
        return Share(threads, 1)
    if wanted is None:
        wanted = max(1, min(members, cpus // threads)) if sys.platform == "linux" else 1
        return Share(threads, _that_can_start(wanted))
    if sys.platform == "win32":
        raise ValueError(f"trainer.processes={wanted}: this system can have 1 alone")
    if wanted > members:
        _log.warning("trainer.processes=%d: the model has %d members, so many", wanted, members)
    processes = _that_can_start(min(wanted, members))
    if processes * threads > cpus:
        _log.warning(
            "%d processes of %d thread(s) share %d CPUs: more than there are only wait for each "
            "other",
            processes,
            threads,
            cpus,
        )
    return Share(threads, processes)


def _that_can_start(processes: int) -> int:
    """So many, or one where the others could not train, which is told."""
    if processes == 1 or copies_can_differentiate():
        return processes
    _log.warning(
        "one process trains all members, not %d: this one has computed gradients beside a GPU, of "
        "which no copy can be made; CUDA_VISIBLE_DEVICES= in the environment leaves the GPU out",
        processes,
    )
    return 1
