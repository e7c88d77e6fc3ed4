"""Examples that alone decide a likelihood: which they are, and what it is without them."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from made_exp.datasets.base import Dataset
from made_exp.errors import TrainingError
from made_exp.masks.observed import observed_in
from made_exp.model.evaluation import Evaluation
from made_exp.model.made import MADE

# In standard errors of the mean of all other examples.
_SHIFT = 5.0


@dataclass(frozen=True)
class Outlier:
    """An example that has probability zero, or moves the mean as no other does.

    Attributes:
        split: Its split, and
        row: its row there, from 0.
        column: Name of its least likely variable, and
        value: the number there.
        count: Examples of the split that have probability zero.
        nll_of_others: NLL of the others, in nats per example; None where there is none.
    """

    split: str
    row: int
    column: str
    value: float
    count: int
    nll_of_others: float | None

    def __str__(self) -> str:
        verdict = (
            f"{self.count} example(s) with probability zero, the first in row"
            if self.count
            else "an example that outweighs all others, row"
        )
        others = (
            "" if self.nll_of_others is None else f"; NLL of the others {self.nll_of_others:.3f}"
        )
        return (
            f"{self.split} has {verdict} {self.row}, column '{self.column}' "
            f"({self.value:.10g}){others}"
        )

    def as_dict(self) -> dict[str, Any]:
        """As it stands in results.json, within its split."""
        return {name: value for name, value in asdict(self).items() if name != "split"}


def outlier_in(model: MADE, dataset: Dataset, split: str, evaluation: Evaluation) -> Outlier | None:
    """The example of `split` that decided `evaluation` of `model`, if one did."""
    log_probs = evaluation.log_probs
    impossible = ~torch.isfinite(log_probs)
    count = int(impossible.sum())
    row = int(impossible.nonzero()[0]) if count else int(log_probs.argmin())
    keep = ~impossible
    keep[row] = False
    others = log_probs[keep]
    if not count and not _outweighs(-float(log_probs[row]), -others):
        return None
    column = _least_likely(model, dataset, split, row)
    return Outlier(
        split,
        row,
        dataset.variables[column].name,
        float(dataset.split(split)[row, column]),
        count,
        -float(others.mean()) if len(others) else None,
    )


def refuse_impossible(model: MADE, dataset: Dataset, split: str, evaluation: Evaluation) -> None:
    """Raise TrainingError where a model of finite weights gives an example no probability."""
    sound = all(bool(torch.isfinite(weights).all()) for weights in model.parameters())
    if sound and not torch.isfinite(evaluation.log_probs).all():
        raise TrainingError(
            f"no best model can be chosen: {outlier_in(model, dataset, split, evaluation)}"
        )


def _outweighs(nll: float, others: torch.Tensor) -> bool:
    """Whether one example moves the mean of the others (N,) beyond their standard errors."""
    if len(others) < 2:
        return False
    return nll - float(others.mean()) > _SHIFT * float(others.std()) * len(others) ** 0.5


@torch.no_grad()
def _least_likely(model: MADE, dataset: Dataset, split: str, row: int) -> int:
    """The variable of an example that has the least probability given the earlier ones."""
    x, labels = dataset.split(split)[[row]].to(model.device), dataset.context(split)
    context = None if labels is None else labels[[row]].to(model.device)
    possible = model.groups.possible(x)[0]
    if not possible.all():
        return int(possible.int().argmin())
    codes = model.groups.encode(x)
    observed = observed_in(codes)
    first = 0 if observed is None else next(iter(model.weighted(any_pattern=True)))
    component = model.component(first).observed_first(observed)
    log_probs = component.conditionals(codes, context, observed).log_prob(codes)[0]
    log_probs = log_probs.masked_fill(model.groups.is_given, torch.inf)
    return int(log_probs.nan_to_num(-torch.inf, torch.inf).argmin())
