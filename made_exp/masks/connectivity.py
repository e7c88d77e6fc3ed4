"""What a mask set connects: lost dependencies, dead units, effective parameters.

Everything follows from the degrees alone, so that it costs O((D + H) log H) and never builds a
mask: through one layer, a signal of degree j continues at the smallest degree >= j that the
layer has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from made_exp.masks.mask_set import MaskSet, visibility

_OUTPUTS = 1024


@dataclass(frozen=True)
class Connectivity:
    """The connections that a mask set leaves.

    Attributes:
        num_pairs: Pairs (earlier, later) of variables, D (D - 1) / 2; without those of which the
            later one is given.
        lost_pairs: Pairs without any path from the earlier to the later variable.
        lost_by_layer: For each hidden layer the pairs lost in it for the first time.
        dead_units: For each hidden layer the units that no output sees or that see no input.
        hidden_sizes: Units in each hidden layer.
        visible_weights: Weights that are not masked, over all layers.
        num_weights: All weights, masked or not.
    """

    num_pairs: int
    lost_pairs: int
    lost_by_layer: tuple[int, ...]
    dead_units: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    visible_weights: int
    num_weights: int

    def __str__(self) -> str:
        dead = ", ".join(str(count) for count in self.dead_units) or "none"
        return (
            f"connectivity: {self.lost_pairs} of {self.num_pairs} dependencies lost; "
            f"dead units in each hidden layer: {dead}; "
            f"{self.visible_weights} of {self.num_weights} weights in use"
        )

    def warnings(self) -> list[str]:
        """One sentence for each hidden layer in which dependencies are lost."""
        return [
            f"hidden layer {layer + 1} ({size} units) is too narrow: {lost} of "
            f"{self.num_pairs} dependencies between variables have no path through it; "
            "widen it or set direct_connections"
            for layer, (size, lost) in enumerate(
                zip(self.hidden_sizes, self.lost_by_layer, strict=True)
            )
            if lost
        ]


def connectivity(
    masks: MaskSet,
    *,
    direct_connections: bool = False,
    layers: Sequence[tuple[Tensor, Tensor]] = (),
) -> Connectivity:
    """Measure what `masks` connects in a masked MLP.

    Args:
        masks: Degrees of all layers.
        direct_connections: Whether inputs also reach the outputs directly; then no pair is lost.
        layers: Degrees of the units below (I,) and above (O,) each layer whose weights count.

    Examples:
        >>> narrow = MaskSet(0, torch.tensor([0, 1, 2]), (torch.tensor([1]),))
        >>> connectivity(narrow).lost_pairs, connectivity(narrow).num_pairs
        (1, 3)
        >>> connectivity(narrow, direct_connections=True).lost_pairs
        0
    """
    num_dims, num_given = masks.num_dims, masks.num_given
    num_pairs = (num_dims * (num_dims - 1) - num_given * (num_given - 1)) // 2
    hidden = [np.sort(degrees.numpy()) for degrees in masks.hidden_degrees]
    lost = [0] * len(hidden)
    if not direct_connections:
        lost = _lost_after_layers(num_dims, hidden, num_given)
    without_hidden = 0 if direct_connections else num_pairs
    return Connectivity(
        num_pairs=num_pairs,
        lost_pairs=lost[-1] if hidden else without_hidden,
        lost_by_layer=tuple(np.diff([0, *lost]).tolist()),
        dead_units=_dead_units(num_dims, hidden),
        hidden_sizes=tuple(len(degrees) for degrees in hidden),
        visible_weights=sum(_count_visible(below, above) for below, above in layers),
        num_weights=sum(len(below) * len(above) for below, above in layers),
    )


def reachable(masks: MaskSet) -> Tensor:
    """Product of the masks: which output depends on which input, over all paths.

    Units of one degree have equal mask rows, so one representative a degree is multiplied.

    Returns:
        (D, D) bool, [output variable, input variable].
    """
    paths = torch.empty(masks.num_dims, masks.num_dims, dtype=torch.bool)
    for outputs, kinds, rows in reachable_by_block(masks):
        paths[outputs] = rows[kinds]
    return paths


def reachable_by_block(masks: MaskSet) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For all outputs in turn which inputs they depend on, once for those that do not differ.

    Yields:
        Output variables (n,), the kind of each (n,) in 0..k-1, and which inputs each kind depends
        on (k, D) bool. All kinds together are few more than there are distinct degrees, and in
        memory are D times those, not D x D.
    """
    paths, degrees = None, masks.input_degrees
    for layer in masks.hidden_degrees:
        distinct = torch.unique(layer)
        mask = visibility(degrees, distinct).float()
        paths = mask if paths is None else (mask @ paths).clamp(max=1.0)
        degrees = distinct
    # Outputs that see the same degrees have equal rows: side by side, each is multiplied once.
    for outputs in masks.output_degrees.argsort().split(_OUTPUTS):
        seen = visibility(degrees, masks.output_degrees[outputs])
        own, kinds = seen.unique(dim=0, return_inverse=True)
        yield outputs, kinds, own if paths is None else own.float() @ paths > 0


def _lost_after_layers(num_dims: int, hidden: list[np.ndarray], num_given: int) -> list[int]:
    """Pairs lost up to and including each hidden layer."""
    signal, lost = np.arange(1, num_dims + 1), []
    start = np.maximum(signal, num_given)  # the least degree of an output
    for degrees in hidden:
        signal = np.append(degrees, num_dims)[np.searchsorted(degrees, signal)]
        # Each step up passes by one later variable.
        lost.append(int((signal - start).clip(0).sum()))
    return lost


def _dead_units(num_dims: int, hidden: list[np.ndarray]) -> tuple[int, ...]:
    """Units that see no living unit below, or that no living unit above sees."""
    alive = [np.ones(len(degrees), dtype=bool) for degrees in hidden]
    lowest = 1
    for layer, degrees in enumerate(hidden):
        alive[layer] &= degrees >= lowest
        lowest = int(degrees[alive[layer]].min()) if alive[layer].any() else num_dims
    highest = num_dims - 1
    for layer in range(len(hidden) - 1, -1, -1):
        alive[layer] &= hidden[layer] <= highest
        highest = int(hidden[layer][alive[layer]].max()) if alive[layer].any() else 0
    return tuple(int((~units).sum()) for units in alive)


def _count_visible(below: Tensor, above: Tensor) -> int:
    return int(torch.searchsorted(below.sort().values, above, right=True).sum())
