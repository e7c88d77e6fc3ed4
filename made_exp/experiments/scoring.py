"""Scoring finished runs: any split, any number of orderings, one run against another."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from made_exp.datasets.baselines.scores import load_or_compute
from made_exp.datasets.registry import default_data_dir
from made_exp.datasets.table.raw import listed
from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.by_column import ColumnScores, score_columns
from made_exp.experiments.evaluation_plots import draw_plots
from made_exp.experiments.finished import FinishedRun
from made_exp.experiments.outcome import scores_of
from made_exp.files import atomic_write_json
from made_exp.model.evaluation import (
    Evaluation,
    evaluate,
    log_probs_by_ordering,
    nll_by_num_orderings,
    paired_difference,
)
from made_exp.reporting import figures
from made_exp.settings.commands import EvalSettings
from made_exp.variables.variable import Variable

_log = logging.getLogger(__name__)


def evaluate_run(settings: EvalSettings) -> dict[str, Any]:
    """Score the best model of a run, as `settings` ask, and write the outcome into the run.

    Returns:
        What was written: the numbers of the evaluation, also by column; simple models' NLL; for
        several orderings the NLL of the mixture of the first 1, 2, ... of them; the comparison.

    Raises:
        ConfigError: If the model has fewer orderings, or the runs were trained on different data.
        CheckpointError: If a run holds no model that can be used.
    """
    finished, split = FinishedRun(settings.run, settings.device, settings.data), settings.split
    if settings.data is not None:
        _check_moved(finished)
    evaluation, curve = _score(finished, settings, settings.num_orderings)
    scores = scores_of(finished.dataset, split, evaluation)
    outcome: dict[str, Any] = {"run": settings.run, "split": split, **scores}
    count = evaluation.num_orderings
    columns = score_columns(
        finished.model,
        finished.dataset,
        split,
        num_orderings=count,
        batch_size=settings.batch_size,
    )
    outcome |= _beside(finished, split, columns)
    path = finished.place(f"evaluation_{split}_{evaluation.num_orderings}.json")
    if curve is not None:
        nll, stderr = curve
        title = f"{finished.dataset.name}, {split}: NLL of the mixture over orderings"
        picture, counts = path.with_suffix(".png"), list(range(1, len(nll) + 1))
        drawn = figures.nll_by_num_orderings(counts, nll, stderr, title=title)
        _write(picture, lambda: figures.save_png(picture, drawn))
        outcome |= {
            "nll_by_num_orderings": nll,
            "nll_stderr_by_num_orderings": stderr,
            "figure": str(picture),
        }
    if settings.plots:
        outcome["plots"] = draw_plots(finished, split, columns, path)
    if settings.compare is not None:
        rival = FinishedRun(settings.compare, settings.device, settings.data)
        _refuse_other_data(finished, rival, split)
        second, _ = _score(rival, settings, None)
        mean, error = paired_difference(evaluation.log_probs, second.log_probs)
        difference = {"nll_difference": mean, "nll_difference_stderr": error}
        outcome["comparison"] = {"run": settings.compare, **second.as_dict(), **difference}
    _write(path, lambda: atomic_write_json(path, outcome))
    return outcome


def _write(path: Path, write: Callable[[], object]) -> None:
    """Call `write`; where the run cannot be written, warn: what was computed is told all the same.

    A run on a full disk, or one of somebody else's, can be scored too.
    """
    try:
        write()
    except OSError as error:
        _log.warning("not written: %s: %s", path, error.strerror)


def _check_moved(run: FinishedRun) -> None:
    """Raise ConfigError, and say how new rows are scored, unless the data are those of `run`."""
    try:
        _ = run.dataset
    except ConfigError as error:
        raise ConfigError(f"{error}; to score new rows, add path=OUT or top=N") from error


def _beside(run: FinishedRun, split: str, columns: ColumnScores | None) -> dict[str, Any]:
    """NLL by column with what counting has of it, but for images; simple models' NLL of test."""
    dataset, found = run.dataset, dict[str, Any]()
    if columns is not None:
        found = columns.as_dict() | {"counting": columns.counting()}
    if split == dataset.scored:
        scores = load_or_compute(dataset, default_data_dir())
        found["baselines"] = {k: nll for k, nll in scores.items() if k != "columns"}
    return found


def _refuse_other_data(first: FinishedRun, second: FinishedRun, split: str) -> None:
    (x, _), (y, _) = first.examples(split), second.examples(split)
    one, other = first.dataset, second.dataset
    if what := difference_of(one.variables, x.numpy(), other.variables, y.numpy()):
        names = f" ({one.name}, {other.name})" if one.name != other.name else ""
        raise ConfigError(
            f"{first.path} and {second.path} cannot be compared: their {split} examples differ "
            f"in {what}{names}"
        )


def difference_of(
    variables: Sequence[Variable], x: np.ndarray, others: Sequence[Variable], y: np.ndarray
) -> str:
    """In what examples x (N, D) of some variables are not y (M, E) of others; "" where they are."""
    ours, theirs = ([v.name for v in some] for some in (variables, others))
    if apart := {*ours} ^ {*theirs}:
        alone = [name for name in (*ours, *theirs) if name in apart]
        return f"columns that one has alone: {listed(alone)}"
    if ours != theirs:
        return "the order of their columns"
    if len(x) != len(y):
        return f"number: {len(x)} and {len(y)}"
    pairs = enumerate(zip(variables, others, strict=True))
    unlike = [
        one.name
        for d, (one, other) in pairs
        if one != other or not np.array_equal(x[:, d], y[:, d], equal_nan=True)
    ]
    return f"columns {listed(unlike)}" if unlike else ""


def _score(
    run: FinishedRun, settings: EvalSettings, num_orderings: int | None
) -> tuple[Evaluation, tuple[list[float], list[float]] | None]:
    """The evaluation, and for several orderings the NLL as their number grows, with its error."""
    model, (x, context) = run.model, run.examples(settings.split)
    count, size = num_orderings or model.num_orderings, settings.batch_size
    if count == 1:
        return evaluate(model, x, context=context, num_orderings=1, batch_size=size), None
    with as_config_errors():
        model.check_num_orderings(count)
    rows = log_probs_by_ordering(model, x, context=context, num_orderings=count, batch_size=size)
    log_probs = model.mixture.log_prob(rows).cpu()
    log_weights = model.mixture.log_weights(count)
    nll, stderr = nll_by_num_orderings(rows, log_weights, len(model.extras))
    evaluation = Evaluation.from_log_probs(log_probs, model.num_modelled, count)
    return evaluation, (nll.tolist(), stderr.tolist())
