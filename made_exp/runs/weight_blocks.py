"""Weights in checkpoints: of a masked layer the blocks that its mask leaves, and their places.

Sorted by `out_order` and `in_order`, rows row_starts[b]..row_starts[b+1] of the dense (O, I) weight
have their first widths[b] columns in the file, block after block, row by row; the rest is zero.
This is so whatever kernel trains, and the file alone says how to read it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from made_exp.kernels.layout import BlockLayout
from made_exp.kernels.packing import unpack_blocks
from made_exp.model.layers import MaskedLinear

Blocks = Mapping[str, Any]


def blocks_of(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Where the blocks of each weight of `model` belong, by its name in the state dict."""
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, MaskedLinear) and layer.is_fixed:
            s = layer.structure
            found[f"{name}.weight"] = {
                "num_in": s.layout.num_in,
                "row_starts": list(s.layout.row_starts),
                "widths": list(s.layout.widths),
                "in_order": None if s.in_order is None else s.in_order.cpu(),
                "out_order": None if s.out_order is None else s.out_order.cpu(),
            }
    return found


@contextmanager
def saved_as_blocks(model: nn.Module) -> Iterator[None]:
    """Inside the block the state dict of `model` holds blocks in place of dense weights."""
    layers = [layer for layer in model.modules() if isinstance(layer, MaskedLinear)]
    for layer in layers:
        layer.saves_blocks = True
    try:
        yield
    finally:
        for layer in layers:
            layer.saves_blocks = False


def dense_state(state: Mapping[str, Tensor], blocks: Mapping[str, Blocks]) -> dict[str, Tensor]:
    """`state` with the dense (O, I) weight in place of its blocks.

    Raises:
        KeyError, RuntimeError, TypeError, ValueError: If they do not fit each other.
    """
    return {
        name: _dense(tensor, blocks[name]) if name in blocks else tensor
        for name, tensor in state.items()
    }


def _dense(flat: Tensor, where: Blocks) -> Tensor:
    widths = tuple(where["widths"])
    layout = BlockLayout(where["num_in"], tuple(where["row_starts"]), widths, (0,) * len(widths))
    if flat.shape != (layout.num_stored,):
        raise ValueError(f"blocks have {layout.num_stored} weights, got {tuple(flat.shape)}")
    return unpack_blocks(flat, layout, where["in_order"], where["out_order"])


def make_dense(content: dict[str, Any]) -> None:
    """Make all weights in the content of a checkpoint dense.

    Raises:
        KeyError, RuntimeError, TypeError, ValueError: If they do not fit their description.
    """
    blocks = content.pop("blocks", None)
    if not blocks:
        return
    for part in ("model", "unaveraged"):
        if content.get(part) is not None:
            content[part] = dense_state(content[part], blocks)
    slots = content.get("optimizer", {}).get("slots", {})
    for name, slot in slots.items():
        slots[name] = dense_state(slot, blocks)
