"""The optimizers of torch, each in the fastest form that torch has for the device."""

import inspect
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from made_exp.settings.base import OptimizerSettings
from made_exp.training.fused_adam import FusedAdam, FusedAdamW

_FASTER: dict[str, Any] = {"Adam": FusedAdam, "AdamW": FusedAdamW}


def make_optimizer(
    settings: OptimizerSettings, model: nn.Module, *, capturable: bool = False
) -> Optimizer:
    """Build an optimizer for the parameters of `model`.

    Weight decay leaves biases alone: they hold the marginals of the data.

    Args:
        settings: Any option; settings of its own are those of torch's class.
        model: Its parameters lie on the device already.
        capturable: Whether its steps will be recorded in a CUDA graph; the learning rate is then
            a tensor on the device.
    """
    kind = _FASTER.get(settings.torch_class) or getattr(torch.optim, settings.torch_class)
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in asdict(settings).items()
        if name not in ("name", "lr", "weight_decay")
    }
    known = inspect.signature(kind).parameters
    parameters = list(model.named_parameters())
    rate: float | Tensor = settings.lr
    if capturable:
        rate = torch.tensor(rate, dtype=torch.float32, device=parameters[0][1].device)
        if "capturable" in known:
            options["capturable"] = True
    groups = _parameter_groups(parameters, settings.weight_decay)
    if "fused" in known:
        try:
            return kind(groups, lr=rate, fused=True, **options)
        except RuntimeError:  # this torch has no fused form for this device
            pass
    return kind(groups, lr=rate, **options)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def _parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float
) -> list[dict[str, Any]]:
    if not weight_decay:
        return [{"params": [p for _, p in parameters], "weight_decay": 0.0}]
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in parameters:
        (kept if name.endswith("bias") else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
