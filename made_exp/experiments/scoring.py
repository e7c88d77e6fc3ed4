"""Scoring finished runs: any split, any number of orderings, one run against another."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset, fingerprint
from made_exp.experiments.experiment import load_data
from made_exp.experiments.preparation import DATA_SEED
from made_exp.files import atomic_write_json
from made_exp.model.evaluation import (
    Evaluation,
    evaluate,
    log_probs_by_ordering,
    nll_by_num_orderings,
    paired_difference,
)
from made_exp.model.made import MADE
from made_exp.reporting import figures
from made_exp.runs.loading import load_with_description


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
        ValueError: If the model has fewer orderings, or the runs were trained on different data.
        CheckpointError: If a run holds no model that can be used.
    """
    model, dataset, x, context = _load(run, split, device)
    outcome: dict[str, Any] = {"run": str(run), "split": split}
    evaluation, curve = _score(model, x, context, num_orderings, batch_size)
    outcome |= evaluation.as_dict()
    stem = f"evaluation_{split}_{evaluation.num_orderings}"
    if curve is not None:
        outcome["nll_by_num_orderings"] = curve["nll"]
        outcome["nll_stderr_by_num_orderings"] = curve["nll_stderr"]
        path = Path(run) / f"{stem}.png"
        counts = list(range(1, len(curve["nll"]) + 1))
        title = f"{dataset.name}, {split}: NLL of the mixture over orderings"
        figures.nll_by_num_orderings(
            counts, curve["nll"], curve["nll_stderr"], title=title, path=path
        )
        outcome["figure"] = str(path)
    if compare is not None:
        other, other_data, other_x, other_context = _load(compare, split, device)
        if other_data.variables != dataset.variables or not _equal(x, other_x):
            raise ValueError(
                f"{run} and {compare} cannot be compared: their {split} examples differ "
                f"({dataset.name}, {other_data.name})"
            )
        rival, _ = _score(other, other_x, other_context, None, batch_size)
        mean, stderr = paired_difference(evaluation.log_probs, rival.log_probs)
        outcome["comparison"] = {
            "run": str(compare),
            **rival.as_dict(),
            "nll_difference": mean,
            "nll_difference_stderr": stderr,
        }
    atomic_write_json(Path(run) / f"{stem}.json", outcome)
    return outcome


def _equal(x: Tensor, y: Tensor) -> bool:
    """Whether two tables are the same, missing values included."""
    return x.shape == y.shape and bool(((x == y) | (torch.isnan(x) & torch.isnan(y))).all())


def _load(run: str | Path, split: str, device: str) -> tuple[MADE, Dataset, Tensor, Tensor | None]:
    model, content = load_with_description(run, device)
    dataset = load_data(content["config"])
    if fingerprint(dataset) != content["data"]["fingerprint"]:
        raise ValueError(f"{run}: the data have changed since it was trained ({dataset.name})")
    x, context = dataset.split(split), dataset.context(split)
    if split == "train" and dataset.dynamic_binarization:
        generator = torch.Generator().manual_seed(DATA_SEED)
        x = (x > 255 * torch.rand(x.shape, generator=generator)).to(torch.uint8)
    return model, dataset, x, context


def _score(
    model: MADE, x: Tensor, context: Tensor | None, num_orderings: int | None, batch_size: int
) -> tuple[Evaluation, dict[str, list[float]] | None]:
    """The evaluation, and for several orderings the NLL as their number grows."""
    count = num_orderings or model.num_orderings
    if count == 1:
        return evaluate(model, x, context=context, num_orderings=1, batch_size=batch_size), None
    model.check_num_orderings(count)
    rows = log_probs_by_ordering(
        model, x, context=context, num_orderings=count, batch_size=batch_size
    )
    mixture = model.mixture.log_prob(rows)
    nll, stderr = nll_by_num_orderings(rows, model.mixture.log_weights(count))
    curve = {"nll": nll.tolist(), "nll_stderr": stderr.tolist()}
    return Evaluation.from_log_probs(mixture.cpu(), model.num_dims, count), curve
