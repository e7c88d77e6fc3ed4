"""Pictures of what a finished run has learned: calibration, PIT, and NLL by variable."""

from pathlib import Path

import numpy as np
import torch

from made_exp.density.calibration import calibration
from made_exp.experiments.by_column import ColumnScores
from made_exp.experiments.finished import FinishedRun
from made_exp.model.columns import log_probs_by_variable
from made_exp.reporting.figures import save_png
from made_exp.reporting.figures.calibration import nll_bars, nll_image, pit_histograms, reliability

_MAX_ROWS = 5000


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
    (x, context), dataset = run.examples(split), run.dataset
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:_MAX_ROWS]
    x, context = x[order], None if context is None else context[order]
    title = f"{dataset.name}, {split}"
    generator = torch.Generator().manual_seed(1)
    found = calibration(run.model, x, context=context, generator=generator)
    pictures: dict[str, np.ndarray] = {}
    if found.counts.sum():
        bins = (one.numpy() for one in (found.predicted, found.observed, found.counts))
        pictures["calibration"] = reliability(*bins, title=f"{title}: calibration")
    names = [variable.name for variable in dataset.variables]
    if found.pit:
        places = {names[d]: values.cpu().numpy() for d, values in found.pit.items()}
        what = "where numbers fell in their conditionals (flat is right)"
        pictures["pit"] = pit_histograms(places, title=f"{title}: {what}")
    if dataset.image_shape is not None:
        parts = -log_probs_by_variable(run.model, x, context=context).mean(0).cpu()
        image = parts.reshape(dataset.image_shape).numpy()
        pictures["nll"] = nll_image(image, title=f"{title}: NLL by pixel")
    elif columns is not None:
        pictures["nll"] = nll_bars(
            columns.names,
            columns.parts.mean(0).numpy(),
            columns.counted.mean(0).numpy(),
            columns.parts.std(0).numpy() / len(columns.parts) ** 0.5,
            title=f"{title}: NLL by column",
        )
    files = {what: path.with_name(f"{path.stem}_{what}.png") for what in pictures}
    for what, picture in pictures.items():
        save_png(files[what], picture)
    return {what: str(file) for what, file in files.items()}
