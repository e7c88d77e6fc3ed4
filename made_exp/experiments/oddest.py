"""The rows that a model finds the oddest of all it saw, and the cells that make them odd."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.table.raw import RawTable
from made_exp.experiments.new_rows import NewRows

# Cells that are shown of a row: so many nats above what is usual in their column, and not more.
_MAX_CELLS, _MIN_EXCESS = 4, 1.0


@final
@dataclass(frozen=True, eq=False)
class OddRow:
    """A row that stands out.

    Attributes:
        log_prob: Of it, nats.
        surprise: (D,) nats, what each cell has in that; NaN where a cell has none.
        x: (D,) as the model takes it.
        raw: The table of this row alone.
        context: () its class label, or None.
    """

    log_prob: float
    surprise: Tensor
    x: Tensor
    raw: RawTable
    context: Tensor | None

    def cells(
        self, names: tuple[str, ...], usual: Tensor, given_others: Tensor | None
    ) -> list[dict[str, Any]]:
        """The cells that are more surprising than is usual in their columns, most first.

        At least one, if the row has any; never one without surprise.

        Args:
            names: Of the D columns.
            usual: (D,) median surprise in each, nats.
            given_others: (D,) surprise of the cells given all others, where it is known.
        """
        excess = (self.surprise - usual).nan_to_num(-torch.inf, torch.inf)
        chosen = [
            d
            for rank, d in enumerate(excess.argsort(descending=True).tolist())
            if excess[d] > _MIN_EXCESS or (rank == 0 and not self.surprise[d].isnan())
        ]
        return [
            {
                "column": names[d],
                "value": self.raw.column(names[d]).shown(0),
                "surprise": float(self.surprise[d]),
                "usual": float(usual[d]),
                "given_others": None if given_others is None else float(given_others[d]),
            }
            for d in chosen[:_MAX_CELLS]
        ]


@final
class Oddest:
    """Collects the least likely rows of all pieces.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._count, self.rows = count, list[OddRow]()

    def offer(self, rows: NewRows, log_prob: Tensor, surprise: Tensor) -> None:
        """Look at rows with these log-probabilities (N,), NaN if not known, and surprises."""
        count = min(self._count, len(log_prob))
        ranked = log_prob.masked_fill(log_prob.isnan(), torch.inf)
        for row in ranked.topk(count, largest=False).indices.sort().values.tolist():
            if not log_prob[row].isnan():
                label = None if rows.context is None else rows.context[row]
                self.rows.append(
                    OddRow(
                        float(log_prob[row]),
                        surprise[row].clone(),
                        rows.x[row].clone(),
                        rows.raw.take(np.array([row])),
                        label,
                    )
                )
        self.rows = sorted(self.rows, key=lambda row: row.log_prob)[: self._count]
