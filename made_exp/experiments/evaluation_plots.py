"""Pictures of what a finished run has learned: calibration, PIT, and NLL by variable."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.density.calibration import calibration
from made_exp.experiments.by_column import ColumnScores
from made_exp.experiments.finished import FinishedRun
from made_exp.model.columns import log_probs_by_variable
from made_exp.model.made import MADE
from made_exp.reporting.figures import save_png
from made_exp.reporting.figures.calibration import nll_bars, nll_image, pit_histograms, reliability

_MAX_ROWS = 5000
Rows = tuple[Tensor, Tensor | None]


def draw_plots(
    run: FinishedRun, split: str, columns: ColumnScores | None, path: Path
) -> dict[str, str]:
    """Draw what suits the data of a run, beside `path`; the files by what they show.

    Args:
        run: The run.
        split: Which of its examples.
        columns: Their scores by column; None for images.
        path: The names of the files begin with it.
    """
    rows = some_of(*run.examples(split), _MAX_ROWS)
    title = f"{run.dataset.name}, {split}: "
    pictures = plots_of(run.model, run.dataset, rows, columns, title=title, is_card=False)
    files = {what: path.with_name(f"{path.stem}_{what}.png") for what in pictures}
    for what, picture in pictures.items():
        save_png(files[what], picture)
    return {what: str(file) for what, file in files.items()}


def some_of(x: Tensor, context: Tensor | None, count: int) -> Rows:
    """At most `count` of the examples (N, D) and their classes (N,), drawn at random."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:count]
    return x[order], None if context is None else context[order]


def plots_of(
    model: MADE,
    dataset: Dataset,
    rows: Rows,
    columns: ColumnScores | None,
    *,
    title: str = "",
    is_card: bool = True,
) -> dict[str, np.ndarray]:
    """Pictures by what they show: calibration, pit of numbers, and NLL by column or pixel.

    Args:
        model: The density.
        dataset: Of which the rows are.
        rows: Examples (n, D), and their classes (n,) if there are any.
        columns: Scores by column; None for images.
        title: The beginning of each title; cards have none.
        is_card: Whether they are to be as small as cards of TensorBoard.
    """
    (x, context), generator = rows, torch.Generator().manual_seed(1)

    def titled(what: str) -> dict[str, Any]:
        return {"title": "" if is_card else title + what, "is_card": is_card}

    found = calibration(model, x, context=context, generator=generator)
    pictures: dict[str, np.ndarray] = {}
    if found.counts.sum():
        bins = (one.numpy() for one in (found.predicted, found.observed, found.counts))
        pictures["calibration"] = reliability(*bins, **titled("calibration"))
    names = [variable.name for variable in dataset.variables]
    if found.pit:
        places = {names[d]: values.cpu().numpy() for d, values in found.pit.items()}
        what = "where numbers fell in their conditionals (flat is right)"
        pictures["pit"] = pit_histograms(places, **titled(what))
    if dataset.image_shape is not None:
        parts = -log_probs_by_variable(model, x, context=context).mean(0).cpu()
        image = parts.reshape(dataset.image_shape).numpy()
        pictures["nll"] = nll_image(image, title=f"{title}NLL by pixel")
    elif columns is not None:
        pictures["nll"] = nll_bars(
            columns.names,
            columns.parts.mean.numpy(),
            columns.counted.numpy(),
            columns.parts.stderr.numpy(),
            **titled("NLL by column"),
        )
    return pictures
