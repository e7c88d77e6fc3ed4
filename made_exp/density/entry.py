"""What users hand to a density, as the numbers of its model, and what they get for numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.libraries import adopted
from made_exp.datasets.table.schema import TableSchema
from made_exp.datasets.tables import unmasked
from made_exp.errors import whole_number
from made_exp.variables.variable import Variable


def numbers_of(
    data: Any, schema: TableSchema | None, needed: Sequence[str] | None = None
) -> Tensor | np.ndarray:
    """Examples (B, D) in data space, NaN where missing.

    Args:
        data: A tensor, which is taken as it is; or rows of the table, a frame or an array.
        schema: Of the table; None where the model is of none, and arrays are taken as they are.
        needed: Columns that must be there; by default all.

    Raises:
        ValueError: If it is no such data, or does not fit the table.
    """
    if isinstance(data, Tensor):
        return data
    if schema is not None:
        return torch.from_numpy(schema.encode(raw_table(data), needed=needed))
    if hasattr(data, "columns"):
        raise ValueError(
            f"the model is of no table, so that a {type(data).__name__} means nothing to it; "
            "a tensor or an array (rows, variables) is needed"
        )
    return np.asarray(unmasked(data))


def is_beyond(data: Any, variables: Sequence[Variable]) -> Tensor | None:
    """Where codes of a tensor (B, D) are none that is drawn, (B, D) bool; None of other data.

    Rows of a table may hold whole numbers beyond the range of their column, a tensor may not.
    """
    if not isinstance(data, Tensor):
        return None
    most = [v.num_values if v.is_open and v.num_values else math.inf for v in variables]
    ends = torch.tensor(most, dtype=torch.float64, device=data.device)
    return ends.isfinite() & ((data < 0) | (data >= ends))


def generator_of(seed: int | None, generator: torch.Generator | None) -> torch.Generator | None:
    """The source of randomness that is asked for; None for torch's own.

    Raises:
        ValueError: If two are.
    """
    if seed is None:
        return generator
    if generator is not None:
        raise ValueError("seed and generator both say where randomness comes from; give one")
    return torch.Generator().manual_seed(whole_number("seed", seed, 0))


def rows_like(data: Any, values: Tensor, names: Sequence[str]) -> Any:
    """Values (B, K) for the rows of a frame or an array, in one of its library."""
    library, frame = adopted(data)
    pairs = zip(names, array_of(values).T, strict=True)
    return library.make([pl.Series(name, column) for name, column in pairs], rows_of=frame)


def array_of(values: Tensor) -> np.ndarray:
    """The same numbers, float64."""
    return values.detach().cpu().double().numpy()
