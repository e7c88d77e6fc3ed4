"""The likelihood of each column of a split, beside what counting its values gives it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.baselines.coordinates import encoded
from made_exp.datasets.baselines.scores import independent
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.evaluation import Each
from made_exp.model.made import MADE

MAX_COLUMNS = 1000
_TOLD = 5


@dataclass(frozen=True, eq=False)
class ColumnScores:
    """NLL of each of D columns, in nats an example; missing cells count 0.

    Attributes:
        names: Of the columns.
        parts: (N, D) float64, which add up to the NLL of each example under the model.
        counted: (N, D) float64, what each column has alone, by counting in train.
    """

    names: tuple[str, ...]
    parts: Tensor
    counted: Tensor

    def as_dict(self) -> dict[str, dict[str, float]]:
        """What results.json has of a split: `columns`, and their standard errors."""
        return {
            "columns": self._named(self.parts.mean(0)),
            "columns_stderr": self._named(_stderr(self.parts)),
        }

    def counting(self) -> dict[str, float]:
        """NLL of each column by counting."""
        return self._named(self.counted.mean(0))

    def warnings(self) -> list[str]:
        """A line for each column that the model has worse than counting, by more than its error."""
        excess = self.parts - self.counted
        mean, error = excess.mean(0), _stderr(excess)
        bad = torch.nonzero((mean > error) & (mean > 1e-3)).flatten()
        worst = bad[mean[bad].argsort(descending=True)].tolist()
        lines = [
            f"column '{self.names[d]}' has an NLL of {float(self.parts[:, d].mean()):.3f} nats, "
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
    x, context = dataset.split(split), dataset.context(split)
    parts = log_probs_by_variable(
        model, x, context=context, num_orderings=num_orderings, batch_size=batch_size, each=each
    )
    codes, log_slopes = encoded(dataset.variables, x)
    counted = independent(dataset).terms(codes) + log_slopes
    modelled = [d for d in range(dataset.num_dims) if d not in dataset.given]
    names = tuple(dataset.variables[d].name for d in modelled)
    return ColumnScores(names, -parts.cpu()[:, modelled], -counted[:, modelled])


def _stderr(rows: Tensor) -> Tensor:
    """Standard error (D,) of the mean of rows (N, D); NaN of one row."""
    if len(rows) < 2:
        return rows.new_full(rows.shape[1:], torch.nan)
    return rows.std(0) / len(rows) ** 0.5
