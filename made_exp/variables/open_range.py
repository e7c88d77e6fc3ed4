"""Whole numbers outside of the range that a model reaches, such as an age of 300 or of -5."""

import math

import torch
from torch import Tensor

BEYOND = 1e-3
"""What the numbers beyond an end have together of the probability of that end."""


def log_shares(x: Tensor, num_values: Tensor) -> Tensor:
    """What values have of the probability of the nearest one in 0..num_values-1, as a log.

        share(d beyond an end) = BEYOND / (d (d + 1)),   share(an end) = 1 - BEYOND,   else 1

    so that all whole numbers have a probability, and all together one.

    Args:
        x: (..., G) float64 whole numbers; NaN counts as inside.
        num_values: (G,).

    Returns:
        (..., G), nats, <= 0.
    """
    beyond = torch.maximum(-x, x - (num_values - 1))
    outside = math.log(BEYOND) - beyond.log() - beyond.log1p()
    inside = torch.where(beyond == 0, math.log1p(-BEYOND), torch.zeros_like(x))
    return torch.where(beyond > 0, outside, inside)
