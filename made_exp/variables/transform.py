"""How a number enters the model: a smooth rising map of its values, found in train."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar, final

if TYPE_CHECKING:  # settings name kinds of variables, and must not wait for torch
    import numpy as np
    from torch import Tensor

Numbers = TypeVar("Numbers", "Tensor", "np.ndarray")


@final
@dataclass(frozen=True)
class Transform:
    """z = (t(x) - shift) / scale, with t(x) = x, or asinh((x - centre) / bend) where it bends.

    Near the centre the bent map is a line, far from it a logarithm of either sign: a formula for
    heavy tails, positive columns and far outliers, in which every real value is legal.

    Attributes:
        centre: Where the bent map is steepest, in units of x.
        bend: How far from the centre it turns into a logarithm, > 0; None for a straight line.
        shift: What is subtracted from t(x).
        scale: What that is divided by, > 0.
    """

    centre: float = 0.0
    bend: float | None = None
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.centre) and math.isfinite(self.shift)):
            raise ValueError(f"centre and shift must be finite, got {self.centre}, {self.shift}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale must be finite and > 0, got {self.scale}")
        if self.bend is not None and not 0 < self.bend < math.inf:
            raise ValueError(f"bend must be finite and > 0, or None, got {self.bend}")

    def forward(self, x: "Tensor") -> "Tensor":
        """Z (...) float64 of x (...), any real numbers."""
        x = x.double()
        if self.bend is not None:
            x = bends_from(x, self.centre, self.bend).asinh()
        return (x - self.shift) / self.scale

    def inverse(self, z: "Tensor") -> "Tensor":
        """The x (...) float64 of which `forward` makes z (...)."""
        x = z.double() * self.scale + self.shift
        return x if self.bend is None else x.sinh() * self.bend + self.centre

    def log_slope(self, x: "Tensor") -> "Tensor":
        """Log dz/dx (...) float64 at x (...): what a log-density of z lacks to be that of x."""
        x = x.double()
        flat = x.new_full((), -math.log(self.scale)).expand_as(x)
        if self.bend is None:
            return flat
        distance = bends_from(x, self.centre, self.bend)
        return flat - math.log(self.bend) - distance.hypot(x.new_ones(())).log()

    def to_dict(self) -> dict[str, Any]:
        """Only plain values; `Transform(**content)` is the inverse."""
        return asdict(self)


def bends_from(x: Numbers, centre: float, bend: float) -> Numbers:
    """(x - centre) / bend of x (...) float64, where float64 does not hold the difference too."""
    return (x / 2 - centre / 2) / (bend / 2)


STRAIGHT = Transform()
"""z = x."""
