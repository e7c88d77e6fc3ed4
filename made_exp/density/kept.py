"""Rows that a network drew before anything was asked, in an order that no question changes.

Up to the first column that is asked, paths of all questions draw alike; and rows that are as a
question wants in its first columns are draws given that. So paths need not begin at the first
column: they go on from such rows, where these are enough.

    P(A_1, ..., A_k) = (rows with A_1, ..., A_j) / N * mean of the weights of paths from these

Where j = k - 1 no step is left to take: the params of all columns are kept too. How many columns j
are taken so, and how many rows N, is said by other rows (the pilot), so that the choice is no bias.

Legend: P rows of the pilot, N others, D variables, K params of one.
"""

import math
import os
import threading
from dataclasses import dataclass
from typing import Self, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from made_exp.density.paths import Walk
from made_exp.density.terms import Begun
from made_exp.density.uniforms import Uniforms
from made_exp.model.component import Component
from made_exp.model.made import MADE
from made_exp.model.samplers import weights_key

# Rows for each path of a question: what is drawn, and below what it is not worth it.
_ROWS, _FEWEST_ROWS = 32, 8
# Of all networks together, what is drawn in seconds and kept in 64 MiB; that of so many seeds.
_MOST_PRODUCTS, _MOST_PARAMS, _MOST_SEEDS = 2**36, 2**24, 4
_PILOT, _BATCH = 2048, 2048
_OF_ROWS, _OF_PILOT = 2**32, 2**33  # seeds beside those of questions
# Rows that are as wanted for each path: where steps are left; where none is, which costs little;
# and how few will do there. They are worth more than paths from the start, whose weights differ.
_ON_THE_WAY, _AT_END, _FEWEST_AT_END = 0.6, 2.5, 0.15
_FEWEST_HITS = 32


@final
@dataclass(frozen=True, eq=False)
class Kept:
    """Rows of one network.

    Attributes:
        x: (P + N, D) float64 in data space.
        codes: (P + N, D) in the order of the network.
        params: D tensors (P + N, K), of each variable given those before it, in the order.
    """

    x: Tensor
    codes: Tensor
    params: tuple[Tensor, ...]

    @classmethod
    def of(
        cls, made: MADE, component: Component, context: int | None, count: int, seed: int
    ) -> Self:
        """Draw N = `count` rows and those of the pilot."""
        order, size = component.masks.ordering.tolist(), _PILOT + count
        groups = [made.groups.single(d) for d in order]
        like = component.network.output_bias
        x = like.new_empty(size, made.num_dims, dtype=torch.float64)
        codes = made.groups.empty_codes(size)
        params = tuple(like.new_empty(size, one.conditional.num_params) for one in groups)
        even = Uniforms(2 * len(order), seed + _OF_ROWS), Uniforms(2 * len(order), seed + _OF_PILOT)
        walker = made.walker(component, len(order))
        for start in range(0, size, _BATCH):
            rows = slice(start, min(start + _BATCH, size))
            some = len(codes[rows])
            uniforms = even[start < _PILOT].draw(some).to(x.device)

            def visit(
                step: int, found: Tensor, rows: slice = rows, uniforms: Tensor = uniforms
            ) -> Tensor:
                conditional = groups[step].conditional
                own = uniforms[:, 2 * step : 2 * step + conditional.num_uniforms]
                drawn = conditional.sample(found, own)
                params[step][rows], codes[rows, step] = found, drawn.to(codes.dtype)
                x[rows, order[step]] = groups[step].decode(drawn)
                return drawn

            labels = None if context is None else torch.full((some,), context)
            walker.walk(some, visit, component.one_hot(labels, some))
        return cls(x, codes, params)

    def begin(self, walk: Walk, count: int) -> Begun | None:
        """About `count` paths that have begun; None where they had better begin at the start."""
        last, num_rows = len(walk.stops) - 1, len(self.x) - _PILOT
        pilot = self._hits(walk, slice(_PILOT), last)
        expected = [len(rows) / _PILOT * num_rows for rows, _ in pilot]
        taken, wanted = last, _AT_END * max(count, _FEWEST_HITS)
        if expected[-1] < max(_FEWEST_AT_END * count, _FEWEST_HITS):
            wanted = _ON_THE_WAY * max(count, _FEWEST_HITS)
            taken = next((j for j in reversed(range(last)) if expected[j] >= wanted), 0)
        first = walk.order.index(walk.stops[taken])
        if not first:
            return None
        needed = min(num_rows, math.ceil(num_rows * wanted / expected[taken]))
        rows, nodes = self._hits(walk, slice(_PILOT, _PILOT + needed), taken)[-1]
        params = self.params[first][rows] if taken == last else None
        return Begun(self.x[rows], self.codes[rows, :first], nodes, rows - _PILOT, needed, params)

    def _hits(self, walk: Walk, some: slice, most: int) -> list[tuple[Tensor, Tensor]]:
        """Which rows are as wanted up to the first levels, one more each, and at which nodes."""
        rows = torch.arange(len(self.x), device=self.x.device)[some]
        found = [(rows, torch.zeros_like(rows))]
        for level in walk.diagram.levels[:most]:
            rows, nodes = found[-1]
            nodes = level.next_nodes(nodes, self.x[rows, level.variable])
            inside = nodes >= 0
            found.append((rows[inside], nodes[inside]))
        return found


class _Shelf:
    """What is kept of each model, drawn by one thread while others wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.of_models: WeakKeyDictionary[MADE, dict[object, Kept]] = WeakKeyDictionary()

    def renew(self) -> None:
        """Forget a thread that holds the lock: a forked process does not have it."""
        self.lock = threading.Lock()


_SHELF = _Shelf()
os.register_at_fork(after_in_child=_SHELF.renew)


def kept_of(made: MADE, walk: Walk, count: int, seed: int, num_networks: int) -> Kept | None:
    """The rows that paths of a walk can begin with, drawn where they are asked for first.

    None where orders are free, which begin with what is asked, where anything is given, and where
    the network is so large that drawing would take long.

    Args:
        made: The model.
        walk: Where the paths go.
        count: How many paths there are to be.
        seed: Of the rows.
        num_networks: How many there are in the mixture.
    """
    network = walk.component.network
    schedule = network.schedule
    has_many = schedule.is_resampled and schedule.missing_ranks is None
    if made.groups.given or has_many or not walk.order:
        return None
    num_weights = sum(weights.numel() for weights in network.parameters())
    num_params = sum(made.groups.param_widths)
    most = min(_MOST_PRODUCTS // num_weights, _MOST_PARAMS // num_params) // num_networks
    num_rows = min(max(_ROWS * count, 2 * _PILOT), most - _PILOT)
    if num_rows < max(_FEWEST_ROWS * count, _PILOT):
        return None
    key = (weights_key(walk.component), walk.component.label, walk.context, num_rows, seed)
    with _SHELF.lock:
        own = _SHELF.of_models.setdefault(made, {})
        if key not in own:
            while len(own) >= _MOST_SEEDS * num_networks:
                own.pop(next(iter(own)))
            own[key] = Kept.of(made, walk.component, walk.context, num_rows, seed)
        return own[key]
