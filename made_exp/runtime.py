"""The machine under a run: device, threads, seeds, precision, and versions of everything."""

import contextlib
import itertools
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import torch
from filelock import FileLock, Timeout

_log = logging.getLogger(__name__)
_SLOTS_VARIABLE = "MADE_SLOTS_PER_GPU"
_Value = TypeVar("_Value")


def resolve_device(name: str) -> torch.device:
    """The device called `name`: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        ValueError: If the name is unknown, no CUDA device is visible, or number N does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device '{name}' is not one of auto, cpu, cuda, cuda:0, cuda:1, ...")
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError(f"device={name} but no CUDA device is visible")
    count, index = torch.cuda.device_count(), device.index or 0
    if index >= count:
        raise ValueError(f"device={name} does not exist: cuda:0 to cuda:{count - 1} are visible")
    return torch.device("cuda", index)


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that `device` cannot compute in.

    Raises:
        ValueError: If the device is too old.
    """
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError(f"precision=bf16 is not supported by {torch.cuda.get_device_name(device)}")


@contextlib.contextmanager
def _switched(switch: Callable[[_Value], object], to: _Value, back: _Value) -> Iterator[None]:
    switch(to)
    try:
        yield
    finally:
        switch(back)


def matmul_precision(precision: str) -> AbstractContextManager[None]:
    """Matrix products of float32 in TF32 where `precision` is tf32, in full otherwise."""
    before, wanted = (
        torch.get_float32_matmul_precision(),
        "high" if precision == "tf32" else "highest",
    )
    return _switched(torch.set_float32_matmul_precision, wanted, before)


def num_threads(count: int | None) -> AbstractContextManager[None]:
    """Compute with `count` CPU threads (None: as it is), then put the number back."""
    before = torch.get_num_threads()
    return _switched(torch.set_num_threads, before if count is None else count, before)


def flushed_denormals() -> AbstractContextManager[None]:
    """Take numbers too small for full precision (below 1e-38 in float32) as zero on the CPU.

    The moments that Adam keeps of a weight without gradient decay to such numbers, and with them
    its arithmetic takes several times longer. Threads of torch start with the setting of the
    thread that starts them and keep it: enter before the first computation.
    """
    return _switched(torch.set_flush_denormal, True, sys.float_info.min / 2 == 0.0)


@contextlib.contextmanager
def gpu_slot(device: torch.device, *, automatic: bool) -> Iterator[torch.device]:
    """The GPU that this process may use while jobs that run side by side share several.

    Each GPU has a few slots (4, or $MADE_SLOTS_PER_GPU), each a locked file that the kernel frees
    when its holder ends, however it ends. The emptiest GPU is taken first; when all slots are
    taken, the call waits.

    Args:
        device: What `resolve_device` answered.
        automatic: Whether the user left the choice; otherwise `device` is given back as it is.
    """
    if device.type != "cuda" or not automatic:
        yield device
        return
    lock, index = _acquire_slot(torch.cuda.device_count(), int(os.environ.get(_SLOTS_VARIABLE, 4)))
    try:
        yield torch.device("cuda", index)
    finally:
        lock.release()


def _acquire_slot(num_gpus: int, slots_per_gpu: int) -> tuple[FileLock, int]:
    folder = Path(tempfile.gettempdir()) / f"made-exp-gpu-slots-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    has_waited = False
    while True:
        for slot, index in itertools.product(range(slots_per_gpu), range(num_gpus)):
            lock = FileLock(folder / f"{_visible_name(index)}_{slot}.lock")
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                return lock, index
        if not has_waited:
            _log.info("all %d slots of the GPUs are taken: waiting", num_gpus * slots_per_gpu)
            has_waited = True
        time.sleep(1)


def _visible_name(index: int) -> str:
    """What the machine calls the GPU that this process sees as number `index`."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return f"gpu{visible[index] if index < len(visible) and visible[index] else index}"


def derive_seed(seed: int, *keys: int) -> int:
    """A seed in 0..2^63-1 that is a function of `seed` and `keys` alone (splitmix64).

    Streams of random numbers with different keys are unrelated, so that what is drawn at a step
    is a function of the step and needs no state to be resumed.
    """
    state = _mixed(seed)
    for key in keys:
        state = _mixed(state ^ (key & (2**64 - 1)))
    return state >> 1


def _mixed(value: int) -> int:
    """One step of splitmix64: a bijection of 64 bits that scatters neighbours."""
    mask = 2**64 - 1
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def versions() -> dict[str, str]:
    """Versions of Python, torch and what else the numbers may depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("made-exp", "torch", "numpy", "hydra-core"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found
