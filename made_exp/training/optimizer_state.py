"""Weights and optimizer state by parameter name, in the layout of the model's own state_dict.

A layer may store its weight in another form than it saves it in (packed, sorted). Optimizer state
follows the stored form; here it is passed through the model's state_dict, so that a checkpoint
does not depend on the kernel or the device it was written with.
"""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from made_exp.runs.weight_blocks import saved_as_blocks


@torch.no_grad()
def model_state(
    model: nn.Module, values: list[Tensor] | None = None, *, blocks: bool = False
) -> dict[str, Tensor]:
    """A copy of the model's state_dict on the CPU.

    Args:
        model: Any module.
        values: Taken in place of the parameters, one like each; None for the parameters.
        blocks: Whether to copy the blocks of masked weights, see `weight_blocks`.
    """
    parameters = list(model.parameters())
    weights = _exchange(parameters, values or [parameter.data for parameter in parameters])
    try:
        tensors = (*model.parameters(), *model.buffers())
        living = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        with saved_as_blocks(model) if blocks else nullcontext():
            state = model.state_dict()
        return {name: _copy(tensor, living) for name, tensor in state.items()}
    finally:
        _exchange(parameters, weights)


@torch.no_grad()
def optimizer_state(
    model: nn.Module, optimizer: Optimizer, *, blocks: bool = False
) -> dict[str, Any]:
    """State of `optimizer`: tensors like a parameter by saved name, the others by position.

    Args:
        model: Its parameters are what `optimizer` updates.
        optimizer: Any of torch.
        blocks: As in `model_state`.
    """
    parameters = list(model.parameters())
    states = [optimizer.state.get(parameter, {}) for parameter in parameters]
    buffers = {name for name, _ in model.named_buffers()}
    slots: dict[str, Any] = {}
    for key in _slot_names(parameters, states):
        values = [
            state[key] if torch.is_tensor(state.get(key)) else torch.zeros_like(parameter)
            for parameter, state in zip(parameters, states, strict=True)
        ]
        state = model_state(model, values, blocks=blocks)
        slots[key] = {name: tensor for name, tensor in state.items() if name not in buffers}
    counters = [
        {k: _plain(v) for k, v in state.items() if k not in slots and v is not None}
        for state in states
    ]
    return {"slots": slots, "counters": counters}


@torch.no_grad()
def load_optimizer_state(model: nn.Module, optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Take up what `optimizer_state` gave."""
    parameters = list(model.parameters())
    counters = saved["counters"]
    if len(counters) != len(parameters):  # stored in another form than when it was saved
        counters = [counters[0] if counters else {}] * len(parameters)
    if not saved["slots"] and not any(counters):
        return
    slots = {
        key: _from_state_dict(model, parameters, values) for key, values in saved["slots"].items()
    }
    capturable = any(group.get("capturable") for group in optimizer.param_groups)
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for number, parameter in enumerate(parameters):
        if any(counters) and not counters[number]:
            continue  # no step has reached it yet
        state = optimizer.state[parameter]
        for key, values in slots.items():
            state[key] = values[number]
        for key, value in counters[number].items():
            state[key] = value
            if torch.is_tensor(value):
                on_device = capturable or fused
                state[key] = value.to(parameter.device if on_device else "cpu").clone()


def _slot_names(parameters: list[nn.Parameter], states: list[dict[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for parameter, state in zip(parameters, states, strict=True):
        for key, value in state.items():
            # A counter has shape (); so might a parameter, but never all of them.
            if torch.is_tensor(value) and value.shape == parameter.shape and key != "step":
                names[key] = None
    return list(names)


def _from_state_dict(
    model: nn.Module, parameters: list[nn.Parameter], saved: dict[str, Tensor]
) -> list[Tensor]:
    """The inverse of `model_state`."""
    own = model.state_dict()
    buffers = {name: own[name] for name, _ in model.named_buffers() if name in own}
    weights = _exchange(parameters, [torch.zeros_like(p) for p in parameters])
    try:
        model.load_state_dict({**buffers, **saved})
        return [parameter.detach().clone() for parameter in parameters]
    finally:
        _exchange(parameters, weights)


def _exchange(parameters: list[nn.Parameter], values: list[Tensor]) -> list[Tensor]:
    """Put `values` into the parameters; returns what was there."""
    before = [parameter.data for parameter in parameters]
    for parameter, value in zip(parameters, values, strict=True):
        parameter.data = value
    return before


def _copy(tensor: Tensor, living: set[int]) -> Tensor:
    """`tensor` on the CPU; its own memory unless it was made for this state_dict alone."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        return tensor.cpu()
    return tensor.clone() if tensor.untyped_storage().data_ptr() in living else tensor


def _plain(value: Any) -> Any:
    return value.detach().clone().cpu() if torch.is_tensor(value) else value
