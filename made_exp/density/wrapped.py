"""A module around a model, which has the model's own names."""

import os
from abc import ABC
from functools import cache
from typing import Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from made_exp.datasets.table.schema import TableSchema
from made_exp.model.made import MADE
from made_exp.variables.groups import VariableGroups

_MOST_SHOWN = 12


@cache
def _compute_alone_in_forks() -> None:
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Wrapped(nn.Module, ABC):
    """What is asked of a model as it is.

    Args:
        made: The model; it is put into evaluation mode.
        schema: How its variables are written in a table; None where it is of none.
    """

    def __init__(self, made: MADE, schema: TableSchema | None = None) -> None:
        super().__init__()
        self.made, self.schema = made, schema
        self.eval()

    @override
    def __repr__(self) -> str:
        names = [variable.name for variable in self.groups.variables]
        shown = ", ".join(names[:_MOST_SHOWN]) + ", ..." * (len(names) > _MOST_SHOWN)
        what = "variables" if self.schema is None else "columns of a table"
        parts = [f"{len(names)} {what}: {shown}", f"orderings: {self.num_orderings}"]
        if self.made.extras:
            parts.append(f"simple densities: {', '.join(self.made.extras)}")
        return f"{type(self).__name__}({'; '.join(parts)})"

    def completion_log_prob(
        self, x: Tensor, observed: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """See `MADE.completion_log_prob`."""
        return self.made.completion_log_prob(x, observed, context)

    @override
    def share_memory(self) -> Self:
        """See `torch.nn.Module`; processes forked from now on compute with one thread each.

        The threads of torch do not survive a fork, so that a child that waits for them hangs.
        """
        _compute_alone_in_forks()
        return super().share_memory()

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return self.made.num_dims

    @property
    def num_orderings(self) -> int:
        """Orderings in the mixture."""
        return self.made.num_orderings

    @property
    def num_classes(self) -> int:
        """Classes of the context; 0 for none."""
        return self.made.num_classes

    @property
    def groups(self) -> VariableGroups:
        """The variables."""
        return self.made.groups

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.made.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype of the parameters."""
        return self.made.dtype
