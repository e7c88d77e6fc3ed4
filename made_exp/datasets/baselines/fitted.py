"""Tables that fitting fills: their sizes are found then, and a state_dict brings its own."""

from typing import Any, Self

from torch import Tensor, nn
from typing_extensions import override


class FittedTables(nn.Module):
    """A module of float64 buffers that stays on the CPU, wherever the networks are."""

    def _hold(self, **tables: Tensor) -> None:
        """Keep tables by name; again, if there are some of that name."""
        for name, table in tables.items():
            self.register_buffer(name, table.double())

    @override
    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        return self

    @override
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        for name, buffer in self._buffers.items():
            saved = state_dict.get(prefix + name)
            if buffer is not None and saved is not None and saved.shape != buffer.shape:
                self._buffers[name] = buffer.new_zeros(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
