"""The names of the kernels, which of them can run where, and which is best."""

import importlib.util
import os
from functools import cache

import torch

BACKENDS = ("auto", "dense", "staircase", "triton")
ACTIVATIONS = ("none", "relu")

# Below this many weights the calls around blocks cost more than they save. On a GPU, where they
# cost more and arithmetic less, that is so up to 2000 x 2000.
SMALL_WEIGHT = 150_000
SMALL_WEIGHT_GPU = 5_000_000
# Tensor cores make the arithmetic of half precision so cheap that reading the weights counts, which
# a Triton kernel does least of; for smaller ones its launches cost more than they save.
LARGE_HALF_WEIGHT = 1_000_000


def choose_backend(
    device: torch.device,
    in_features: int,
    out_features: int,
    *,
    dtype: torch.dtype = torch.float32,
) -> str:
    """The backend that `auto` stands for; where degrees come with each call, staircase is dense.

    Args:
        device: Where the layer computes.
        in_features: Number of inputs I.
        out_features: Number of outputs O.
        dtype: In which products are taken.
    """
    size, is_gpu = in_features * out_features, device.type == "cuda"
    is_large_half = dtype in (torch.bfloat16, torch.float16) and size >= LARGE_HALF_WEIGHT
    if is_gpu and is_large_half and triton_is_usable(device):
        return "triton"
    return "dense" if size < (SMALL_WEIGHT_GPU if is_gpu else SMALL_WEIGHT) else "staircase"


def check_backend(backend: str, device: torch.device | None = None) -> None:
    """Refuse a backend that does not exist, or that cannot run on the device.

    Raises:
        ValueError: With the backend, and what is needed or allowed.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: got {backend!r}; allowed: {', '.join(BACKENDS)}")
    if backend != "triton":
        return
    if not triton_is_installed():
        raise ValueError(
            "kernel=triton: the package triton is not installed; "
            "install it, or choose auto, dense or staircase"
        )
    if device is not None and not triton_is_usable(device):
        raise ValueError(
            f"kernel=triton: needs a CUDA device, got device {str(device)!r}; "
            "choose auto, dense or staircase (TRITON_INTERPRET=1 interprets it slowly on the CPU)"
        )


@cache
def triton_is_installed() -> bool:
    """Whether the package can be imported."""
    return importlib.util.find_spec("triton") is not None


def triton_is_interpreted() -> bool:
    """Whether Triton kernels run in Python on the CPU, for tests."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def triton_is_usable(device: torch.device) -> bool:
    """Whether Triton kernels run on tensors of this device."""
    return triton_is_installed() and (device.type == "cuda" or triton_is_interpreted())


def compute_dtype(x: torch.Tensor, weight: torch.Tensor) -> torch.dtype:
    """The dtype of the matrix products: autocast's where it is on, else that of the weight.

    Raises:
        ValueError: x and weight differ in dtype and autocast is off.
    """
    kind = x.device.type
    if x.dtype != torch.float64 and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    if x.dtype != weight.dtype:
        raise ValueError(f"x: got {x.dtype}; allowed: the dtype of the weight, {weight.dtype}")
    return x.dtype
