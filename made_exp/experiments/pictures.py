"""What a model has learned, as the picture that fits its data: grids, tables, columns."""

import math

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
    *,
    num_samples: int,
    seed: int,
    title: str = "",
) -> np.ndarray:
    """Sample the model and draw the samples, or for one or two variables the learned density.

    Args:
        model: The call leaves it in evaluation mode.
        dataset: What the model was trained on.
        num_samples: Samples to draw (> 0); of a table at least 2000, for means and correlations.
        seed: Of the samples; the same seed shows the same draw of a changing model.
        title: One line above the picture.

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
    model.eval()
    samples = model.sample(num_samples, generator=generator, context=context).cpu()
    return picture_of(model, dataset, samples, context=context, title=title)


@torch.no_grad()
def picture_of(
    model: MADE,
    dataset: Dataset,
    samples: Tensor,
    *,
    context: Tensor | None = None,
    title: str = "",
) -> np.ndarray:
    """Draw samples (n, D) of `model`, with their class labels (n,) if it has any; see above."""
    real = _examples(dataset, context)
    if dataset.image_shape is not None and dataset.is_discrete:
        return _image_picture(dataset, samples, real, context, title)
    table = _table(model, dataset)
    if table is None:
        # Rows of a table may be sorted, so that the first ones are like no others.
        some = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[:_TABLE_ROWS]
        return figures.vector_grid(samples.numpy(), real[some].numpy(), title=title)
    true = None if dataset.true_probs is None else dataset.true_probs.numpy()
    if dataset.num_dims == 1:
        return figures.density_1d(table, real[:, 0].numpy(), true=true, title=title)
    return figures.density_2d(table, true=true, samples=samples.numpy(), title=title)


def _examples(dataset: Dataset, context: Tensor | None) -> Tensor:
    """Real examples to stand beside samples: of the same classes, and of 0/1, not grey levels."""
    split = "valid" if dataset.dynamic_binarization else "train"
    real, labels = dataset.split(split), dataset.context(split)
    return real if context is None or labels is None else real[torch.isin(labels, context)]


def _image_picture(
    dataset: Dataset,
    samples: Tensor,
    real: Tensor,
    context: Tensor | None,
    title: str,
) -> np.ndarray:
    """Images by class where each class was sampled, else beside real examples."""
    assert dataset.image_shape is not None
    shape, largest = dataset.image_shape, max(v.num_values or 2 for v in dataset.variables) - 1
    each = 0
    if context is not None:
        each = int(torch.bincount(context, minlength=dataset.num_classes).min())
    if context is None or not each:
        return figures.image_grid(
            samples.numpy(),
            shape,
            real=real[: len(samples)].numpy(),
            title=title,
            max_value=largest,
        )
    names = dataset.class_names or tuple(str(c) for c in range(dataset.num_classes))
    rows = torch.stack([samples[context == c][:each] for c in range(dataset.num_classes)])
    return figures.class_grid(rows.numpy(), shape, names, title=title, max_value=largest)


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
