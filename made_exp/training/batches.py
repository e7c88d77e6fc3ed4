"""Batches by index from the training data: a function of (seed, epoch, position)."""

from collections.abc import Callable

import torch
from torch import Tensor

from made_exp.datasets.base import binarize
from made_exp.masks.observed import observed_in
from made_exp.runtime import derive_seed
from made_exp.training.world import ALONE, World

_ORDER_STREAM, _BINARIZATION_STREAM = 1, 2

# Codes (N, D) of the examples of an epoch, their labels (N,) or None, and their mean log slope.
Redraw = Callable[[int], tuple[Tensor, Tensor | None, float]]


class Batches:
    """The training data, and which examples each step of each epoch sees.

    An epoch is a permutation of the examples cut into batches of equal size; examples that fill
    no whole batch wait for another epoch. Nothing is drawn from a hidden state, so that training
    resumes anywhere exactly.

    Args:
        data: (N, D) codes of the training examples; or what `encode` makes codes of.
        batch_size: Examples a step, of all processes together; N if that is smaller.
        seed: Seed of the permutations and of the binarization.
        device: Where batches are wanted. Codes are kept there.
        context: (N,) class labels or None.
        binarize: Whether `data` are grey levels 0..255 that are drawn as 0 or 1 at every step
            (Salakhutdinov and Murray 2008).
        world: The processes that share a batch; their number divides its size.
        log_slope: Mean log |dz/dx| of the examples, which the loss lacks to be of data space.
        redraw: Gives as many examples for each epoch, where these differ; `data` are the first's.
        encode: Makes codes (B, D) of each batch of data that stay where they are, on disk.
        has_missing: Whether some codes are NaN; None to look.
    """

    def __init__(
        self,
        data: Tensor,
        batch_size: int,
        *,
        seed: int,
        device: torch.device,
        context: Tensor | None = None,
        binarize: bool = False,
        world: World = ALONE,
        log_slope: float = 0.0,
        redraw: Redraw | None = None,
        encode: Callable[[Tensor], Tensor] | None = None,
        has_missing: bool | None = None,
    ) -> None:
        if len(data) == 0:
            raise ValueError("there are no training examples")
        self.batch_size = min(batch_size, len(data))
        if self.batch_size % world.size:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared by {world.size} processes: "
                "give a multiple of their number"
            )
        self.data, self._encode = data if encode else data.to(device), encode
        self.has_missing = observed_in(data) is not None if has_missing is None else has_missing
        self.context = None if context is None else context.to(device)
        self.seed, self.device, self.world = seed, device, world
        self.log_slope, self._redraw, self._drawn = log_slope, redraw, 0
        share = self.batch_size // world.size
        self._share = slice(world.rank * share, (world.rank + 1) * share)
        self._generator = torch.Generator(device) if binarize else None

    @property
    def are_on_device(self) -> bool:
        """Whether the codes are, all of them."""
        return self._encode is None

    def __len__(self) -> int:
        """Number of batches an epoch."""
        return len(self.data) // self.batch_size

    def order(self, epoch: int) -> Tensor:
        """(len(self), share) int64 on the device: the examples of every batch of `epoch`.

        Where epochs have examples of their own, `gather` has these from here on.
        """
        self._renew(epoch)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, _ORDER_STREAM, epoch))
        order = torch.randperm(len(self.data), generator=generator)[: len(self) * self.batch_size]
        return order.view(len(self), self.batch_size)[:, self._share].contiguous().to(self.device)

    def _renew(self, epoch: int) -> None:
        if self._redraw is None or self._drawn == epoch:
            return
        data, context, self.log_slope = self._redraw(epoch)
        self.data.copy_(data)  # in place: the recording of a CUDA graph reads them there
        if self.context is not None and context is not None:
            self.context.copy_(context)
        self._drawn = epoch

    def thresholds(self, step: int) -> Tensor | None:
        """(share, D) floats in [0, 1): a pixel of step `step` is 1 where its grey is above."""
        if self._generator is None:
            return None
        self._generator.manual_seed(derive_seed(self.seed, _BINARIZATION_STREAM, step))
        shape = (self.batch_size, self.data.shape[1])
        draws = torch.rand(shape, generator=self._generator, device=self.device)
        return draws[self._share]

    def gather(self, index: Tensor, thresholds: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The examples at `index` (B,): codes (B, D) and their context (B,) or None."""
        x = self.data.index_select(0, index.to(self.data.device))
        if self._encode is not None:
            x = self._encode(x.to(self.device))
        if thresholds is not None:
            x = binarize(x, thresholds)
        return x, None if self.context is None else self.context[index]
