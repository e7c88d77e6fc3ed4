"""From a run's folder to its model."""

from pathlib import Path
from typing import Any

import torch

from made_exp.errors import CheckpointError
from made_exp.model.build import build_model
from made_exp.model.made import MADE
from made_exp.runs.checkpoints import exists, load_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.runtime import resolve_device
from made_exp.settings.experiment import from_dict


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
    target = resolve_device(device) if isinstance(device, str) else device
    try:
        model = build_model(from_dict(content["config"]), content["data"], device=target)
        model.load_state_dict(content["model"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(f"{file} does not describe a model: {error}") from error
    return model.to(target).eval(), content
