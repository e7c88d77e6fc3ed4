"""Numbers in [0, 1) that are random, and together even: what is drawn by them is off by less."""

from functools import lru_cache
from typing import final

import torch
from torch import Tensor

_MOST_EVEN = 1000  # columns of even numbers
_FEW = 128


@final
class Uniforms:
    """Rows of numbers in [0, 1), each row random, together even (Sobol's, scrambled).

    Args:
        width: Numbers in a row; many are random alone.
        seed: Of all that is drawn.
    """

    def __init__(self, width: int, seed: int) -> None:
        self.width = width
        self._engine: torch.quasirandom.SobolEngine | torch.Generator
        if width > _MOST_EVEN:
            self._engine = torch.Generator().manual_seed(seed)
        else:
            self._engine = torch.quasirandom.SobolEngine(width, scramble=True, seed=seed)

    def draw(self, count: int) -> Tensor:
        """The next rows (count, width) float64."""
        if isinstance(self._engine, torch.Generator):
            size = count, self.width
            return torch.rand(size, generator=self._engine, dtype=torch.float64)
        return self._engine.draw(count, dtype=torch.float64).clamp(max=1 - 1e-12)


def uniforms_of(count: int, width: int, seed: int) -> Tensor:
    """The first rows (count, width) of `Uniforms`.

    Nobody writes to them: a few are kept, since to begin such numbers takes longer than to go on.
    """
    return _few_uniforms(count, width, seed) if count <= _FEW else _uniforms(count, width, seed)


def _uniforms(count: int, width: int, seed: int) -> Tensor:
    return Uniforms(width, seed).draw(count)


_few_uniforms = lru_cache(maxsize=64)(_uniforms)
