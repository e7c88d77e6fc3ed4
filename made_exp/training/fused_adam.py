"""Adam and AdamW whose step on the CPU costs little more than its arithmetic.

What torch does around the fused kernel takes a large part of the step of a small network.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer
from torch.optim import optimizer as torch_optimizer

Closure = Callable[[], Any]


class DirectOptimizer(Optimizer, ABC):
    """An optimizer of torch whose usual step on the CPU calls the fused kernel directly."""

    @property
    @abstractmethod
    def kernel(self) -> Callable[..., None]:
        """The fused kernel, which updates parameters and state in place."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters."""
        # Without the decorator, which imports torch's compiler: a second at the start of a job.
        add = getattr(Optimizer.add_param_group, "__wrapped__", Optimizer.add_param_group)
        add(self, param_group)

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters; returns what `closure` returned."""
        assert isinstance(self, Adam)
        if closure is None and _step_directly(self, self.kernel):
            return None
        return _torch_step(self, closure)

    step.hooked = True  # type: ignore[attr-defined]  # do not wrap it, see _torch_step


@final
class FusedAdam(DirectOptimizer, Adam):
    """torch's fused Adam, bit for bit and with the same state."""

    @property
    def kernel(self) -> Callable[..., None]:
        """The fused kernel of Adam."""
        return torch._fused_adam_


@final
class FusedAdamW(DirectOptimizer, AdamW):
    """torch's fused AdamW, bit for bit and with the same state."""

    @property
    def kernel(self) -> Callable[..., None]:
        """The fused kernel of AdamW."""
        return torch._fused_adamw_


@torch.no_grad()
def _step_directly(optimizer: Adam, kernel: Callable[..., None]) -> bool:
    """Do the step if the kernel alone is enough for it; returns whether it was."""
    if _has_hooks(optimizer) or not all(_is_usual(g, optimizer) for g in optimizer.param_groups):
        return False
    for group in optimizer.param_groups:
        # An ensemble's step leaves most of its members without a gradient.
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            continue
        beta1, beta2 = group["betas"]
        states = [_state_of(optimizer, parameter) for parameter in parameters]
        steps = [state["step"] for state in states]
        for step in steps:  # on the CPU torch._foreach_add_ takes four times as long
            step.add_(1)
        kernel(
            parameters,
            [parameter.grad for parameter in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )
    return True


def _is_usual(group: dict[str, Any], optimizer: Adam) -> bool:
    """Whether a group has no special option, and dense gradients, all on the CPU."""
    if not group["fused"] or any(group[name] for name in _SPECIAL):
        return False
    numbers = (group["lr"], *group["betas"])
    return not any(isinstance(number, Tensor) for number in numbers) and all(
        p.is_cpu and (p.grad is None or not p.grad.is_sparse) for p in group["params"]
    )


def _state_of(optimizer: Adam, parameter: Tensor) -> dict[str, Any]:
    """What torch keeps of a parameter, which it makes in its first step."""
    state = optimizer.state[parameter]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
    return state


_SPECIAL = ("amsgrad", "maximize", "differentiable", "capturable")


def _has_hooks(optimizer: Optimizer) -> bool:
    """Whether anything is to be called or scaled besides the update itself."""
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or torch_optimizer._global_optimizer_pre_hooks
        or torch_optimizer._global_optimizer_post_hooks
        or getattr(optimizer, "grad_scale", None) is not None
        or getattr(optimizer, "found_inf", None) is not None
    )


def _torch_step(optimizer: Adam, closure: Closure | None) -> Any:
    """Do torch's own step with its hooks, which it wraps around the method of a class once."""
    is_wrapped = getattr(Adam.step, "hooked", False)
    step = Adam.step if is_wrapped else Optimizer.profile_hook_step(Adam.step)
    return step(optimizer, closure)
