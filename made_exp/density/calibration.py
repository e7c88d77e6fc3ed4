"""Whether conditionals mean what they say: predicted against observed, and PIT of numbers.

Both look at each variable given the earlier ones of its row in the first ordering of a mixture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from made_exp.masks.observed import observed_in
from made_exp.model.evaluation import batched
from made_exp.model.made import MADE
from made_exp.variables.conditionals.base import DiscreteConditional

# Draws of each conditional: the place of a value among them is known to one in so many, plus one.
_DRAWS = 39
_MAX_VALUES = 300  # of a variable whose probabilities are looked at


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the conditionals said of N rows, and what came.

    Attributes:
        edges: (K + 1,) rising from 0 to 1, bins of predicted probabilities.
        counts: (K,) predictions in each bin: of every value of a categorical variable, of 1 of a
            binary one.
        predicted: (K,) mean of them, NaN where there are none, and
        observed: (K,) share of them that came true.
        pit: By the number of each variable that is a number (N_d,) in 0..1, the share of its
            conditional below its value; uniform where the conditional is right.
    """

    edges: Tensor
    counts: Tensor
    predicted: Tensor
    observed: Tensor
    pit: dict[int, Tensor]


@torch.no_grad()
def calibration(
    made: MADE,
    x: Tensor,
    *,
    context: Tensor | None = None,
    generator: torch.Generator,
    batch_size: int = 500,
) -> Calibration:
    """Look at rows x (N, D), in data space, NaN where missing.

    Args:
        made: The density.
        x: (N, D) possible values.
        context: (N,) class labels, or None.
        generator: Of the draws that the PIT is counted by.
        batch_size: Rows that go together.
    """
    edges = _edges()
    sums = torch.zeros(3, len(edges) - 1, dtype=torch.float64)

    def look(rows: Tensor, context: Tensor | None) -> Tensor:
        codes = made.groups.cast(made.groups.encode(rows))
        observed = observed_in(codes)
        component = made.component(0).observed_first(observed)
        params = component.conditionals(codes, context, observed).params
        for d in range(made.num_dims):
            start, width = made.groups.param_starts[d], made.groups.param_widths[d]
            known = torch.ones(len(codes), dtype=torch.bool) if observed is None else observed[:, d]
            _count(made, d, params[:, start : start + width], codes[:, d], known, edges, sums)
        return _pit(made, params, rows, generator)

    places = batched(made, x, context, batch_size, look)
    counts, predicted, came = sums
    pit = {d: places[~places[:, d].isnan(), d] for d in _numbers(made)}
    return Calibration(edges, counts, predicted / counts, came / counts, pit)


def _edges() -> Tensor:
    """Bins of equal width in the logit, and one at each end."""
    return torch.cat([torch.zeros(1), torch.linspace(-6, 6, 23).sigmoid(), torch.ones(1)]).double()


def _count(
    made: MADE,
    variable: int,
    params: Tensor,
    codes: Tensor,
    known: Tensor,
    edges: Tensor,
    sums: Tensor,
) -> None:
    """Add counts, predictions and what came true (3, K) of one variable, where it is discrete."""
    conditional = made.groups.conditional(variable)
    is_table = isinstance(conditional, DiscreteConditional) and not conditional.codes_are_numbers
    if not is_table or conditional.num_values > _MAX_VALUES:  # type: ignore[attr-defined]
        return
    probs = conditional.probs(params[known]).double().cpu()  # type: ignore[attr-defined]
    came = (codes[known].cpu()[:, None] == torch.arange(probs.shape[1])).double()
    if probs.shape[1] == 2:
        probs, came = probs[:, 1:].contiguous(), came[:, 1:].contiguous()
    probs, came = probs.flatten(), came.flatten()
    bins = (torch.bucketize(probs, edges, right=True) - 1).clamp(0, len(edges) - 2)
    for row, weights in zip(sums, (torch.ones_like(probs), probs, came), strict=True):
        row += torch.bincount(bins, weights, minlength=len(row))


def _numbers(made: MADE) -> list[int]:
    """Numbers of the variables that are numbers and are modelled."""
    return [
        d
        for d, variable in enumerate(made.groups.variables)
        if variable.is_number and not variable.is_given
    ]


def _pit(made: MADE, params: Tensor, x: Tensor, generator: torch.Generator) -> Tensor:
    """Place (B, D) of each number among draws of its conditional, ties at random; NaN elsewhere."""
    groups = made.groups
    chosen = torch.rand((2, len(x), 1), generator=generator, dtype=torch.float64).to(x.device)
    found = torch.full(x.shape, torch.nan, dtype=torch.float64, device=x.device)
    for d in _numbers(made):
        start, width = groups.param_starts[d], groups.param_widths[d]
        conditional, count = groups.conditional(d), groups.uniform_widths[d]
        size = (len(x), _DRAWS, count + 1)
        uniforms = torch.rand(size, generator=generator, dtype=torch.float64).to(params)
        own = params[:, None, start : start + width].expand(-1, _DRAWS, -1)
        drawn = groups.decode_single(d, conditional.sample(own, uniforms[..., :count]))
        value = x[:, d : d + 1].double()
        ties = (drawn == value) & (uniforms[..., -1] < chosen[0])
        below = ((drawn < value) | ties).sum(1) + chosen[1, :, 0]
        found[:, d] = below / ((~drawn.isnan()).sum(1) + 1)
    return found.masked_fill(x.isnan(), torch.nan)
