"""Scoring finished runs: any split, any number of orderings, one run against another."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from made_exp.errors import ConfigError, as_config_errors
from made_exp.experiments.finished import FinishedRun
from made_exp.files import atomic_write_json
from made_exp.model.evaluation import (
    Evaluation,
    evaluate,
    log_probs_by_ordering,
    nll_by_num_orderings,
    paired_difference,
)
from made_exp.reporting import figures


def evaluate_run(
    run: str | Path,
    *,
    split: str = "test",
    num_orderings: int | None = None,
    compare: str | Path | None = None,
    batch_size: int = 1000,
    device: str = "auto",
) -> dict[str, Any]:
    """Score the best model of a run and write the outcome into the run.

    Args:
        run: Folder of the run.
        split: train, valid or test.
        num_orderings: Orderings in the mixture; default the model's.
        compare: Another run on the same data: the mean difference of NLL over the same examples.
        batch_size: Examples at a time.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        What was written: the numbers of the evaluation; for several orderings the NLL of the
        mixture of the first 1, 2, ... of them; the comparison.

    Raises:
        ConfigError: If the model has fewer orderings, or the runs were trained on different data.
        CheckpointError: If a run holds no model that can be used.
    """
    finished = FinishedRun(run, device)
    evaluation, curve = _score(finished, split, num_orderings, batch_size)
    outcome: dict[str, Any] = {"run": str(run), "split": split, **evaluation.as_dict()}
    path = Path(run) / f"evaluation_{split}_{evaluation.num_orderings}.json"
    if curve is not None:
        nll, stderr = curve
        title = f"{finished.dataset.name}, {split}: NLL of the mixture over orderings"
        picture, counts = path.with_suffix(".png"), list(range(1, len(nll) + 1))
        figures.nll_by_num_orderings(counts, nll, stderr, title=title, path=picture)
        outcome |= {
            "nll_by_num_orderings": nll,
            "nll_stderr_by_num_orderings": stderr,
            "figure": str(picture),
        }
    if compare is not None:
        rival = FinishedRun(compare, device)
        _refuse_other_data(finished, rival, split)
        second, _ = _score(rival, split, None, batch_size)
        mean, error = paired_difference(evaluation.log_probs, second.log_probs)
        difference = {"nll_difference": mean, "nll_difference_stderr": error}
        outcome["comparison"] = {"run": str(compare), **second.as_dict(), **difference}
    atomic_write_json(path, outcome)
    return outcome


def _refuse_other_data(first: FinishedRun, second: FinishedRun, split: str) -> None:
    (x, _), (y, _) = first.examples(split), second.examples(split)
    has_same_variables = first.dataset.variables == second.dataset.variables
    if not has_same_variables or not _equal(x, y):
        raise ConfigError(
            f"{first.path} and {second.path} cannot be compared: their {split} examples differ "
            f"({first.dataset.name}, {second.dataset.name})"
        )


def _equal(x: Tensor, y: Tensor) -> bool:
    """Whether two tables are the same, missing values included."""
    return x.shape == y.shape and bool(((x == y) | (torch.isnan(x) & torch.isnan(y))).all())


def _score(
    run: FinishedRun, split: str, num_orderings: int | None, batch_size: int
) -> tuple[Evaluation, tuple[list[float], list[float]] | None]:
    """The evaluation, and for several orderings the NLL as their number grows, with its error."""
    model, (x, context) = run.model, run.examples(split)
    count = num_orderings or model.num_orderings
    if count == 1:
        return evaluate(model, x, context=context, num_orderings=1, batch_size=batch_size), None
    with as_config_errors():
        model.check_num_orderings(count)
    rows = log_probs_by_ordering(
        model, x, context=context, num_orderings=count, batch_size=batch_size
    )
    log_probs = model.mixture.log_prob(rows).cpu()
    nll, stderr = nll_by_num_orderings(rows, model.mixture.log_weights(count))
    evaluation = Evaluation.from_log_probs(log_probs, model.num_dims, count)
    return evaluation, (nll.tolist(), stderr.tolist())
