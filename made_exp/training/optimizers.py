"""The optimizers by name, each in the fastest form that torch has for the device."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from made_exp.training.fused_adam import FusedAdam, FusedAdamW

_CLASSES: dict[str, Any] = {
    "adam": FusedAdam,
    "adamw": FusedAdamW,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
}
OPTIMIZERS = tuple(_CLASSES)
_HAS_FUSED = ("adam", "adamw", "sgd", "adagrad")
_HAS_CAPTURABLE = ("adam", "adamw", "adadelta")


def make_optimizer(
    name: str, model: nn.Module, *, lr: float, capturable: bool = False, **options: Any
) -> Optimizer:
    """Build the optimizer called `name` for the parameters of `model`.

    Weight decay leaves biases alone: they hold the marginals of the data.

    Args:
        name: adam, adamw, sgd, adagrad or adadelta.
        model: Its parameters lie on the device already.
        lr: Learning rate (> 0).
        capturable: Whether its steps will be recorded in a CUDA graph; the learning rate is then
            a tensor on the device.
        **options: What torch's class takes: weight_decay, betas, momentum, nesterov, rho, eps.

    Raises:
        ValueError: If the name is unknown, or torch refuses an option.
    """
    if name not in _CLASSES:
        raise ValueError(f"optimizer '{name}' is not one of {', '.join(OPTIMIZERS)}")
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    parameters = list(model.named_parameters())
    rate: float | Tensor = lr
    if capturable:
        rate = torch.tensor(lr, dtype=torch.float32, device=parameters[0][1].device)
        if name in _HAS_CAPTURABLE:
            options["capturable"] = True
    groups = _parameter_groups(parameters, options.pop("weight_decay", 0.0))
    if name in _HAS_FUSED:
        try:
            return _CLASSES[name](groups, lr=rate, fused=True, **options)
        except RuntimeError:  # this torch has no fused form for this device
            pass
    return _CLASSES[name](groups, lr=rate, **options)


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
