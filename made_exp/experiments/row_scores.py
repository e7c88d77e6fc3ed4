"""New rows scored by a finished run: each row, each of its cells, and the oddest of them."""

from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from made_exp.density.surprise import (
    can_be_scored,
    serves_any_order,
    surprise,
    surprise_given_others,
)
from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.new_rows import NewRows, Notices, new_rows
from made_exp.experiments.oddest import Oddest, OddRow
from made_exp.experiments.row_summary import RowSummary
from made_exp.experiments.row_writers import (
    ArrayWriter,
    FrameWriter,
    NoWriter,
    RowScores,
    RowWriter,
)
from made_exp.experiments.targets import checked_target
from made_exp.experiments.train_scores import rank_among, train_scores
from made_exp.masks.observed import from_first_on
from made_exp.model.evaluation import batched
from made_exp.reporting.odd_rows import odd_rows_text
from made_exp.reporting.row_count import RowCount
from made_exp.settings.commands import EvalSettings
from made_exp.variables.missing import left_out


def score_rows(settings: EvalSettings) -> tuple[str, dict[str, Any]]:
    """Score the rows of `settings.data` into `settings.path`, if given.

    Returns:
        The oddest rows as a table for a terminal, "" where none are asked for; and the outcome.

    Raises:
        ConfigError: If the rows do not fit the model, or the file cannot be written.
        CheckpointError: If the run holds no model that can be used.
    """
    assert settings.data is not None
    run = FinishedRun(settings.run, settings.device)
    target = settings.path and checked_target(run, settings.path, settings.data)
    if settings.others and not serves_any_order(run.model):
        raise ConfigError(
            "others=true needs a model of any order of the columns: train with "
            "ordering=agnostic or experiment=table"
        )
    with as_config_errors():
        run.model.check_num_orderings(settings.num_orderings or run.model.num_orderings)
        scorer = _Scorer(run, settings)
        notices, summary = Notices(), RowSummary(run.model.groups)
        oddest, progress = Oddest(settings.top or 0), RowCount("scored")
        with _writer(run, target) as writer:
            for rows in new_rows(run, settings.data, notices):
                scores = scorer.score(rows)
                summary.add(rows, scores.log_prob, scores.surprise)
                if settings.top and scores.surprise is not None:
                    oddest.offer(rows, scores.log_prob, scores.surprise)
                writer.append(rows, scorer.shown(scores))
                progress.add(len(rows.x))
        progress.end()
    outcome = {"run": settings.run, "data": settings.data, "rows": progress.rows}
    outcome |= summary.as_dict(notices) | ({"path": str(target)} if target else {})
    odd = scorer.described(oddest.rows, summary.usual)
    return odd_rows_text(odd) if odd else "", outcome


def _writer(run: FinishedRun, target: Path | str | None) -> RowWriter:
    if not target:
        return NoWriter()
    groups, path = run.model.groups, Path(target)
    names = [variable.name for variable in groups.variables]
    if path.suffix.lower() == ".npz":
        return ArrayWriter(path, names)
    columns = [(d, name) for d, name in enumerate(names) if d not in groups.given]
    return FrameWriter(path, run.schema.delimiter, columns)


@final
class _Scorer:
    """Scores rows with the model of a run as the settings ask."""

    def __init__(self, run: FinishedRun, settings: EvalSettings) -> None:
        self.model, self.settings = run.model, settings
        self.train = train_scores(run)
        self.names = tuple(variable.name for variable in run.model.groups.variables)
        self.options: dict[str, Any] = {"num_orderings": settings.num_orderings}

    def score(self, rows: NewRows) -> RowScores:
        """All of some rows, NaN where there is no likelihood."""
        scored = can_be_scored(self.model, rows.x)
        x, size = rows.x[scored], self.settings.batch_size
        context = None if rows.context is None else rows.context[scored]
        options = {**self.options, "context": context, "batch_size": size}
        cells, others = None, None
        if not len(x):
            log_prob, cells = x.new_zeros(0), x
        elif self.settings.surprise or self.settings.top:
            cells = surprise(self.model, x, **options).cpu()
            log_prob = -cells.sum(1)
        else:
            score = partial(self.model.log_prob, **self.options)
            log_prob = batched(self.model, x, context, size, score).cpu()
        if self.settings.others and len(x):
            others = surprise_given_others(self.model, x, **options).cpu()
        full = _spread(log_prob, scored)
        rank = None if self.train is None else rank_among(self.train, full)
        absent = self._absent(rows.x)
        found = [
            None if one is None else _spread(one, scored).masked_fill(absent, torch.nan)
            for one in (cells, others)
        ]
        return RowScores(full, rank, *found)

    def _absent(self, x: Tensor) -> Tensor:
        """The cells of rows (N, D) that have no surprise, (N, D) bool.

        They are missing, or stand after one that is no value in each fixed order.
        """
        groups = self.model.groups
        absent = left_out(x, groups.variables)
        if not serves_any_order(self.model):
            impossible = ~groups.possible(x.to(self.model.device)).cpu()
            after = torch.ones_like(absent)
            for member in self.model.members:
                after &= from_first_on(impossible, member.schedule.mask_set(0).ordering)
            absent |= after & ~impossible
        return absent

    def shown(self, scores: RowScores) -> RowScores:
        """What is written of them."""
        cells = scores.surprise if self.settings.surprise else None
        return RowScores(scores.log_prob, scores.rank, cells, scores.surprise_given_others)

    @torch.no_grad()
    def described(self, rows: list[OddRow], usual: Tensor) -> list[dict[str, Any]]:
        """Rows for `odd_rows_text`; usual (D,) is the median surprise of each column."""
        others: list[Tensor | None] = [None] * len(rows)
        if rows and serves_any_order(self.model):
            labels = [row.context for row in rows if row.context is not None]
            context = torch.stack(labels) if labels else None
            x = torch.stack([row.x for row in rows])
            found = surprise_given_others(self.model, x, context=context, **self.options)
            others = list(found.cpu())
        log_probs = torch.tensor([row.log_prob for row in rows], dtype=torch.float64)
        ranks = [None] * len(rows) if self.train is None else rank_among(self.train, log_probs)
        return [
            {
                "place": self._place(row),
                "log_prob": row.log_prob,
                "rank": None if rank is None else float(rank),
                "cells": row.cells(self.names, usual, given_others),
            }
            for row, rank, given_others in zip(rows, ranks, others, strict=True)
        ]

    def _place(self, row: OddRow) -> str:
        """Its line or number, in the one file that was given, or in one of several."""
        origin = row.raw.origin
        within = origin.place(0).removeprefix(f"{origin.source}, ")
        is_one = Path(str(self.settings.data)).is_file()
        return within if is_one else f"{Path(origin.source).name}, {within}"


def _spread(values: Tensor, scored: Tensor) -> Tensor:
    """Values (N, ...) of all rows from those of the rows that are scored (N,); NaN elsewhere."""
    full = values.new_full((len(scored), *values.shape[1:]), torch.nan, dtype=torch.float64)
    full[scored] = values.double()
    return full
