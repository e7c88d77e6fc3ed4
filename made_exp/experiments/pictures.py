"""What a model has learned, as the picture that fits its data: grids, tables, columns."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.model.made import MADE
from made_exp.reporting import figures

MAX_TABLE = 2**16
_BATCH = 1000
_TABLE_ROWS = 2000


def is_worth_watching(dataset: Dataset) -> bool:
    """Whether pictures during training say something: images, and densities of 1 or 2 variables."""
    return dataset.is_discrete and (dataset.image_shape is not None or dataset.num_dims <= 2)


@torch.no_grad()
def draw_picture(
    model: MADE,
    dataset: Dataset,
    path: Path,
    *,
    num_samples: int,
    seed: int,
    title: str = "",
    ordering: str = "",
) -> np.ndarray:
    """Sample the model and draw the samples, or for one or two variables the learned density.

    Args:
        model: In evaluation mode after the call, as before it.
        dataset: What the model was trained on.
        path: Where the PNG goes.
        num_samples: Samples to draw (> 0); of a table at least 2000, for means and correlations.
        seed: Of the samples; the same seed shows the same draw of a changing model.
        title: One line above the picture.
        ordering: What the model's ordering is called.

    Returns:
        (H, W, 3) uint8.
    """
    generator = torch.Generator().manual_seed(seed)
    context = None
    if dataset.num_classes:
        # Whole rows of each class, so that the grid can be read.
        rows = max(1, math.ceil(num_samples / dataset.num_classes))
        context = torch.arange(dataset.num_classes).repeat_interleave(rows)
        num_samples = len(context)
    elif not is_worth_watching(dataset):
        num_samples = max(num_samples, _TABLE_ROWS)
    was_training = model.training
    model.eval()
    try:
        samples = model.sample(num_samples, generator=generator, context=context).cpu()
        return picture_of(
            model, dataset, samples, path, context=context, title=title, ordering=ordering
        )
    finally:
        model.train(was_training)


@torch.no_grad()
def picture_of(
    model: MADE,
    dataset: Dataset,
    samples: Tensor,
    path: Path,
    *,
    context: Tensor | None = None,
    title: str = "",
    ordering: str = "",
) -> np.ndarray:
    """Draw samples (n, D) of `model`, with their class labels (n,) if it has any; see above."""
    drawn, num_samples = samples.numpy(), len(samples)
    split = "valid" if dataset.dynamic_binarization else "train"
    train, labels = dataset.split(split), dataset.context(split)
    if context is not None and labels is not None:
        train = train[torch.isin(labels, context)]
    real = train[:num_samples].numpy()
    true = None if dataset.true_probs is None else dataset.true_probs.numpy()
    if dataset.image_shape is not None and dataset.is_discrete:
        largest = max(v.num_values or 2 for v in dataset.variables) - 1
        smallest = 0
        if context is not None:
            smallest = int(torch.bincount(context, minlength=dataset.num_classes).min())
        if context is not None and smallest:
            names = dataset.class_names or tuple(str(c) for c in range(dataset.num_classes))
            rows = [drawn[(context == c).numpy()][:smallest] for c in range(dataset.num_classes)]
            return figures.class_grid(
                np.stack(rows),
                dataset.image_shape,
                names,
                title=title,
                max_value=largest,
                path=path,
            )
        return figures.image_grid(
            drawn, dataset.image_shape, real=real, title=title, max_value=largest, path=path
        )
    table = _table(model, dataset)
    if table is not None and dataset.num_dims == 1:
        return figures.density_1d(table, train[:, 0].numpy(), true=true, title=title, path=path)
    if table is not None:
        return figures.density_2d(
            table, true=true, samples=drawn, ordering=ordering, title=title, path=path
        )
    # Rows of a table may be sorted, so that the first ones are like no others.
    some = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:_TABLE_ROWS]
    return figures.vector_grid(drawn, train[some].numpy(), title=title, path=path)


def _table(model: MADE, dataset: Dataset) -> np.ndarray | None:
    """Probabilities of all values of one or two discrete variables, else None."""
    if not dataset.is_discrete or dataset.num_dims > 2 or dataset.num_classes:
        return None
    shape = [variable.num_values or 0 for variable in dataset.variables]
    if math.prod(shape) > MAX_TABLE:
        return None
    cells = torch.cartesian_prod(*(torch.arange(size) for size in shape)).view(-1, len(shape))
    parts = [model.log_prob(part.to(model.device)) for part in cells.split(_BATCH)]
    return torch.cat(parts).double().exp().view(shape).cpu().numpy()
