"""How values of earlier variables enter the network: the features of each variable."""

from abc import ABC, abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from made_exp.variables.bases import cosine_basis, num_basis_functions
from made_exp.variables.variable import ALLOWED_ENCODINGS, Kind, Variable

# Size of the one-hot features beside smooth ones.
FAINT = 0.3
# Number of cosines of an integer variable by default.
INTEGER_FUNCTIONS = 16


class Encoding(nn.Module, ABC):
    """Features of the values of a group of G variables of the same kind.

    Features have the floating dtype of the module (`module.to(dtype)`), whatever the dtype of x.
    Values must be observed ones; those that are not are the caller's to replace.

    Attributes:
        num_features: Number of features of one variable.
    """

    num_features: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Features (B, G, num_features) of values x (B, G)."""

    def single(self, x: Tensor, position: int) -> Tensor:
        """Features (B, num_features) of values x (B,) of the variable at `position` in 0..G-1."""
        return self(x[:, None])[:, 0]


@final
class Identity(Encoding):
    """The value itself, as (x - shift) / scale: for binary and real variables.

    Args:
        shift: Subtracted from x.
        scale: Divides x, > 0.
    """

    num_features = 1
    _like: Tensor

    def __init__(self, shift: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale must be > 0, got {scale}")
        self.shift, self.scale = shift, scale
        self.register_buffer("_like", torch.empty(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, G, 1) of values x (B, G)."""
        if self.shift != 0 or self.scale != 1:
            x = (x - self.shift) / self.scale
        return x.to(self._like.dtype).unsqueeze(-1)


@final
class OneHot(Encoding):
    """One feature for each value, 1 for the observed one.

    Args:
        num_values: Number of values V, at least 2.
    """

    _like: Tensor

    def __init__(self, num_values: int) -> None:
        super().__init__()
        _check_num_values(num_values)
        self.num_features = num_values
        self.register_buffer("_like", torch.empty(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, G, V) of values x (B, G) in 0..V-1."""
        values = torch.arange(self.num_features, device=x.device)
        return (x[..., None] == values).to(self._like.dtype)


@final
class Smooth(Encoding):
    """Smooth functions of an ordered value, so that neighbouring values look alike.

    The scaled value (in -1..1), cosines of rising frequency and falling amplitude, and, where
    one_hot_scale is positive, a faint one-hot code that tells neighbours apart all the same.

    Args:
        num_values: Number of values V, at least 2.
        num_functions: Number of cosines, 1..V-1; None for as many as are of use.
        one_hot_scale: Size of the one-hot features, >= 0; 0 leaves them out.
    """

    table: Tensor

    def __init__(
        self, num_values: int, num_functions: int | None = None, one_hot_scale: float = 0.0
    ) -> None:
        super().__init__()
        _check_num_values(num_values)
        num_functions = num_functions or num_basis_functions(num_values)
        if not 1 <= num_functions < num_values:
            raise ValueError(f"num_functions must be 1..{num_values - 1}, got {num_functions}")
        scaled = torch.linspace(-1, 1, num_values, dtype=torch.float64)[:, None]
        waves = cosine_basis(num_values, num_functions, torch.float64, torch.device("cpu")).T
        features = [scaled, waves]
        if one_hot_scale > 0:
            features.append(one_hot_scale * torch.eye(num_values, dtype=torch.float64))
        table = torch.cat(features, 1)
        self.num_features = table.shape[1]
        self.register_buffer("table", table.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, G, num_features) of values x (B, G) in 0..V-1."""
        return F.embedding(x.long(), self.table)


@final
class Embedding(Encoding):
    """A learned vector for each value of each variable.

    Args:
        num_variables: Number of variables G of the group; each has a table of its own.
        num_values: Number of values V, at least 2.
        size: Number of features of a variable, at least 1.
        generator: Draws the initial vectors.
    """

    def __init__(
        self,
        num_variables: int,
        num_values: int,
        size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"embedding_size must be at least 1, got {size}")
        _check_num_values(num_values)
        self.num_features = size
        weight = torch.empty(num_variables, num_values, size)
        # Vectors of length about one, like those of a one-hot code.
        self.weight = nn.Parameter(weight.normal_(std=size**-0.5, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, G, size) of values x (B, G) in 0..V-1."""
        num_variables, num_values, _ = self.weight.shape
        first_row = torch.arange(num_variables, device=x.device) * num_values
        return F.embedding(x.long() + first_row, self.weight.flatten(0, 1))

    def single(self, x: Tensor, position: int) -> Tensor:
        """Features (B, size) of values x (B,) of the variable at `position`."""
        return F.embedding(x.long(), self.weight[position])


def default_encoding(variable: Variable) -> Encoding:
    """The encoding that suits the kind of a variable.

    Binary values enter as they are, categorical ones one-hot, real ones standardised. Ordinal
    values get smooth features beside a faint one-hot code: smooth ones alone are better where
    the density is smooth and much worse where it is not. Integers, which can have many values and
    come in many variables, get a few smooth features.
    """
    if variable.num_values is None:
        return Identity(variable.shift, variable.scale)
    if variable.kind is Kind.CATEGORICAL:
        return OneHot(variable.num_values)
    if variable.kind is Kind.ORDINAL:
        return Smooth(variable.num_values, one_hot_scale=FAINT)
    if variable.kind is Kind.INTEGER:
        return Smooth(variable.num_values, min(variable.num_values - 1, INTEGER_FUNCTIONS))
    return Identity()


def encoding_for(
    name: str,
    variable: Variable,
    *,
    num_variables: int = 1,
    embedding_size: int = 8,
    generator: torch.Generator | None = None,
) -> Encoding:
    """The encoding called `name` of a variable, or of a group of variables like it.

    Args:
        name: one_hot, smooth, embedding, or auto: see `default_encoding`. Real values are
            standardised, whatever the name.
        variable: Its kind, number of values, shift and scale matter.
        num_variables: Number of variables of the group.
        embedding_size: Features of a variable with an embedding.
        generator: Draws the initial embeddings.

    Raises:
        ValueError: If the encoding is unknown or does not suit the variable.
    """
    if name == "auto" or variable.num_values is None:
        return default_encoding(variable)
    allowed = ALLOWED_ENCODINGS[variable.kind]
    if name not in allowed:
        raise ValueError(
            f"encoding of {variable.kind} variable '{variable.name}' must be auto or "
            f"{' or '.join(allowed)}, got '{name}'"
        )
    if name == "one_hot":
        return OneHot(variable.num_values)
    if name == "smooth":
        return Smooth(variable.num_values)
    return Embedding(num_variables, variable.num_values, embedding_size, generator)


def _check_num_values(num_values: int) -> None:
    if num_values < 2:
        raise ValueError(f"num_values must be at least 2, got {num_values}")
