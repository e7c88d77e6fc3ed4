"""A trained density: tensors in, tensors out; of a table also frames in, frames out."""

from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from made_exp.datasets.table.schema import TableSchema
from made_exp.density.entry import numbers_of
from made_exp.model.made import MADE
from made_exp.variables.groups import VariableGroups


@final
class Density(nn.Module):
    """An exact density, in evaluation mode.

    Tensors hold numbers as the model has them, and what is answered to them are tensors. Frames
    (pandas, polars, pyarrow) and arrays hold the values of the table.

    Args:
        made: What was trained.
        schema: How its variables are written in a table; None where it is of none.

    Attributes:
        made: The model, for what is not asked here.
        schema: Of the table, or None.
    """

    def __init__(self, made: MADE, schema: TableSchema | None = None) -> None:
        super().__init__()
        self.made, self.schema = made, schema
        self.eval()

    def log_prob(
        self,
        data: Any,
        context: Tensor | None = None,
        num_orderings: int | None = None,
        grad: bool = False,
    ) -> Any:
        """Log-probability of rows; what is missing in a row is left out.

        Args:
            data: A frame, an array or a tensor of B rows.
            context: (B,) class labels, or None.
            num_orderings: Orderings in the mixture; default the model's.
            grad: Whether to keep what a gradient needs, for all rows at once.

        Returns:
            (B,) nats, a tensor for a tensor and else a float64 array; -inf where a value is none
            of its column.

        Raises:
            ValueError: If the rows are not those of the table.
        """
        x = numbers_of(data, self.schema)
        log_probs = self.made.log_prob(x, context, num_orderings, grad)  # type: ignore[arg-type]
        return log_probs if isinstance(data, Tensor) else _array(log_probs)

    def sample(self, num_samples: int, **options: Any) -> Tensor:
        """See `MADE.sample`."""
        return self.made.sample(num_samples, **options)

    def complete(self, x: Tensor, observed: Tensor, **options: Any) -> Tensor:
        """See `MADE.complete`."""
        return self.made.complete(x, observed, **options)

    def completion_log_prob(
        self, x: Tensor, observed: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """See `MADE.completion_log_prob`."""
        return self.made.completion_log_prob(x, observed, context)

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


def _array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()
