"""How numbers enter the network: as levels, or as z with ramps, waves and special codes."""

from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.variables.encodings import Encoding, amplitude
from made_exp.variables.numbers import ATOM, Numbers

# A number enters a network as at most so far outside of its knots, in spans of theirs: a far draw
# must not make the next one farther.
MARGIN = 1.0
# So many whole numbers have a table of their features.
MAX_LEVELS = 256


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

    @override
    def num_levels(self, index: int) -> int:
        return self.encoding.num_levels(index)

    @override
    def level(self, x: Tensor) -> Tensor:
        return self.encoding.level(self.numbers.levels(x))

    @override
    def table(self, index: int) -> Tensor:
        return self.encoding.table(index)

    @override
    def products(self, index: int, weight: Tensor) -> Tensor:
        return self.encoding.products(index, weight)


@final
class Numeric(Encoding):
    """A number as z, ramps between its knots t, waves, and an indicator of each special code.

    The ramps are clip((z - t_i) / (t_{i+1} - t_i), 0, 1), of which a linear layer makes any
    piecewise linear function; z of an atom is its own, that of a missing value 0. Waves are the
    cosines of `cosine_basis`, for whole numbers without knots. Few whole numbers are levels, and
    otherwise the special codes are.
    """

    def __init__(self, numbers: Numbers, num_waves: int = 0) -> None:
        super().__init__()
        self.numbers, self.num_waves = numbers, num_waves
        num_ramps = max(0, numbers.knots.shape[-1] - 1)
        num_dense = 1 + num_ramps + num_waves
        self.num_features = num_dense + numbers.num_special
        self._is_table = float(numbers.num_values.max()) <= MAX_LEVELS
        self.num_dense = 0 if self._is_table else num_dense

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self._features(self.numbers, x)

    @override
    def single(self, index: int, x: Tensor) -> Tensor:
        return self._features(self.numbers.of(index), x)

    @override
    def num_levels(self, index: int) -> int:
        numbers = self.numbers
        if self._is_table:
            return int(numbers.num_values[index]) + numbers.may_be_missing
        return numbers.num_special and numbers.num_special + 1

    @override
    def level(self, x: Tensor) -> Tensor:
        numbers = self.numbers
        if self._is_table:
            return numbers.levels(x).long()
        return torch.where(x <= ATOM, ATOM - x, torch.inf).clamp(max=numbers.num_special).long()

    @override
    def dense(self, x: Tensor) -> Tensor:
        return super().dense(x) if self._is_table else self._dense(self.numbers, x)

    @override
    def table(self, index: int) -> Tensor:
        numbers = self.numbers.of(index)
        if not self._is_table:
            rows = torch.eye(numbers.num_special, device=self._like.device)
            return torch.cat([rows, torch.zeros_like(rows[:1])]).to(self._like.dtype)
        values = torch.arange(int(numbers.num_values), device=self._like.device)
        codes = numbers.encode(values)
        if numbers.may_be_missing:
            codes = torch.cat([codes, codes.new_tensor([ATOM - numbers.num_atoms])])
        return self._features(numbers, codes)

    def _features(self, numbers: Numbers, codes: Tensor) -> Tensor:
        dense = self._dense(numbers, codes)
        if not numbers.num_special:
            return dense
        return torch.cat([dense, numbers.is_special(codes).to(dense.dtype)], -1)

    def _dense(self, numbers: Numbers, codes: Tensor) -> Tensor:
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
            features.append(amplitude(k) * torch.cos(torch.pi * k * position))
        return torch.cat(features, -1) if len(features) > 1 else z
