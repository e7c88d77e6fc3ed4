"""Probability of an event under a simple density: of disjoint boxes, of all values, or by draws."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from made_exp.density.diagram import Diagram, list_values
from made_exp.density.terms import Parts, Starts, Terms
from made_exp.model.entry import codes_where
from made_exp.model.made import MADE
from made_exp.model.request import Request
from made_exp.model.samplers import draw_uniforms
from made_exp.model.simple import SimpleComponent, num_uniforms
from made_exp.variables.subset import Subset

MAX_BOXES = 64
MAX_ROWS = 2**13  # of all values that are asked
_FEWEST_DRAWS = 1000


def simple_terms(
    made: MADE,
    component: SimpleComponent,
    diagram: Diagram,
    starts: Starts,
    parts: Parts | None,
    count: int,
    seed: int,
) -> Terms:
    """The terms of an event, and how a column's parts share them.

    Args:
        made: The model that the density is part of.
        component: The density.
        diagram: The event, its variables in the order of the columns.
        starts: What is given.
        parts: A column that is told apart.
        count: Draws, where not all values can be listed.
        seed: Of the draws.
    """
    if not made.groups.given:
        boxes = diagram.boxes(MAX_BOXES)
        boxed = None if boxes is None else _boxed(component, boxes, parts)
        if boxed is not None:
            return boxed
        asked = [*dict.fromkeys([*diagram.variables, *([parts.variable] if parts else [])])]
        listed = list_values(made.groups.variables, diagram, asked, starts.x, MAX_ROWS)
        if listed is not None:
            x, _ = listed
            shares = None if parts is None else parts.holding(x)
            return Terms(component.log_prob(_codes(made, x, asked)).double(), True, shares)
        weighed = None if boxes is None or parts else _weighed(component, boxes, count, seed)
        if weighed is not None:
            return weighed
    x = drawn_rows(made, component, starts, max(count, _FEWEST_DRAWS), seed)
    logs = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    logs.masked_fill_(~diagram.contains(x), -torch.inf)
    log_hit = float(starts.log_total) - math.log(len(x))
    shares = None if parts is None else parts.holding(x)
    return Terms(logs + log_hit, False, shares, x, log_hit)


def _weighed(
    component: SimpleComponent, boxes: Sequence[Mapping[int, Subset]], count: int, seed: int
) -> Terms | None:
    """The terms of weighted paths into disjoint boxes, where the density has such."""
    generator = torch.Generator().manual_seed(seed)
    width = num_uniforms(len(component.density.coordinates.variables))
    total = torch.zeros(max(count, _FEWEST_DRAWS), dtype=torch.float64)
    for box in boxes:
        uniforms = draw_uniforms((len(total), width), torch.float64, generator)
        weights = component.density.box_weights(box, uniforms)
        if weights is None:
            return None
        total += weights
    return Terms(total.log() - math.log(len(total)), False)


def _boxed(
    component: SimpleComponent, boxes: Sequence[Mapping[int, Subset]], parts: Parts | None
) -> Terms | None:
    """The terms of disjoint boxes where the density knows their masses."""
    if parts is None:
        probs = component.density.box_probs(boxes)
        return None if probs is None else Terms(probs.log(), True)
    told = [
        {**box, parts.variable: subset & box.get(parts.variable, subset)}
        for box in boxes
        for subset in parts.subsets
    ]
    probs = component.density.box_probs(told)
    if probs is None:
        return None
    shares = probs.view(len(boxes), -1)
    return Terms(torch.zeros(len(boxes), dtype=torch.float64), True, shares)


def drawn_rows(
    made: MADE, component: SimpleComponent, starts: Starts, count: int, seed: int
) -> Tensor:
    """Rows (count, D) in data space drawn from a simple density given what rows start with."""
    generator = torch.Generator().manual_seed(seed)
    size = (count, 1 + num_uniforms(made.num_dims))
    uniforms = draw_uniforms(size, torch.float64, generator).to(made.device)
    given = _codes(made, starts.drawn(uniforms[:, 0]), made.groups.given)
    drawn = component.draw(Request(uniforms[:, 1:], given=given.double()))
    return made.groups.decode(made.groups.cast(drawn)).double()


def _codes(made: MADE, x: Tensor, known: Sequence[int]) -> Tensor:
    """Codes (n, D) of the values x (n, D) of known variables, NaN of the others."""
    is_known = torch.zeros(made.num_dims, dtype=torch.bool)
    is_known[list(known)] = True
    return codes_where(made.groups, x, is_known.to(x.device))
