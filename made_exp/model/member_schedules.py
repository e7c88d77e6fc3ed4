"""The mask sets of an ordering, for each member of a model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from made_exp.masks import orderings
from made_exp.masks.orderings import ImageShape
from made_exp.masks.schedule import ORDER_STREAM, MaskSchedule
from made_exp.settings.model import NetworkSettings
from made_exp.settings.ordering import (
    AgnosticSettings,
    CustomOrderSettings,
    EnsembleSettings,
    OrderingSettings,
    RandomOrderSettings,
)


def make_schedules(
    ordering: OrderingSettings,
    network: NetworkSettings,
    num_dims: int,
    *,
    image_shape: ImageShape | None = None,
    seed: int = 0,
    missing: Sequence[float] = (),
    first: Sequence[int] = (),
) -> tuple[MaskSchedule, ...]:
    """Mask sets of an ordering, for each member of the model that is to have it.

    Args:
        ordering: Any option; an ensemble has several members, and so have resampled orders with
            fixed ones beside them, which come first.
        network: Sizes and degrees of its hidden layers are used.
        num_dims: Number of variables D.
        image_shape: (height, width), for the image scans; None where there are no images.
        seed: Seed of everything that is drawn.
        missing: Share of the training examples in which each variable is missing, () where nothing
            is, in no split.
        first: Variables that come first in every ordering.

    Raises:
        ValueError: If the ordering does not fit the data.
    """
    if isinstance(ordering, RandomOrderSettings) and ordering.seed is not None:
        seed = ordering.seed
    whole = MaskSchedule(
        tuple(range(num_dims)),
        tuple(network.layer_sizes),
        hidden_degrees=network.hidden_degrees,
        residual=network.residual,
        seed=seed,
        missing=tuple(missing),
        first=tuple(first),
    )
    if isinstance(ordering, EnsembleSettings):
        return _member_schedules(ordering, whole, image_shape)
    if isinstance(ordering, AgnosticSettings):
        agnostic = replace(
            whole,
            resample=ordering.resample,
            num_orderings=ordering.num_orderings,
            sweeps=ordering.sweeps,
            image_shape=image_shape if ordering.sweeps else None,
        )
        # What is missing differs from row to row: no fixed order has it last.
        count = 0 if len(missing) else ordering.fixed
        return (
            *(replace(whole, ordering=_order(whole, k, k == 0)) for k in range(count)),
            agnostic,
        )
    order = _one_order(ordering, num_dims, image_shape, seed)
    return (replace(whole, ordering=tuple(order.tolist())),)


def _one_order(
    ordering: OrderingSettings, num_dims: int, image_shape: ImageShape | None, seed: int
) -> Tensor:
    """The order (D,) of a model that has a single one."""
    if isinstance(ordering, RandomOrderSettings):
        return orderings.random(num_dims, seed)
    if isinstance(ordering, CustomOrderSettings):
        if len(ordering.order) != num_dims:
            raise ValueError(
                f"ordering has {len(ordering.order)} entries, the data have {num_dims} variables: "
                f"give each of 0..{num_dims - 1} once"
            )
        return torch.tensor(ordering.order)
    return orderings.fixed_ordering(ordering.name, num_dims, image_shape)


def _order(whole: MaskSchedule, index: int, is_natural: bool) -> tuple[int, ...]:
    """The order of the columns, or a random one of its own for each index."""
    if is_natural:
        return whole.ordering
    return tuple(orderings.random(whole.num_dims, [whole.seed, index, ORDER_STREAM]).tolist())


def _member_schedules(
    ensemble: EnsembleSettings, whole: MaskSchedule, image_shape: ImageShape | None
) -> tuple[MaskSchedule, ...]:
    """As `whole`, with the order and the depth of each member; a single one stays whole."""
    num_members, rasters, num_dims = ensemble.num_orderings, ensemble.rasters, whole.num_dims
    if rasters and not orderings.is_image(image_shape, num_dims):
        raise ValueError(f"rasters={rasters} needs images, but the data have no image shape")

    def order(index: int) -> tuple[int, ...]:
        is_natural = num_members == 1 or orderings.is_due(index, ensemble.natural)
        if image_shape and not is_natural and orderings.is_due(index, rasters):
            return tuple(orderings.raster(image_shape, int(index * rasters)).tolist())
        return _order(whole, index, is_natural)

    layers = member_layers(ensemble, whole.hidden_sizes, whole.residual)
    return tuple(
        replace(whole, ordering=order(index), hidden_sizes=sizes, residual=is_residual)
        for index, (sizes, is_residual) in enumerate(layers)
    )


def member_layers(
    ensemble: EnsembleSettings, hidden_sizes: Sequence[int], residual: bool
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Hidden sizes of each member, and whether they are those of a residual network.

    Args:
        ensemble: How many members there are, and which are shallow or have a residual block.
        hidden_sizes: Of the other members, and
        residual: whether these are residual.
    """
    first, num_deep = tuple(hidden_sizes[:1]), 0
    for index in range(ensemble.num_orderings):
        # One later in every four: else a quarter in the natural order would all be shallow.
        is_shallow = orderings.is_due(index + index // 4, ensemble.shallow)
        if is_shallow and ensemble.num_orderings > 1:
            yield first, residual
            continue
        has_block = orderings.is_due(num_deep, ensemble.residual)
        yield (first * 3, True) if has_block else (tuple(hidden_sizes), residual)
        num_deep += 1
