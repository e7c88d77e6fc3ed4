"""The losses of an epoch, kept on the device, and what happens when one is not finite."""

import torch
from torch import Tensor


class EpochLosses:
    """The loss of every batch of the present epoch, read without waiting for the device.

    Args:
        num_batches: Batches an epoch.
        device: Where the losses are computed.
    """

    def __init__(self, num_batches: int, device: torch.device) -> None:
        self.values = torch.zeros(num_batches, dtype=torch.float64, device=device)

    def put(self, position: int, loss: Tensor) -> None:
        """Note the loss () of the batch at `position`."""
        self.values[position] = loss

    def mean(self, start: int, stop: int) -> Tensor:
        """Mean () of the losses at start..stop-1, in nats."""
        return self.values[start:stop].mean()

    def first_bad(self, start: int, stop: int) -> tuple[int, float] | None:
        """Position and value of the first loss in start..stop-1 that is not finite."""
        values = self.values[start:stop].cpu()
        bad = torch.nonzero(~torch.isfinite(values)).flatten()
        return (start + int(bad[0]), float(values[bad[0]])) if len(bad) else None
