"""The likelihood of each column of a split, beside what counting its values gives it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.baselines.coordinates import encoded
from made_exp.datasets.baselines.scores import independent
from made_exp.datasets.parts import ROWS
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.evaluation import Each
from made_exp.model.made import MADE

MAX_COLUMNS = 1000
_TOLD = 5


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Of N rows of D numbers, seen piece by piece.

    Attributes:
        count: N.
        mean: (D,) float64.
        squares: (D,) float64, the sum of squared deviations from the mean.
    """

    count: int
    mean: Tensor
    squares: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Self:
        """Of rows (N, D)."""
        mean = rows.mean(0)
        return cls(len(rows), mean, (rows - mean).square().sum(0))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of the rows of all parts."""
        count = sum(part.count for part in parts)
        mean = torch.stack([part.mean * (part.count / count) for part in parts]).sum(0)
        squares = [part.squares + part.count * (part.mean - mean).square() for part in parts]
        return cls(count, mean, torch.stack(squares).sum(0))

    @property
    def stderr(self) -> Tensor:
        """Standard error (D,) of the mean; NaN of one row."""
        if self.count < 2:
            return torch.full_like(self.mean, torch.nan)
        return (self.squares / (self.count - 1)).sqrt() / self.count**0.5


@final
@dataclass(frozen=True, eq=False)
class ColumnScores:
    """NLL of each of D columns, in nats an example; missing cells count 0.

    Attributes:
        names: Of the columns.
        parts: What of each column adds up to the NLL of an example under the model.
        excess: How much more that is than the column has alone, by counting in train.
        counted: (D,) what it has alone.
    """

    names: tuple[str, ...]
    parts: Moments
    excess: Moments
    counted: Tensor

    def as_dict(self) -> dict[str, dict[str, float]]:
        """What results.json has of a split: `columns`, and their standard errors."""
        return {
            "columns": self._named(self.parts.mean),
            "columns_stderr": self._named(self.parts.stderr),
        }

    def counting(self) -> dict[str, float]:
        """NLL of each column by counting."""
        return self._named(self.counted)

    def warnings(self) -> list[str]:
        """A line for each column that the model has worse than counting, beyond two errors."""
        mean, error = self.excess.mean, self.excess.stderr
        bad = torch.nonzero((mean > 2 * error) & (mean > 1e-3)).flatten()
        worst = bad[mean[bad].argsort(descending=True)].tolist()
        lines = [
            f"column '{self.names[d]}' has an NLL of {float(self.parts.mean[d]):.3f} nats, "
            f"{float(mean[d]):.3f} +- {float(error[d]):.3f} more than counting its values alone"
            for d in worst[:_TOLD]
        ]
        more = len(worst) - _TOLD
        return lines + ([f"... and {more} more columns"] if more > 0 else [])

    def _named(self, numbers: Tensor) -> dict[str, float]:
        return dict(zip(self.names, numbers.tolist(), strict=True))


def score_columns(
    model: MADE,
    dataset: Dataset,
    split: str,
    *,
    num_orderings: int | None = None,
    batch_size: int = 1000,
    each: Each = map,
) -> ColumnScores | None:
    """The modelled columns of a split; None for images and more than 1000 columns."""
    if dataset.image_shape is not None or dataset.num_dims > MAX_COLUMNS:
        return None
    modelled = [d for d in range(dataset.num_dims) if d not in dataset.given]
    labels = dataset.context(split)
    found: list[tuple[Moments, ...]] = []
    for number, x in enumerate(dataset.split(split).split(ROWS)):
        context = None if labels is None else labels[number * ROWS :][: len(x)]
        parts = log_probs_by_variable(
            model, x, context=context, num_orderings=num_orderings, batch_size=batch_size, each=each
        )
        codes, log_slopes = encoded(dataset.variables, x)
        counted = (independent(dataset).terms(codes) + log_slopes)[:, modelled]
        parts = parts.cpu()[:, modelled]
        found.append((Moments.of(-parts), Moments.of(counted - parts), Moments.of(-counted)))
    names = tuple(dataset.variables[d].name for d in modelled)
    totals, excess, alone = (Moments.joined(some) for some in zip(*found, strict=True))
    return ColumnScores(names, totals, excess, alone.mean)
