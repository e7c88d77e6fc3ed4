"""The models by name, from plain arguments: one object behind every row of the results table.

A histogram and a mixture of logistics are a MADE of one variable, whose network is its bias.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from made_exp.masks.orderings import ImageShape, make_ordering
from made_exp.masks.schedule import MaskSchedule
from made_exp.model.made import MADE
from made_exp.model.members import plan_members
from made_exp.model.networks import MaskedNetwork
from made_exp.variables.groups import VariableGroups
from made_exp.variables.variable import Variable

AGNOSTIC, ENSEMBLE = "agnostic", "ensemble"


def make_schedules(
    ordering: str,
    num_dims: int,
    hidden_sizes: Sequence[int],
    *,
    hidden_degrees: str = "spread",
    tied: bool = False,
    order: Sequence[int] | None = None,
    image_shape: ImageShape | None = None,
    resample: str = "both",
    num_orderings: int = 32,
    sweeps: float = 0.0,
    natural: float = 0.0,
    rasters: float = 0.0,
    shallow: float = 0.0,
    seed: int = 0,
) -> tuple[MaskSchedule, ...]:
    """Mask sets of a named ordering, for each member of the model that is to have it.

    Args:
        ordering: Any name of `orderings.make_ordering`; or agnostic: orderings or connectivity
            resampled during training; or ensemble: several orders with a network each.
        num_dims: Number of variables D.
        hidden_sizes: Units of each hidden layer.
        hidden_degrees: spread, uniform or random; see `MaskSchedule`.
        tied: Whether hidden layers share their degrees.
        order: The permutation of a custom ordering.
        image_shape: (height, width), for the image scans.
        resample: What an agnostic ordering resamples: order, connectivity or both.
        num_orderings: Mask sets of an agnostic ordering, where 0 never repeats, or members of an
            ensemble.
        sweeps: Share of the orderings of an agnostic one that sweep the image.
        natural: Share of the members of an ensemble that keep the natural order.
        rasters: Share of the members of an ensemble that read the image in lines.
        shallow: Share of the members of an ensemble that have the first hidden layer alone.
        seed: Seed of everything that is drawn.
    """
    schedule = partial(MaskSchedule, hidden_degrees=hidden_degrees, tied=tied, seed=seed)
    if ordering == ENSEMBLE:
        plans = plan_members(
            num_orderings,
            num_dims,
            hidden_sizes,
            natural=natural,
            rasters=rasters,
            shallow=shallow,
            image_shape=image_shape,
            seed=seed,
        )
        return tuple(schedule(plan.ordering, plan.hidden_sizes) for plan in plans)
    if ordering == AGNOSTIC:
        shape = image_shape if sweeps else None
        agnostic = schedule(
            tuple(range(num_dims)),
            tuple(hidden_sizes),
            resample=resample,
            num_orderings=num_orderings,
            sweeps=sweeps,
            image_shape=shape,
        )
        return (agnostic,)
    fixed = make_ordering(ordering, num_dims, seed=seed, image_shape=image_shape, order=order)
    return (schedule(tuple(fixed.tolist()), tuple(hidden_sizes)),)


def build_made(
    variables: Sequence[Variable],
    schedules: Sequence[MaskSchedule],
    *,
    conditional: str = "auto",
    num_components: int = 4,
    encoding: str = "auto",
    smooth_logits: bool = False,
    num_orderings: int | None = None,
    fits_weights: bool = False,
    generator: torch.Generator | None = None,
    **network_options: Any,
) -> MADE:
    """A MADE over `variables` with a network for each of `schedules`.

    Args:
        variables: What each of the D variables holds.
        schedules: Orderings and degrees of each member, of as many variables.
        conditional: auto, bernoulli, categorical, logistic_mixture or gaussian_mixture.
        num_components: Components of mixture conditionals.
        encoding: auto, one_hot or smooth.
        smooth_logits: Whether logits of ordered values are made of smooth functions.
        num_orderings: Orderings of the mixture at evaluation; default all of the schedule.
        fits_weights: Whether the weights of these orderings can be fitted; else they are equal.
        generator: Where initial weights are drawn from.
        **network_options: Options of `MaskedNetwork`.

    Raises:
        ValueError: If a schedule has another number of variables, or an option is wrong.
    """
    for schedule in schedules:
        if schedule.num_dims != len(variables):
            raise ValueError(
                f"the ordering has {schedule.num_dims} variables, the data have {len(variables)}"
            )
    groups = VariableGroups(
        variables,
        conditional=conditional,
        num_components=num_components,
        encoding=encoding,
        smooth_logits=smooth_logits,
    )

    networks = [
        MaskedNetwork(
            groups.feature_widths,
            groups.param_widths,
            schedule,
            generator=generator,
            **network_options,
        )
        for schedule in schedules
    ]
    return MADE(groups, networks, num_orderings, fits_weights)


def build_histogram(variables: Sequence[Variable]) -> MADE:
    """p(x) = softmax(theta)[x] for one discrete variable, theta starting at zero.

    Raises:
        ValueError: If there is more than one variable, or it is real.
    """
    return _one_variable("histogram", variables, "categorical", 1)


def build_logistic_mixture(variables: Sequence[Variable], num_components: int = 4) -> MADE:
    """A discretized mixture of logistics for one discrete variable.

    Raises:
        ValueError: If there is more than one variable, or it is not ordered.
    """
    return _one_variable("logistic_mixture", variables, "logistic_mixture", num_components)


def _one_variable(
    model: str, variables: Sequence[Variable], conditional: str, num_components: int
) -> MADE:
    if len(variables) != 1:
        raise ValueError(
            f"model={model} is a distribution of one variable, the data have {len(variables)}: "
            "use model=made"
        )
    schedules = make_schedules("natural", 1, ())
    return build_made(variables, schedules, conditional=conditional, num_components=num_components)
