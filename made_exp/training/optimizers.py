"""The optimizers of torch, each in the fastest form that torch has for the device."""

import inspect
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from made_exp.settings.training import OptimizerSettings


class CpuAdam(torch.optim.Adam):
    """torch's fused Adam and AdamW on the CPU, bit for bit and with the same state.

    What torch does around its kernel takes a twelfth of the step of a network of 32 units, and a
    twentieth of one of 500.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters."""
        # Without the decorator, which imports torch's compiler: a second at the start of a job.
        add = getattr(Optimizer.add_param_group, "__wrapped__", Optimizer.add_param_group)
        add(self, param_group)

    @torch.no_grad()
    @override
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            states = [self._state_of(parameter) for parameter in parameters]
            steps = [state["step"] for state in states]
            for step in steps:  # on the CPU torch._foreach_add_ takes four times as long
                step.add_(1)
            kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
            kernel(
                parameters,
                [parameter.grad for parameter in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    # Hooks and the profiler, which torch puts around a step that has no such mark, take as long.
    step.hooked = True  # type: ignore[attr-defined]

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        """What torch keeps of a parameter, which it makes in its first step."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


def make_optimizer(
    settings: OptimizerSettings, model: nn.Module, *, capturable: bool = False
) -> Optimizer:
    """Build an optimizer for the parameters of `model`.

    Weight decay leaves biases alone, which hold the marginals of the data, and weights that start
    elsewhere than around zero.

    Args:
        settings: Any option; settings of its own are those of torch's class.
        model: Its parameters lie on the device already.
        capturable: Whether its steps will be recorded in a CUDA graph; the learning rate is then
            a tensor on the device.
    """
    kind = getattr(torch.optim, settings.torch_class)
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in asdict(settings).items()
        if name not in ("name", "weight_decay")
    }
    device = next(model.parameters()).device
    if issubclass(kind, torch.optim.Adam) and device.type == "cpu":
        kind, options["decoupled_weight_decay"] = CpuAdam, kind is torch.optim.AdamW
    known = inspect.signature(kind).parameters
    if capturable:
        options["lr"] = torch.tensor(settings.lr, dtype=torch.float32, device=device)
        if "capturable" in known:
            options["capturable"] = True
    if "fused" in known:
        options["fused"] = device.type == "cpu" or kind is not torch.optim.Adagrad
    made: Optimizer = kind(_parameter_groups(model, settings.weight_decay), **options)
    return made


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    centred = {
        id(module.weight)
        for module in model.modules()
        if getattr(module, "centre", None) is not None
    }
    by_decay: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decays = not name.endswith("bias") and id(parameter) not in centred
        by_decay.setdefault(weight_decay if decays else 0.0, []).append(parameter)
    return [{"params": some, "weight_decay": decay} for decay, some in by_decay.items()]
