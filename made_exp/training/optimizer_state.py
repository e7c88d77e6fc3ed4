"""Weights and optimizer state by parameter name, in the layout of the model's own state_dict.

A layer may store its weight in another form than it saves it in (packed, sorted). Optimizer state
follows the stored form; it is saved in that of the state_dict, so that a checkpoint does not
depend on the kernel or the device it was written with.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from made_exp.model.layers import MaskedLinear

SavedState = dict[str, dict[str, Any]]


def saved_layout(model: nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors like parameters or buffers, by name, on the CPU as the state_dict has them."""
    layers = _layers(model)
    return {
        name: (layers[name].dense_layout(value) if name in layers else value).cpu()
        for name, value in values.items()
    }


@torch.no_grad()
def optimizer_state(model: nn.Module, optimizer: Optimizer) -> SavedState:
    """What `optimizer` keeps of each parameter of `model`, by the parameter's name."""
    layers = _layers(model)
    saved: SavedState = {}
    for name, parameter in model.named_parameters():
        saved[name] = state = {}
        for key, value in optimizer.state.get(parameter, {}).items():
            if torch.is_tensor(value):
                is_weight = name in layers and value.shape == parameter.shape
                state[key] = (layers[name].dense_layout(value) if is_weight else value).cpu()
            elif value is not None:
                state[key] = value
    return saved


@torch.no_grad()
def load_optimizer_state(model: nn.Module, optimizer: Optimizer, saved: SavedState) -> None:
    """Take up what `optimizer_state` gave, also of a model with another kernel."""
    layers = _layers(model)
    on_device = {
        id(parameter): bool(group.get("capturable") or group.get("fused"))
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        for key, value in saved[name].items():
            if torch.is_tensor(value):
                if key != "step" or on_device[id(parameter)]:
                    value = value.to(parameter.device)
                is_weight = name in layers and value.ndim == 2
                value = layers[name].stored_layout(value) if is_weight else value
                value = value.clone()
            optimizer.state[parameter][key] = value


def _layers(model: nn.Module) -> dict[str, MaskedLinear]:
    """The masked layers by the names of their weights."""
    return {
        f"{name}.weight": layer
        for name, layer in model.named_modules()
        if isinstance(layer, MaskedLinear)
    }
