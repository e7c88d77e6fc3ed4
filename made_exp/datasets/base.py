"""The record every dataset loader returns, and what follows from it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.parts import ROWS
from made_exp.variables.variable import Kind, Variable

SPLITS = ("train", "valid", "test")
# Fields that no result depends on.
_SAID_ALONE = ("name", "note", "notices", "class_names", "is_mapped", "reading")

_EMPTY = ("None", "False", "''", "()", "[]", "{}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in three named splits.

    Attributes:
        name: What the dataset is called in messages and results.
        variables: One `Variable` per column, D in all.
        train: (N, D); uint8 where all values are discrete and below 256, int64 where some are
            larger, float64 where any variable is real, any value is missing (NaN) or whole numbers
            may exceed 2^24.
        valid: The same, for early stopping and model selection.
        test: The same, scored once at the end; (0, D) where there is none.
        image_shape: (height, width) where the rows are images, row by row.
        train_context: (N,) int64 class labels, or None.
        valid_context: The same for the validation split.
        test_context: The same for the test split.
        num_classes: Number of class labels; 0 without context.
        class_names: What the labels are called, for pictures.
        true_probs: float64 table with one axis per variable that sums to 1, where the data were
            drawn from a known density.
        dynamic_binarization: True when train holds grey levels 0..255 and every training epoch
            draws x = 1[u < grey / 255] afresh; valid and test are then one fixed draw (0/1).
        schema: The columns of a table of the user's, as `TableSchema.to_dict` gives them.
        notices: What the user should look at in the data, a line each.
        note: What a reader must know beside a result, e.g. which draw the test split is.
        is_mapped: Whether train, valid and test are mapped from disk, not held in memory.
        reading: Bytes that it took, about, to put them there, where this process did so.

    Examples:
        >>> from made_exp.variables.variable import binary_variables
        >>> x = torch.zeros(10, 4, dtype=torch.uint8)
        >>> data = Dataset("zeros", binary_variables(4), x, x, x, image_shape=(2, 2))
        >>> data.num_dims, data.is_binary
        (4, True)
    """

    name: str
    variables: tuple[Variable, ...]
    train: Tensor
    valid: Tensor
    test: Tensor
    image_shape: tuple[int, int] | None = None
    train_context: Tensor | None = None
    valid_context: Tensor | None = None
    test_context: Tensor | None = None
    num_classes: int = 0
    class_names: tuple[str, ...] | None = None
    true_probs: Tensor | None = None
    dynamic_binarization: bool = False
    schema: dict[str, Any] | None = None
    notices: tuple[str, ...] = ()
    note: str = ""
    is_mapped: bool = False
    reading: int = 0

    @classmethod
    def of_splits(
        cls,
        name: str,
        variables: tuple[Variable, ...],
        x: Mapping[str, Tensor],
        labels: Mapping[str, Tensor] | None = None,
        **options: Any,
    ) -> Self:
        """A dataset of examples (N, D), and of class labels (N,) where there are any, by split."""
        content: dict[str, Any] = {**options, **{split: x[split] for split in SPLITS}}
        content |= {f"{split}_context": y.long() for split, y in (labels or {}).items()}
        return cls(name, variables, **content)

    def __post_init__(self) -> None:
        for split in SPLITS:
            self._check_split(split)
        if self.image_shape is not None:
            height, width = self.image_shape
            if height * width != self.num_dims:
                raise ValueError(
                    f"image_shape of dataset '{self.name}' is {height}x{width} = {height * width} "
                    f"pixels, but its rows have {self.num_dims} variables"
                )

    def _check_split(self, split: str) -> None:
        x, context = self.split(split), self.context(split)
        if x.ndim != 2 or x.shape[1] != self.num_dims:
            raise ValueError(
                f"{split} split of dataset '{self.name}' has shape {tuple(x.shape)}; "
                f"(rows, {self.num_dims}) is needed"
            )
        if len(x) == 0 and split != "test":
            raise ValueError(f"{split} split of dataset '{self.name}' has no rows")
        if (context is None) != (self.num_classes == 0):
            raise ValueError(f"dataset '{self.name}': context and num_classes must come together")
        if context is not None and context.shape != (len(x),):
            raise ValueError(
                f"{split} labels of dataset '{self.name}' have shape {tuple(context.shape)}; "
                f"({len(x)},) is needed"
            )

    @property
    def num_dims(self) -> int:
        """Number of variables D."""
        return len(self.variables)

    @property
    def given(self) -> tuple[int, ...]:
        """Numbers of the variables that are given; the others are modelled given them."""
        return tuple(d for d, variable in enumerate(self.variables) if variable.is_given)

    @property
    def num_modelled(self) -> int:
        """How many of the D variables have a probability."""
        return self.num_dims - len(self.given)

    @property
    def is_binary(self) -> bool:
        """Whether every variable is binary."""
        return all(variable.kind is Kind.BINARY for variable in self.variables)

    @property
    def is_discrete(self) -> bool:
        """Whether no variable is real-valued."""
        return all(variable.num_values is not None for variable in self.variables)

    @property
    def has_test(self) -> bool:
        """Whether any row is kept for the test."""
        return len(self.test) > 0

    @property
    def scored(self) -> str:
        """The split on which models are compared: test, or valid where there is no test."""
        return "test" if self.has_test else "valid"

    def without_test(self) -> Self:
        """The same, with no row for the test."""
        labels = None if self.test_context is None else self.test_context[:0]
        return replace(self, test=self.test[:0], test_context=labels, note="no test split")

    def split(self, split: str) -> Tensor:
        """The examples (N, D) of split "train", "valid" or "test".

        Raises:
            ValueError: If there is no such split.
        """
        x: Tensor = getattr(self, _known(split))
        return x

    def context(self, split: str) -> Tensor | None:
        """The class labels (N,) of split "train", "valid" or "test", or None."""
        labels: Tensor | None = getattr(self, f"{_known(split)}_context")
        return labels


def _known(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got '{split}'")
    return split


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 (hex) over everything in the dataset that a result depends on.

    What later versions add to the records of a dataset, a variable or a column leaves it as it is
    where it is at its default.
    """
    digest = hashlib.sha256()
    for field in fields(dataset):
        value = getattr(dataset, field.name)
        if isinstance(value, Tensor):
            digest.update(f"{field.name}{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy().data)
        elif field.name not in _SAID_ALONE and value != field.default:
            digest.update(f"{field.name}{_told(value)}".encode())
    return digest.hexdigest()


def _told(value: Any) -> str:
    """A text of plain values and records, without what is at its default, or empty in a mapping."""
    if is_dataclass(value):
        known = ((one, getattr(value, one.name)) for one in fields(value) if one.repr)
        told = (f"{one.name}={_told(own)}" for one, own in known if own != one.default)
        return f"({','.join(told)})"
    if isinstance(value, Mapping):
        told = (f"{key!r}:{_told(one)}" for key, one in value.items() if repr(one) not in _EMPTY)
        return f"{{{','.join(told)}}}"
    if isinstance(value, tuple | list):
        return f"[{','.join(map(_told, value))}]"
    return repr(value)


def binarize(grey: Tensor, uniforms: Tensor) -> Tensor:
    """X = 1[u < grey / 255] as uint8, of grey levels 0..255 and u in [0, 1) of the same shape."""
    return (255 * uniforms < grey).to(torch.uint8)


def binarized(grey: Tensor, seed: int) -> Tensor:
    """One draw of `binarize`, a function of `seed`, for grey levels (N, D)."""
    generator = torch.Generator().manual_seed(seed)
    return binarize(grey, torch.rand(grey.shape, generator=generator))


def reference_nll(dataset: Dataset, split: str) -> float | None:
    """NLL of the density the data were drawn from, in nats per example of `split`.

    Returns:
        None where that density is unknown; infinity where it gives an example no probability.
    """
    if dataset.true_probs is None:
        return None
    index = tuple(dataset.split(split).long().T)
    return float(-torch.log(dataset.true_probs.double()[index]).mean())


def shared_with_train(dataset: Dataset) -> dict[str, float]:
    """Share of the rows of valid, and of test, that also stand in train.

    A model that knows a row by heart is not told from one that understands it by these.

    Returns:
        Nothing but for binary tables whose rows are fixed.
    """
    if not dataset.is_binary or dataset.dynamic_binarization or dataset.train.is_floating_point():
        return {}
    train, *others = (_row_hashes(dataset.split(split)) for split in SPLITS)
    pairs = zip(SPLITS[1:], others, strict=True)
    return {split: float(np.isin(own, train).mean()) for split, own in pairs if len(own)}


def _row_hashes(x: Tensor) -> np.ndarray:
    """A number (N,) for each row of x (N, D), of 0 and 1; alike for alike rows."""
    rows = (row for part in x.split(ROWS) for row in np.packbits(part.numpy(), 1))
    return np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(x))


def nll_as_written(dataset: Dataset, split: str, nll: float) -> float | None:
    """NLL of a table's values as they are written, masses all, from its NLL in nats per example.

    A real value then counts as the mass of the cell of its last digit: the density times the
    variable's resolution.

    Returns:
        None where no variable of a table is real.
    """
    x, variables = dataset.split(split), dataset.variables
    real = [d for d, v in enumerate(variables) if v.is_real and not v.is_given]
    if dataset.schema is None or not real:
        return None
    total = sum(
        float(variables[d].log_cells(rows[:, d]).where(~rows[:, d].isnan(), 0.0).sum())
        for rows in x.split(ROWS)
        for d in real
    )
    return nll - total / len(x)
