"""From settings to a model: one object behind every row of the results table.

A histogram and a mixture of logistics are a MADE of one variable, whose network is its bias.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.masks.schedule import MaskSchedule
from made_exp.model.given_rows import GivenRows
from made_exp.model.layers import CPU
from made_exp.model.lengths import num_length_classes
from made_exp.model.made import MADE
from made_exp.model.member_schedules import make_schedules
from made_exp.model.networks import MaskedNetwork
from made_exp.model.simple import KINDS
from made_exp.runtime import derive_seed
from made_exp.settings.experiment import Settings
from made_exp.settings.model import NetworkSettings
from made_exp.settings.ordering import AgnosticSettings, OrderingSettings
from made_exp.variables.groups import VariableGroups
from made_exp.variables.variable import Kind, Variable

_WEIGHT_STREAM = 4


def build_model(
    settings: Settings,
    data: Mapping[str, Any],
    kernel: str = "auto",
    *,
    device: torch.device = CPU,
    precision: str = "fp32",
) -> MADE:
    """The untrained model of an experiment.

    Args:
        settings: Its `model`, `ordering` and `seed` are used.
        data: What `describe_data` gave.
        kernel: Backend of the masked layers.
        device: Where the model will be used, and
        precision: in which products: what kernel auto depends on. The model is made on the CPU.

    Raises:
        ValueError: If the model or the ordering does not fit the data.
    """
    variables = tuple(Variable.from_dict(entry) for entry in data["variables"])
    network, ordering = settings.model.network(), settings.ordering
    if not isinstance(settings.model, NetworkSettings):
        if len(variables) != 1:
            raise ValueError(
                f"model={settings.model.name} is a distribution of one variable, the data have "
                f"{len(variables)}: use model=made"
            )
        ordering = OrderingSettings("natural")
    if network.baselines and data["num_classes"]:
        raise ValueError(f"model.baselines={network.baselines}: they know no class labels")
    schedules = make_schedules(
        ordering,
        network,
        len(variables),
        image_shape=tuple(data["image_shape"]) if data["image_shape"] else None,
        seed=settings.seed,
        missing=data.get("missing", ()),
        first=[d for d, variable in enumerate(variables) if variable.is_given],
    )
    if network.length_classes is None:
        lengths = () if schedules[-1].is_resampled else data.get("lengths", ())
        network = replace(network, length_classes=num_length_classes(lengths, len(variables)))
    return build_made(
        variables,
        schedules,
        network,
        num_classes=data["num_classes"],
        num_orderings=_num_orderings(ordering, len(schedules), network.length_classes or 0),
        fits_weights=getattr(ordering, "fit_weights", len(schedules) > 1),
        extras={name: KINDS[name](variables) for name in network.baselines},
        given_rows=GivenRows.of(variables, data.get("given")),
        kernel=kernel,
        device=device,
        dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        generator=torch.Generator().manual_seed(derive_seed(settings.seed, _WEIGHT_STREAM)),
    )


def build_made(
    variables: Sequence[Variable],
    schedules: Sequence[MaskSchedule],
    network: NetworkSettings,
    *,
    num_classes: int = 0,
    num_orderings: int | None = None,
    fits_weights: bool = False,
    extras: Mapping[str, SimpleDensity] | None = None,
    given_rows: GivenRows | None = None,
    kernel: str = "auto",
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
) -> MADE:
    """A MADE over `variables` with a network for each of `schedules`.

    Args:
        variables: What each of the D variables holds.
        schedules: Orderings and degrees of each member, of as many variables.
        network: Everything else of the networks.
        num_classes: See `MaskedNetwork`.
        num_orderings: See `MADE`.
        fits_weights: See `MADE`.
        extras: See `MADE`.
        given_rows: See `MADE`.
        kernel: See `MaskedLinear`, also for what follows.
        device: Where the model will be used.
        dtype: In which products will be taken.
        generator: Source of the initial weights.

    Raises:
        ValueError: If the conditional or the encoding does not fit a variable.
    """
    assert all(schedule.num_dims == len(variables) for schedule in schedules)
    network, num_latent = network.suited_to(variables), network.length_classes or 0
    if num_latent:
        _check_latent(variables, schedules, num_classes, num_latent)
    groups = VariableGroups(
        variables,
        conditional=network.conditional,
        num_components=network.num_components,
        encoding=network.encoding,
        smooth_logits=network.smooth_logits,
    )
    networks = [
        MaskedNetwork(
            groups.feature_widths,
            groups.param_widths,
            schedule,
            network,
            num_classes=num_classes + num_latent,
            backend=kernel,
            device=device,
            dtype=dtype,
            generator=generator,
        )
        for schedule in schedules
    ]
    return MADE(groups, networks, num_orderings, fits_weights, extras, given_rows, num_latent)


def _check_latent(
    variables: Sequence[Variable],
    schedules: Sequence[MaskSchedule],
    num_classes: int,
    num_latent: int,
) -> None:
    """Raise ValueError unless rows of `variables` have classes by their number of ones."""
    what = f"model.length_classes={num_latent} is for"
    if schedules[-1].is_resampled:
        raise ValueError(f"{what} networks of one order each, not for ordering=agnostic")
    if num_classes:
        raise ValueError(f"{what} data without class labels, these have {num_classes}")
    for variable in variables:
        if variable.kind != Kind.BINARY:
            raise ValueError(f"{what} binary rows, but '{variable.name}' is {variable.kind}")
        if variable.may_be_missing or any(schedules[0].missing):
            raise ValueError(f"{what} rows without missing values, of '{variable.name}' some are")


def _num_orderings(ordering: OrderingSettings, num_members: int, num_latent: int) -> int | None:
    """Components of the mixture that is scored; None for all that there are."""
    count = ordering.eval_orderings
    if count is not None and num_latent:
        count *= num_latent
    if count is not None and isinstance(ordering, AgnosticSettings):
        count += num_members - 1
    return count
