"""Which sampler draws from a mask set, and the one that is kept."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from made_exp.masks.mask_set import MaskSet
from made_exp.model.ensembles import EnsembleNetwork
from made_exp.model.networks import MaskedNetwork
from made_exp.model.sampling import IncrementalSampler, sample_by_full_passes
from made_exp.model.sampling_plan import build_plan
from made_exp.variables.groups import VariableGroups

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integers of so many bytes, to read a float's bits."""


class SamplerCache:
    """Keeps the last sampler until the weights change or another mask set is asked for.

    Args:
        network: What is sampled.
        groups: Conditionals and encodings of its variables.
    """

    def __init__(self, network: MaskedNetwork | EnsembleNetwork, groups: VariableGroups) -> None:
        self._modules = (network, groups)
        self._kept: tuple[object, IncrementalSampler] | None = None

    def drawer(self, masks: MaskSet) -> Callable[..., Tensor]:
        """What draws from `masks`; to be called as `IncrementalSampler.draw`."""
        ensemble, groups = self._modules
        network = ensemble.member(masks)
        if masks.is_per_example:
            return partial(sample_by_full_passes, network, groups, masks)
        key = (self._version(), masks.index, tuple(masks.ordering.tolist()))
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, IncrementalSampler(build_plan(network, groups, masks)))
        return self._kept[1].draw

    def _version(self) -> tuple[object, ...]:
        tensors = [t for m in self._modules for t in (*m.parameters(), *m.buffers())]
        weights = [t.detach() for t in tensors if t.is_floating_point()]
        # Fused optimizers and replayed CUDA graphs change weights without counting a version.
        bits = torch.stack([w.view(_INTEGERS[w.element_size()]).sum() for w in weights])
        return (*((t.data_ptr(), t._version) for t in tensors), *bits.tolist())
