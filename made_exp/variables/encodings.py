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

from made_exp.variables.numbers import Numbers
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
# A number enters a network as at most so far outside of its knots, in spans of theirs: a far draw
# must not make the next one farther.
MARGIN = 1.0


class Encoding(nn.Module, ABC):
    """Features of the codes of a group of G variables.

    Features have the floating dtype of the module (`module.to(dtype)`), whatever the dtype of x.
    Codes must be observed ones; those that are not are the caller's to replace.

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
        """Features (B, G, num_features) of codes x (B, G)."""

    def single(self, index: int, x: Tensor) -> Tensor:
        """Features (B, num_features) of codes x (B,) of variable `index` of the group."""
        features: Tensor = self(x[:, None])
        return features[:, 0]


@final
class Identity(Encoding):
    """The value itself, of a binary variable."""

    num_features = 1

    @override
    def forward(self, x: Tensor) -> Tensor:
        return x.to(self._like.dtype).unsqueeze(-1)


@final
class OneHot(Encoding):
    """One feature for each of `num_values` codes, 1 for the observed one.

    Args:
        num_values: Number of codes, that of a missing value included.
        pool_size: How many of the values have one feature together, after the others.
        may_be_missing: Whether the last code is that of a missing value.
    """

    def __init__(self, num_values: int, pool_size: int = 0, may_be_missing: bool = False) -> None:
        super().__init__()
        self.num_features = num_values - max(0, pool_size - 1)
        self.pool_size, self._num_levels = pool_size, num_values - may_be_missing

    @override
    def forward(self, x: Tensor) -> Tensor:
        if self.pool_size:
            x = with_pool_as_one(x, self._num_levels, self.pool_size)
        values = torch.arange(self.num_features, device=x.device)
        return (x[..., None] == values).to(self._like.dtype)


@final
class Smooth(Encoding):
    """Smooth functions of an ordered value, so that neighbouring values look alike.

    The scaled value (in -1..1), cosines of rising frequency and falling amplitude, and, where
    one_hot_scale is positive, a faint one-hot code that tells neighbours apart all the same. Of a
    missing value (code V) all are 0, and another feature is 1.

    Args:
        num_values: Number of values V, at least 2.
        num_functions: Number of cosines, 1..V-1; None for as many as are of use.
        one_hot_scale: Size of the one-hot features, >= 0; 0 leaves them out.
        may_be_missing: Whether there is a missing value.
    """

    table: Tensor

    def __init__(
        self,
        num_values: int,
        num_functions: int | None = None,
        one_hot_scale: float = 0.0,
        may_be_missing: bool = False,
    ) -> None:
        super().__init__()
        num_functions = num_functions or num_basis_functions(num_values)
        scaled = torch.linspace(-1, 1, num_values, dtype=torch.float64)[:, None]
        waves = cosine_basis(num_values, num_functions, torch.float64, torch.device("cpu")).T
        features = [scaled, waves]
        if one_hot_scale > 0:
            features.append(one_hot_scale * torch.eye(num_values, dtype=torch.float64))
        table = torch.cat(features, 1)
        if may_be_missing:
            table = torch.block_diag(table, torch.ones(1, 1, dtype=torch.float64))
        self.num_features = table.shape[1]
        self.register_buffer("table", table.to(torch.get_default_dtype()), persistent=False)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return F.embedding(x.long(), self.table)


@final
class Levels(Encoding):
    """Whole numbers that are coded as numbers (see `Numbers`), encoded as levels."""

    def __init__(self, numbers: Numbers, encoding: Encoding) -> None:
        super().__init__()
        self.numbers, self.encoding = numbers, encoding
        self.num_features = encoding.num_features

    @override
    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.encoding(self.numbers.levels(x))
        return features

    @override
    def single(self, index: int, x: Tensor) -> Tensor:
        return self.encoding.single(index, self.numbers.of(index).levels(x))


@final
class Numeric(Encoding):
    """A number as z, ramps between its knots t, waves, and an indicator of each special code.

    The ramps are clip((z - t_i) / (t_{i+1} - t_i), 0, 1), of which a linear layer makes any
    piecewise linear function; z of an atom is its own, that of a missing value 0. Waves are the
    cosines of `cosine_basis`, for whole numbers without knots.
    """

    def __init__(self, numbers: Numbers, num_waves: int = 0) -> None:
        super().__init__()
        self.numbers, self.num_waves = numbers, num_waves
        num_ramps = max(0, numbers.knots.shape[-1] - 1)
        self.num_features = 1 + num_ramps + num_waves + numbers.num_special

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self._features(self.numbers, x)

    @override
    def single(self, index: int, x: Tensor) -> Tensor:
        return self._features(self.numbers.of(index), x)

    def _features(self, numbers: Numbers, codes: Tensor) -> Tensor:
        dtype = self._like.dtype
        z = numbers.z(codes).to(dtype)[..., None]
        features = [z]
        if numbers.knots.shape[-1] > 1:
            knots = numbers.knots.to(dtype)
            margin = MARGIN * (knots[..., -1:] - knots[..., :1])
            features = [torch.clamp(z, knots[..., :1] - margin, knots[..., -1:] + margin)]
            features.append(((z - knots[..., :-1]) / knots.diff()).clamp(0, 1))
        if self.num_waves:
            k = torch.arange(1, self.num_waves + 1, dtype=dtype, device=z.device)
            position = ((numbers.levels(codes) + 0.5) / numbers.num_values).to(dtype)[..., None]
            features.append(_amplitude(k) * torch.cos(torch.pi * k * position))
        if numbers.num_special:
            features.append(numbers.is_special(codes).to(dtype))
        return torch.cat(features, -1) if len(features) > 1 else z


def encoding_for(name: str, variable: Variable, numbers: Numbers | None = None) -> Encoding:
    """The encoding called `name` of a group of variables.

    By default binary values enter as they are, categorical ones one-hot, real ones standardised,
    with ramps where they have knots. Ordinal values get smooth features beside a faint one-hot
    code: smooth ones alone are better where the density is smooth and much worse where it is not.
    Integers, which can have many values and come in many variables, get ramps or a few waves.

    Args:
        name: one_hot, smooth, or auto: by the kind of the variable. Real values are standardised,
            whatever the name.
        variable: The first of the group; the others are alike (`encoding_key`).
        numbers: Of the group, where the codes are numbers.

    Raises:
        ValueError: If the encoding is unknown or does not suit the variable.
    """
    allowed = ALLOWED_ENCODINGS[variable.kind]
    if not variable.is_real and name not in ("auto", *allowed):
        raise ValueError(
            f"encoding of {variable.kind} variable '{variable.name}' must be auto or "
            f"{' or '.join(allowed)}, got '{name}'"
        )
    if numbers is None:
        return _of_levels(name, variable)
    if is_numeric(name, variable):
        return Numeric(numbers, num_waves(variable))
    return Levels(numbers, _of_levels(name, variable))


def encoding_key(name: str, variable: Variable, is_number: bool) -> tuple[object, ...]:
    """What must be equal in variables of a group, besides their conditionals."""
    if is_number and is_numeric(name, variable):
        return (variable.is_real, len(variable.knots), num_waves(variable))
    return (variable.kind, variable.num_values)


def is_numeric(name: str, variable: Variable) -> bool:
    """Whether a variable that is coded as a number also enters as one."""
    return variable.is_real or (name == "auto" and variable.kind is Kind.INTEGER)


def num_waves(variable: Variable) -> int:
    """Waves of a number: those without knots are told apart by them."""
    if variable.num_values is None or variable.knots:
        return 0
    return min(variable.num_values - 1, INTEGER_FUNCTIONS)


def _of_levels(name: str, variable: Variable) -> Encoding:
    """The encoding of codes that are levels, with the missing value as the last one."""
    num_values, may_be_missing = variable.num_values, variable.may_be_missing
    assert num_values is not None
    if name == "one_hot" or (name == "auto" and variable.kind is Kind.CATEGORICAL):
        return OneHot(num_values + may_be_missing, len(variable.pooled), may_be_missing)
    if name == "smooth":
        return Smooth(num_values, may_be_missing=may_be_missing)
    if variable.kind is Kind.ORDINAL:
        return Smooth(num_values, one_hot_scale=FAINT, may_be_missing=may_be_missing)
    if variable.kind is Kind.INTEGER:
        return Smooth(num_values, num_waves(variable), may_be_missing=may_be_missing)
    return OneHot(3, may_be_missing=True) if may_be_missing else Identity()


def with_pool_as_one(codes: Tensor, num_levels: int, pool_size: int) -> Tensor:
    """Codes (...) with the last pool_size of num_levels values as one; what follows moves down."""
    first = num_levels - pool_size
    return torch.where(codes >= num_levels, codes - pool_size + 1, codes.clamp(max=first))


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
        basis = _amplitude(frequency) * torch.cos(torch.pi * frequency * position)
        return basis.to(device=device, dtype=dtype)


def _amplitude(frequency: Tensor) -> Tensor:
    return (QUARTER_AMPLITUDE_FREQUENCY / (QUARTER_AMPLITUDE_FREQUENCY + frequency)).square()
