"""What is told of scored rows all together: their mean, and those that have no probability."""

import math
from typing import Any, final

import torch
from torch import Tensor

from made_exp.experiments.new_rows import NewRows, Notices
from made_exp.variables.groups import VariableGroups
from made_exp.variables.missing import left_out

_MAX_IMPOSSIBLE, _MAX_USUAL = 5, 10_000
_UNSCORED = (
    "rows are not scored in which a cell is missing that others are given: this model has fixed "
    "orders; models of experiment=table and ordering=agnostic score any cells"
)
_NOT_GIVEN = (
    "rows are not scored in which '{name}' {what}: this column is given, the model is of the others"
)
_IMPOSSIBLE = "rows of probability 0, whose log_prob is -inf, have no part in mean_log_prob"


@final
class RowSummary:
    """Adds up the scores of all pieces.

    Args:
        groups: The variables.

    Attributes:
        count: Rows that have a probability.
    """

    def __init__(self, groups: VariableGroups) -> None:
        self._groups, self._cells = groups, torch.zeros(0, groups.num_dims, dtype=torch.float64)
        self._impossible = list[dict[str, str]]()
        self.count, self._num_impossible, self._num_unscored = 0, 0, 0
        self._why_unscored = dict[str, None]()
        self._total = self._squares = 0.0

    def add(self, rows: NewRows, log_prob: Tensor, cells: Tensor | None) -> None:
        """Count rows with log_prob (N,), NaN where not known, and surprises (N, D).

        A surprise is NaN where there is none.
        """
        known = log_prob[torch.isfinite(log_prob)]
        self.count += len(known)
        self._total += float(known.sum())
        self._squares += float(known.square().sum())
        self._num_unscored += int(log_prob.isnan().sum())
        self._why_unscored |= dict.fromkeys(self._reasons(rows.x[log_prob.isnan()]))
        bad = torch.nonzero(log_prob == -torch.inf).flatten()
        self._num_impossible += len(bad)
        for row in bad[: _MAX_IMPOSSIBLE - len(self._impossible)].tolist():
            self._impossible.append(self._why(rows, row))
        if cells is not None and len(self._cells) < _MAX_USUAL:
            more = cells[torch.isfinite(log_prob)][: _MAX_USUAL - len(self._cells)]
            self._cells = torch.cat([self._cells, more])

    @property
    def usual(self) -> Tensor:
        """Median surprise (D,) of the cells of each column in the first rows, nats."""
        if not len(self._cells):
            return self._cells.new_zeros(self._cells.shape[1])
        return self._cells.nanmedian(0).values.nan_to_num(0.0)

    def as_dict(self, notices: Notices) -> dict[str, Any]:
        """The numbers; mean and standard error are of rows that have a probability."""
        count = self.count
        mean = self._total / count if count else math.nan
        spread = self._squares / count - mean**2 if count else math.nan
        stderr = math.sqrt(max(spread, 0) / (count - 1)) if count > 1 else math.nan
        found: dict[str, Any] = {
            "mean_log_prob": mean,
            "mean_log_prob_stderr": stderr,
            "rows_in_mean": count,
            "rows_of_probability_0": self._num_impossible,
        }
        if self._impossible:
            found["first_of_probability_0"] = self._impossible
            notices.add(_IMPOSSIBLE)
        if self._num_unscored:
            found["rows_not_scored"] = self._num_unscored
            for line in self._why_unscored:
                notices.add(line)
        lines = notices.lines()
        return found | ({"notices": lines} if lines else {})

    def _reasons(self, x: Tensor) -> list[str]:
        """Why rows x (N, D) are not scored."""
        groups, found = self._groups, list[str]()
        empty = left_out(x, groups.variables)
        odd = ~groups.possible(x.to(groups.is_given.device)).cpu()
        for d in groups.given:
            name = groups.variables[d].name
            for rows, what in ((empty, "is empty"), (odd, "holds a value that train did not have")):
                found += [_NOT_GIVEN.format(name=name, what=what)] * bool(rows[:, d].any())
        lacks = (empty | odd)[:, list(groups.given)].any(1)
        return found + [_UNSCORED] * bool((~lacks).any())

    def _why(self, rows: NewRows, row: int) -> dict[str, str]:
        """Where a row of probability 0 stands, and its first cell that is no value there."""
        place = {"row": rows.raw.origin.place(row)}
        possible = self._groups.possible(rows.x[row : row + 1].to(self._groups.is_given.device))[0]
        if bool(possible.all()):
            return place
        name = self._groups.variables[int(possible.int().argmin())].name
        return place | {"column": name, "value": rows.raw.column(name).shown(row)}
