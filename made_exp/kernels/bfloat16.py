"""Products of float32 matrices with their factors rounded to bfloat16, on a CPU that has them.

Everything is kept and added up in float32; only where two matrices are multiplied their numbers
lose all but 8 bits of the mantissa. So one switch serves every network, with autograd or without.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import torch

# From so many weights in the largest layer on a step takes less time; see docs/kernels.md.
LARGE_LAYER = 1_500_000


@contextmanager
def bfloat16_products() -> Iterator[None]:
    """While entered, the CPU multiplies float32 matrices in bfloat16, where it can.

    The switch is that of the process. Products below 16**3 multiplications stay as they are.
    """
    library: Any = torch.backends.mkldnn  # torch declares no types for it
    setting = library.matmul
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before


@cache
def has_bfloat16_products() -> bool:
    """Whether `bfloat16_products` does what it says on this CPU: with AMX it does.

    Without, the library that torch asks multiplies in float32, and more slowly than by default.
    """
    # bfloat16 has no number between 1 and 1 + 2**-7.
    ones = torch.full((32, 32), 1 + 2**-10, dtype=torch.float32)
    with torch.no_grad(), bfloat16_products():
        return bool((ones @ ones == 32).all())


def choose_precision(device: torch.device, widths: Sequence[int]) -> str:
    """The precision that `auto` stands for: bf16 on a CPU that gains by it, else fp32.

    Args:
        device: Where training runs; on a GPU auto is fp32.
        widths: Variables, units of each hidden layer, and variables again.
    """
    largest = max(below * above for below, above in pairwise(widths))
    gains = device.type == "cpu" and largest >= LARGE_LAYER and has_bfloat16_products()
    return "bf16" if gains else "fp32"
