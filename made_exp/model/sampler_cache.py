"""Which sampler draws from a component, and the one that is kept."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from made_exp.model.members import Component
from made_exp.model.sampling import IncrementalSampler, sample_by_full_passes
from made_exp.model.sampling_plan import build_plan

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integers of so many bytes, to read a float's bits."""


class SamplerCache(threading.local):
    """Keeps the last sampler until the weights change or another component is asked for.

    Every thread has its own, since a sampler writes to its working memory; so has every copy.
    """

    def __init__(self) -> None:
        self._kept: tuple[object, IncrementalSampler] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return SamplerCache, ()

    def drawer(self, component: Component) -> Callable[..., Tensor]:
        """What draws from `component`; to be called as `IncrementalSampler.draw`."""
        member, masks, groups = component.member, component.masks, component.groups
        if masks.is_per_example:
            return partial(sample_by_full_passes, member.network, groups, masks)
        version = _version(member.network, groups)
        key = (version, member.index, masks.index, tuple(masks.ordering.tolist()))
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, IncrementalSampler(build_plan(member.network, groups, masks)))
        return self._kept[1].draw


def _version(*modules: nn.Module) -> tuple[object, ...]:
    """What changes whenever a weight of the modules does."""
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    weights = [t.detach() for t in tensors if t.is_floating_point()]
    # Fused optimizers and replayed CUDA graphs change weights without counting a version.
    bits = torch.stack([w.view(_INTEGERS[w.element_size()]).sum() for w in weights])
    return (*((t.data_ptr(), t._version) for t in tensors), *bits.tolist())
