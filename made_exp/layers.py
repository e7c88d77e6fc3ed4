"""Linear layers in which a unit sees only the units of lower or equal degree."""

import math

import torch
from torch import Tensor, nn


class MaskedLinear(nn.Module):
    """y = x (W * M)^T + b with M[o, i] = [out_degrees[o] >= in_degrees[i]].

    Args:
        in_features: Number of inputs I.
        out_features: Number of outputs O.
        bias: Whether to add b.
        in_degrees: (I,) int64, fixed connectivity; None when degrees come with each call.
        out_degrees: (O,) int64, likewise.
        backend: Which kernel computes the product: auto, dense, staircase or triton.
        generator: Where initial weights are drawn from.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        in_degrees: Tensor | None = None,
        out_degrees: Tensor | None = None,
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features, self.backend = in_features, out_features, backend
        bound = 1 / math.sqrt(max(in_features, 1))
        self.weight = nn.Parameter(torch.empty(out_features, in_features).uniform_(-bound, bound, generator=generator))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.register_buffer("in_degrees", in_degrees, persistent=False)
        self.register_buffer("out_degrees", out_degrees, persistent=False)

    def masked_weight(
        self, in_degrees: Tensor | None = None, out_degrees: Tensor | None = None
    ) -> Tensor:
        """The (O, I) weight with zeros where the output does not see the input."""
        in_degrees = self.in_degrees if in_degrees is None else in_degrees
        out_degrees = self.out_degrees if out_degrees is None else out_degrees
        return self.weight * (out_degrees[:, None] >= in_degrees[None, :])

    def forward(
        self, x: Tensor, in_degrees: Tensor | None = None, out_degrees: Tensor | None = None
    ) -> Tensor:
        """Map x (B, I) to (B, O)."""
        return nn.functional.linear(x, self.masked_weight(in_degrees, out_degrees), self.bias)
