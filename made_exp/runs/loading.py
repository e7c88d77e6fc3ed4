"""From a run's plain description to its model: `build_model` for training, `load_run` after it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from made_exp.datasets.base import Dataset, fingerprint
from made_exp.errors import CheckpointError
from made_exp.model.build import (
    build_histogram,
    build_logistic_mixture,
    build_made,
    make_schedules,
)
from made_exp.model.made import MADE
from made_exp.runs.checkpoints import exists, load_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.runtime import derive_seed, resolve_device
from made_exp.variables.variable import Kind, Variable

_WEIGHT_STREAM = 4


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What a model must know of its data, as plain values."""
    return {
        "name": dataset.name,
        "variables": [
            {**asdict(v), "kind": v.kind.value, "categories": v.categories and list(v.categories)}
            for v in dataset.variables
        ],
        "image_shape": dataset.image_shape and list(dataset.image_shape),
        "num_classes": dataset.num_classes,
        "class_names": dataset.class_names and list(dataset.class_names),
        "table": dataset.schema,
        "fingerprint": fingerprint(dataset),
    }


def build_model(config: Mapping[str, Any], data: Mapping[str, Any], kernel: str = "auto") -> MADE:
    """The untrained model of a config.

    Args:
        config: Groups `model` and `ordering` and the `seed`, as plain values.
        data: What `describe_data` gave.
        kernel: Backend of the masked layers.

    Raises:
        ValueError: If the model or the ordering does not fit the data.
    """
    options = dict(config["model"])
    name, variables = options.pop("name"), _variables(data)
    if name == "histogram":
        return build_histogram(variables)
    if name == "logistic_mixture":
        return build_logistic_mixture(variables, **options)
    if name not in ("made", "resmade"):
        raise ValueError(f"model '{name}' is not one of made, resmade, histogram, logistic_mixture")
    is_residual = name == "resmade"
    if is_residual:
        options["hidden_sizes"] = [options.pop("hidden_size")] * (1 + 2 * options.pop("num_blocks"))
    ordering = {k: v for k, v in config["ordering"].items() if v is not None}
    num_orderings = ordering.pop("eval_orderings", None)
    ordering.pop("valid_orderings", None)
    fits_weights = ordering.pop("fit_weights", False)
    schedules = make_schedules(
        ordering.pop("name"),
        len(variables),
        options.pop("hidden_sizes"),
        hidden_degrees=options.pop("hidden_degrees"),
        tied=is_residual,
        image_shape=tuple(data["image_shape"]) if data["image_shape"] else None,
        seed=ordering.pop("seed", config["seed"]),
        **ordering,
    )
    return build_made(
        variables,
        schedules,
        num_orderings=num_orderings,
        fits_weights=fits_weights,
        num_classes=data["num_classes"],
        residual=is_residual,
        backend=kernel,
        generator=torch.Generator().manual_seed(derive_seed(config["seed"], _WEIGHT_STREAM)),
        **options,
    )


def load_run(path: str | Path, device: str | torch.device = "cpu") -> MADE:
    """The best model of a run, in evaluation mode.

    Args:
        path: The run's folder, or one of its checkpoints.
        device: Where to put the model: cpu, cuda, cuda:N or auto.

    Raises:
        CheckpointError: If there is no checkpoint, or it cannot be used.
    """
    model, _ = load_with_description(path, device)
    return model


def load_with_description(
    path: str | Path, device: str | torch.device = "cpu"
) -> tuple[MADE, dict[str, Any]]:
    """As `load_run`; also the checkpoint's `config` and `data`."""
    file = Path(path)
    if file.suffix != ".pt":
        file = RunDirectory(file).best
    if not exists(file):
        raise CheckpointError(f"{path} holds no trained model: {file} does not exist")
    content = load_checkpoint(file)
    try:
        model = build_model(content["config"], content["data"])
        model.load_state_dict(content["model"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{file} does not describe a model: {error}") from error
    target = resolve_device(device) if isinstance(device, str) else device
    return model.to(target).eval(), content


def _variables(data: Mapping[str, Any]) -> tuple[Variable, ...]:
    variables = []
    for entry in data["variables"]:
        categories = entry["categories"] and tuple(entry["categories"])
        changed = {"kind": Kind(entry["kind"]), "categories": categories}
        variables.append(Variable(**{**entry, **changed}))
    return tuple(variables)
