"""How values of earlier variables enter the network: the features of each variable.

Smooth functions of an ordered value serve here and as logits. With them neighbouring values share
strength: a network of 200 levels learns from each example about the levels nearby, not only about
the one level that was observed.
"""

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from made_exp.variables.variable import ALLOWED_ENCODINGS, Kind, Variable

# Size of the one-hot features beside smooth ones.
FAINT = 0.3
# Number of cosines of an integer variable by default.
INTEGER_FUNCTIONS = 16
# A quarter of the amplitude is left at this frequency (in half periods over the range). With it a
# masked network fits a 200 x 200 picture from 80000 draws to 0.010 nats; with equal amplitudes to
# 0.020, and with one-hot codes to 0.028 before it overfits.
QUARTER_AMPLITUDE_FREQUENCY = 8
# Finer waves would have so small an amplitude that training never reaches them.
MAX_FUNCTIONS = 64


class Encoding(nn.Module, ABC):
    """Features of the values of a group of G variables of the same kind.

    Features have the floating dtype of the module (`module.to(dtype)`), whatever the dtype of x.
    Values must be observed ones; those that are not are the caller's to replace.

    Attributes:
        num_features: Number of features of one variable.
    """

    num_features: int
    _like: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_like", torch.empty(0), persistent=False)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Features (B, G, num_features) of values x (B, G), in 0..V-1 where they are discrete."""


@final
class Identity(Encoding):
    """The value itself, as (x - shift) / scale with scale > 0: for binary and real variables."""

    num_features = 1

    def __init__(self, shift: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.shift, self.scale = shift, scale

    @override
    def forward(self, x: Tensor) -> Tensor:
        if self.shift != 0 or self.scale != 1:
            x = (x - self.shift) / self.scale
        return x.to(self._like.dtype).unsqueeze(-1)


@final
class OneHot(Encoding):
    """One feature for each of `num_values` values, 1 for the observed one."""

    def __init__(self, num_values: int) -> None:
        super().__init__()
        self.num_features = num_values

    @override
    def forward(self, x: Tensor) -> Tensor:
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
        num_functions = num_functions or num_basis_functions(num_values)
        scaled = torch.linspace(-1, 1, num_values, dtype=torch.float64)[:, None]
        waves = cosine_basis(num_values, num_functions, torch.float64, torch.device("cpu")).T
        features = [scaled, waves]
        if one_hot_scale > 0:
            features.append(one_hot_scale * torch.eye(num_values, dtype=torch.float64))
        table = torch.cat(features, 1)
        self.num_features = table.shape[1]
        self.register_buffer("table", table.to(torch.get_default_dtype()), persistent=False)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return F.embedding(x.long(), self.table)


def encoding_for(name: str, variable: Variable) -> Encoding:
    """The encoding called `name` of a variable.

    By default binary values enter as they are, categorical ones one-hot, real ones standardised.
    Ordinal values get smooth features beside a faint one-hot code: smooth ones alone are better
    where the density is smooth and much worse where it is not. Integers, which can have many
    values and come in many variables, get a few smooth features.

    Args:
        name: one_hot, smooth, or auto: by the kind of the variable. Real values are standardised,
            whatever the name.
        variable: What it is to encode.

    Raises:
        ValueError: If the encoding is unknown or does not suit the variable.
    """
    num_values, allowed = variable.num_values, ALLOWED_ENCODINGS[variable.kind]
    if num_values is None:
        return Identity(variable.transform.shift, variable.transform.scale)
    if name not in ("auto", *allowed):
        raise ValueError(
            f"encoding of {variable.kind} variable '{variable.name}' must be auto or "
            f"{' or '.join(allowed)}, got '{name}'"
        )
    if name == "one_hot" or (name == "auto" and variable.kind is Kind.CATEGORICAL):
        return OneHot(num_values)
    if name == "smooth":
        return Smooth(num_values)
    if variable.kind is Kind.ORDINAL:
        return Smooth(num_values, one_hot_scale=FAINT)
    if variable.kind is Kind.INTEGER:
        return Smooth(num_values, min(num_values - 1, INTEGER_FUNCTIONS))
    return Identity()


def num_basis_functions(num_values: int) -> int:
    """How many functions a variable gets: a complete basis as long as that is not too many."""
    return min(num_values - 1, MAX_FUNCTIONS)


@lru_cache(maxsize=64)
def cosine_basis(
    num_values: int, num_functions: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Cosines of rising frequency, the fine ones with a smaller amplitude.

    phi_k(v) = (f / (f + k))^2 cos(pi k (v + 1/2) / V) for k = 1..num_functions, which are
    orthogonal over v = 0..V-1 (the type II discrete cosine transform without its constant); V-1
    of them span every table of V = num_values >= 2 logits. The falling amplitude makes gradient
    training learn coarse shapes first. The answer (num_functions, V) is shared by all callers: not
    to be written to.
    """
    assert 1 <= num_functions < num_values
    # A tensor made in inference mode could never be used in training, and this one is kept.
    with torch.inference_mode(False), torch.no_grad():
        frequency = torch.arange(1, num_functions + 1, dtype=torch.float64)[:, None]
        position = (torch.arange(num_values, dtype=torch.float64) + 0.5) / num_values
        amplitude = QUARTER_AMPLITUDE_FREQUENCY / (QUARTER_AMPLITUDE_FREQUENCY + frequency)
        basis = amplitude.square() * torch.cos(torch.pi * frequency * position)
        return basis.to(device=device, dtype=dtype)
