"""Probabilities of the values of a few columns given the other cells of a row.

    p(t | o) = sum_m w_m p_m(o) p_m(t | o) / sum_m w_m p_m(o),

of the observed cells o, with what is missing in a row left out and the asked columns t last in the
orderings, as completions are drawn; of a model of fixed orders p(t, o) / sum_t p(t, o).
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.table.column import Column
from made_exp.datasets.table.schema import TableSchema
from made_exp.errors import did_you_mean
from made_exp.model.component import Component
from made_exp.model.entry import as_examples, by_completeness, check_given, known_codes
from made_exp.model.evaluation import batched
from made_exp.model.made import MADE
from made_exp.model.simple import SimpleComponent
from made_exp.variables.variable import Variable

MAX_CLASSES = 10_000
_ROWS = 1000


def targets_of(schema: TableSchema, targets: str | Sequence[str]) -> list[int]:
    """The places of the columns that are asked for.

    Raises:
        ValueError: If there is no such column, or its values cannot be listed.
    """
    names = [targets] if isinstance(targets, str) else list(targets)
    places = {column.name: place for place, column in enumerate(schema.modelled)}
    if not names or len(set(names)) < len(names):
        raise ValueError(f"target must hold each of one or more columns once, got {targets!r}")
    for name in names:
        if name not in places:
            hint = did_you_mean(str(name), list(places)) or f" (have: {', '.join(places)})"
            raise ValueError(f"target: the model has no column '{name}'{hint}")
        if name in schema.given:
            raise ValueError(f"target: the model is given '{name}', which has no probability")
        if schema.variables[places[name]].num_values is None:
            raise ValueError(
                f"target: '{name}' holds real numbers, which cannot be listed; probability() "
                "answers for a range of them"
            )
    found = [places[name] for name in names]
    count = math.prod(_num_classes(schema.variables[place]) for place in found)
    if count > MAX_CLASSES:
        raise ValueError(
            f"target: {' and '.join(names)} have {count} values together, more than {MAX_CLASSES}; "
            "probability() answers for a range of them"
        )
    return found


def classes_of(schema: TableSchema, targets: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """The values (K, T) int64 of the targets, all combinations, and what to call these.

    Those of one column go by themselves, such as F, combinations as in "sex=F, age=30".
    """
    columns = [schema.modelled[place] for place in targets]
    texts = [_texts(column) for column in columns]
    values = np.array(list(product(*(range(len(own)) for own in texts))), np.int64)
    if len(columns) == 1:
        return values, texts[0]
    names = [
        ", ".join(f"{c.name}={own[v]}" for c, own, v in zip(columns, texts, row, strict=True))
        for row in values
    ]
    return values, names


def _texts(column: Column) -> list[str]:
    assert column.variable is not None
    values = np.arange(_num_classes(column.variable), dtype=np.float64)
    texts = list(column.decode(values))
    short = [text.strip() for text in texts]
    return short if len(set(short)) == len(texts) else texts


def _num_classes(variable: Variable) -> int:
    """Values that have a name; what stands for those never seen has none."""
    return len(variable.categories or range(variable.num_values or 0))


@torch.no_grad()
def class_probabilities(
    made: MADE,
    x: Tensor,
    targets: Sequence[int],
    values: np.ndarray,
    context: Tensor | None = None,
) -> Tensor:
    """Probabilities of values of a few variables given the others.

    Args:
        made: The density.
        x: (B, D) in data space; NaN is missing. The targets in it are not read, and cells that
            are no values of their variables count as missing.
        targets: Which T variables.
        values: (K, T) what they may be; the probabilities are of these alone.
        context: (B,) class labels, or None.

    Returns:
        (B, K) float64; rows sum to one.
    """
    x = as_examples(x, made.num_dims, made.device).double()
    check_given(made.groups, x)
    score = partial(_probabilities, made, list(targets), torch.from_numpy(values).to(x))
    return batched(made, x, context, _ROWS, score)


def _probabilities(
    made: MADE, targets: list[int], values: Tensor, x: Tensor, context: Tensor | None
) -> Tensor:
    groups = made.groups
    codes, _ = known_codes(groups, x.index_fill(1, torch.tensor(targets, device=x.device), 0))
    known = ~torch.isnan(codes)
    asked = x.new_zeros(len(values), made.num_dims)
    asked[:, targets] = values
    asked = known_codes(groups, asked)[0][:, targets]
    joint = x.new_full((len(values), len(x)), -torch.inf)
    for rows, observed in by_completeness(None if known.all() else known):
        own, own_known = groups.cast(codes[rows]), known[rows]
        labels = None if context is None else context[rows]
        for index, log_weight in made.weighted(any_pattern=observed is not None).items():
            density = made.density(index)
            is_alone = len(targets) == 1
            last = _targets_last(density, targets, own_known) if is_alone else density
            if is_alone and _is_last(last, targets[0], own_known):
                found = _of_last(last, targets[0], asked[:, 0], own, own_known, labels)
            else:
                found = _one_by_one(density, targets, asked, own, own_known, labels)
            joint[:, rows] = torch.logaddexp(joint[:, rows], found + log_weight)
    return joint.T.softmax(1)


def _one_by_one(
    density: Component | SimpleComponent,
    targets: list[int],
    values: Tensor,
    x: Tensor,
    known: Tensor,
    labels: Tensor | None,
) -> Tensor:
    """Log-probabilities (K, B) of codes x (B, D) whose targets have each of the values (K, T)."""
    size = min(max(1, _ROWS // len(x)), len(values))  # values that go together
    every, every_known = x.repeat(size, 1), known.repeat(size, 1)
    labels = None if labels is None else labels.repeat(size)
    density, found = _targets_last(density, targets, every_known), list[Tensor]()
    for block in values.split(size):
        padded = block[torch.arange(size).clamp(max=len(block) - 1)]
        every[:, targets] = padded.repeat_interleave(len(x), 0).to(every.dtype)
        log_probs = density.log_prob(every, labels, every_known).double()
        found.append(log_probs.view(size, -1)[: len(block)])
    return torch.cat(found)


def _is_last(
    density: Component | SimpleComponent, target: int, known: Tensor
) -> TypeGuard[Component]:
    """Whether a network has no variable that is known (B, D) behind the target in its order."""
    if isinstance(density, SimpleComponent):
        return False
    ordering = density.masks.ordering.expand_as(known)
    is_behind = (ordering == target).cumsum(1).bool() & (ordering != target)
    return not bool((known.gather(1, ordering) & is_behind).any())


def _of_last(
    density: Component, target: int, values: Tensor, x: Tensor, known: Tensor, labels: Tensor | None
) -> Tensor:
    """Log-probabilities (K, B) of codes x (B, D) whose last variable has each of the values (K,).

    One pass of the network for all of them: nothing that is known depends on it.
    """
    x = x.index_fill(1, torch.tensor([target], device=x.device), 0)
    conditionals = density.conditionals(x, labels, known)
    others = conditionals.log_prob(x).index_fill(1, torch.tensor([target], device=x.device), 0)
    of_target = conditionals.log_prob_of(target, values.to(x.dtype))
    return (others.sum(1, keepdim=True).double() + of_target.double()).T


def _targets_last(
    density: Component | SimpleComponent, targets: list[int], known: Tensor
) -> Component | SimpleComponent:
    """The density with what is known (B, D) first in its ordering, the targets last of that."""
    pattern = known[0] if bool((known == known[0]).all()) else known
    if isinstance(density, SimpleComponent) or not density.network.schedule.resamples_order:
        return density.observed_first(None if known.all() else pattern)
    others = torch.ones_like(known[0])
    others[targets] = False
    return density.observed_first(others).observed_first(pattern)
