"""What a model has learned, as the picture that fits its data: grids, tables, columns."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.experiments.table_rows import (
    as_read,
    compare_rows,
    fields_of,
    is_table,
    num_compared,
    some_rows,
)
from made_exp.model.made import MADE
from made_exp.reporting import figures
from made_exp.reporting.comparison import Comparison
from made_exp.reporting.figures.canvas import CARD

MAX_TABLE = 2**16
_BATCH = 1000
_GRID = 120  # cells of the plane of two real variables, on each side
_MAX_DOTS = 3000
_TAIL, _MARGIN = 0.002, 0.08  # what lies beyond the plane, and what is left around the rest


class Pictures(NamedTuple):
    """What was drawn (H, W, 3) uint8, and what draws what is seen of it at the size of a card."""

    whole: np.ndarray
    card: Callable[[], np.ndarray]


def is_worth_watching(dataset: Dataset) -> bool:
    """Whether pictures during training say much for little: images, and one or two variables."""
    return dataset.is_discrete and not is_table(dataset)


@torch.no_grad()
def draw_samples(
    model: MADE, dataset: Dataset, *, num_samples: int, seed: int
) -> tuple[Tensor, Tensor | None]:
    """Samples for a picture.

    Args:
        model: The call leaves it in evaluation mode.
        dataset: What the model was trained on.
        num_samples: Samples to draw (> 0); of a table at least `num_compared`.
        seed: Of the samples; the same seed shows the same draw of a changing model.

    Returns:
        (n, D) samples, and their class labels (n,): those of rows of a table, all of images.
    """
    generator = torch.Generator().manual_seed(seed)
    context = None
    if is_table(dataset):
        num_samples = max(num_samples, num_compared(dataset))
        _, labels = some_rows(dataset)
        if labels is not None:
            context = labels[torch.arange(num_samples) % len(labels)]
    elif dataset.num_classes:
        # Whole rows of each class, so that the grid can be read.
        rows = max(1, math.ceil(num_samples / dataset.num_classes))
        context = torch.arange(dataset.num_classes).repeat_interleave(rows)
        num_samples = len(context)
    model.eval()
    return model.sample(num_samples, generator=generator, context=context).cpu(), context


@torch.no_grad()
def pictures_of(
    model: MADE,
    dataset: Dataset,
    samples: Tensor,
    *,
    context: Tensor | None = None,
    comparison: Comparison | None = None,
    title: str = "",
) -> Pictures:
    """Draw samples beside the data, and for one or two variables the learned density.

    Args:
        model: In evaluation mode.
        dataset: What the model was trained on.
        samples: (n, D) samples of the model.
        context: (n,) their class labels, if it has any.
        comparison: Of the samples of a table, where it is known already.
        title: One line above the picture.
    """
    if dataset.image_shape is not None and dataset.is_discrete:
        return _image_picture(dataset, samples, _examples(dataset, context), context, title)
    table = _table(model, dataset)
    if table is None:
        return _rows_picture(model, dataset, samples, comparison, title)
    true = None if dataset.true_probs is None else dataset.true_probs.numpy()
    if dataset.num_dims == 1:
        real = _examples(dataset, context)
        draw = partial(figures.density_1d, table, real[:, 0].numpy(), true=true)
        return Pictures(draw(title=title), partial(draw, width=CARD))
    whole = figures.density_2d(table, true=true, samples=samples.numpy(), title=title)
    return Pictures(whole, partial(figures.density_2d, table))


def _rows_picture(
    model: MADE, dataset: Dataset, samples: Tensor, comparison: Comparison | None, title: str
) -> Pictures:
    """A plane of two real columns, else all columns and the worst pairs."""
    real, drawn = as_read(dataset, some_rows(dataset)[0]), as_read(dataset, samples)
    is_real = [variable.num_values is None for variable in dataset.variables]
    names = [variable.name for variable in dataset.variables]
    if len(names) == 2 and all(is_real) and not (dataset.num_classes or dataset.given):
        complete = real[~np.isnan(real).any(axis=1)]
        if count := min(len(complete), len(drawn), _MAX_DOTS):
            edges = _ends(complete[:, 0]), _ends(complete[:, 1])
            draw = partial(
                figures.density_plane,
                _plane(model, *edges),
                edges,
                data=complete[:count],
                samples=drawn[:count],
                names=(names[0], names[1]),
            )
            return Pictures(draw(title=title), partial(draw, only_learned=True))
    compared = comparison or compare_rows(dataset, samples)
    columns = real, drawn, fields_of(dataset), compared
    whole = figures.table_picture(*columns, title=title)
    return Pictures(whole, partial(figures.worst_columns, *columns))


def _ends(x: np.ndarray) -> np.ndarray:
    """Ends of evenly spaced cells (G + 1,) over nearly all of x (n,)."""
    low, high = np.quantile(x, [_TAIL, 1 - _TAIL])
    margin = _MARGIN * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, _GRID + 1)


def _plane(model: MADE, x_ends: np.ndarray, y_ends: np.ndarray) -> np.ndarray:
    """Learned density (G, G) in the middle of each cell, variable 0 first."""
    x, y = (torch.from_numpy((ends[1:] + ends[:-1]) / 2) for ends in (x_ends, y_ends))
    return _probabilities(model, torch.cartesian_prod(x, y)).reshape(len(x), len(y))


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
) -> Pictures:
    """Images by class where each class was sampled, else beside real examples."""
    assert dataset.image_shape is not None
    shape, largest = dataset.image_shape, max(v.num_values or 2 for v in dataset.variables) - 1
    each = 0
    if context is not None:
        each = int(torch.bincount(context, minlength=dataset.num_classes).min())
    card = partial(figures.image_tiles, samples.numpy(), shape, max_value=largest)
    if context is None or not each:
        whole = figures.image_grid(
            samples.numpy(),
            shape,
            real=real[: len(samples)].numpy(),
            title=title,
            max_value=largest,
        )
        return Pictures(whole, card)
    names = dataset.class_names or tuple(str(c) for c in range(dataset.num_classes))
    rows = torch.stack([samples[context == c][:each] for c in range(dataset.num_classes)])
    whole = figures.class_grid(rows.numpy(), shape, names, title=title, max_value=largest)
    return Pictures(whole, card)


def _table(model: MADE, dataset: Dataset) -> np.ndarray | None:
    """Probabilities of all values of one or two discrete variables, else None."""
    if not dataset.is_discrete or dataset.num_dims > 2 or is_table(dataset) or dataset.num_classes:
        return None
    shape = [variable.num_values or 0 for variable in dataset.variables]
    if math.prod(shape) > MAX_TABLE:
        return None
    cells = torch.cartesian_prod(*(torch.arange(size) for size in shape)).view(-1, len(shape))
    return _probabilities(model, cells).reshape(shape)


def _probabilities(model: MADE, x: Tensor) -> np.ndarray:
    """Probability or density (B,) float64 of examples (B, D)."""
    parts = [model.log_prob(part.to(model.device)) for part in x.split(_BATCH)]
    return torch.cat(parts).double().exp().cpu().numpy()
