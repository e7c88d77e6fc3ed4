"""Numbers as codes: where the values of numeric variables lie, for a group of them at once.

Data hold values, the model works on codes. The code of a real value is z, what its transform makes
of it; that of a whole number is the number. A value with a probability of its own, atom k, has the
code ATOM - k, and a missing one, where it may be missing, is one more atom after the last. What
follows them are the values that come again (`Echoes`).

Legend: B examples, G variables of a group, A atoms of each, T knots, S = A + 1 where a value may
be missing and else A: the special codes.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self, final

import torch
from torch import Tensor

from made_exp.variables.echoes import Echoes, Tables, nearest
from made_exp.variables.open_range import log_shares
from made_exp.variables.variable import Kind, Variable, log_growth

# Below all codes of values, and exact in float32 with what follows.
ATOM = -(2.0**21)
# Farther out all values look alike; their densities stay finite in float32.
MAX_Z = 1e6
# Float64 holds the hyperbolic sine of no more.
_MAX_BENT, _FARTHEST = 710.0, math.sinh(710.0)
# In units of z. Without it a component that settles on a repeated value would have an unbounded
# density; with it no value gains more than log(1000) = 6.9 nats over a broad component.
MIN_REAL_SCALE = 1e-3
# In cells of the last digit: the peak of a normal density is then 1 / resolution.
WRITTEN_SCALE = 0.4
# In cells. A narrower component already puts all but 5e-5 of its mass into one cell, so nothing is
# lost; and in z, where cells are tiny, so that a value far from every component costs bounded nats.
MIN_CELL_SCALE, MIN_WHOLE_SCALE = 0.05, 1e-4
# Float32 tells the cells of so many whole numbers apart, 0..MAX_SINGLE-1.
MAX_SINGLE = 2**16


@final
class Numbers(Tables):
    """The tables of a group of real, or of whole numbers; float64 whatever the module is cast to.

    Args:
        variables: The G variables; all real or none, with as many atoms and knots each.

    Attributes:
        is_real: Whether codes are z, else they are the values 0..num_values-1.
        num_atoms: A.
        may_be_missing: Whether a missing value is one more atom.
        is_wide: Whether float32 cannot tell neighbouring whole numbers apart.
        num_values: (G,) of whole numbers, infinite for real ones.
        is_open: Whether some may lie outside of their range.
        knots: (G, T) in z.
        cells: (G,) width in z of the cell of a whole number where the values are.
        min_scale: (G,) least scale of a component, in units of z.
        special_z: (G, S) z of the special codes, 0 for a missing value.
        special_logs: (G, S) log-density of a unit mass in an atom, in units of z; 0 where whole or
            missing.
        special_levels: (G, S) values of the atoms, num_values for a missing one.
    """

    num_values: Tensor
    knots: Tensor
    cells: Tensor
    min_scale: Tensor
    special_z: Tensor
    special_logs: Tensor
    special_levels: Tensor
    _centre: Tensor
    _bend: Tensor
    _shift: Tensor
    _scale: Tensor
    _atoms: Tensor
    _tolerance: Tensor
    _resolution: Tensor
    _is_open: Tensor
    _grows_from: Tensor

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__()
        first = variables[0]
        self.is_real, self.num_atoms = first.is_real, len(first.atoms)
        self.may_be_missing = first.may_be_missing
        self.echoes = Echoes(variables) if first.echoes else None
        self.is_wide = any(map(is_wide, variables))
        self.is_open = any(one.is_open for one in variables)
        self.grows = any(one.grows_from is not None for one in variables)
        self.bends = any(one.numeric_transform.bend is not None for one in variables)
        rows = [_row(variable) for variable in variables]
        for name in rows[0]:
            self.register_buffer(name, torch.stack([row[name] for row in rows]), persistent=False)

    @classmethod
    def standard(cls, num_values: int | None = None) -> Self:
        """Of one plain variable: real and standardised, or of 0..num_values-1; tables as `of`."""
        kind = Kind.REAL if num_values is None else Kind.INTEGER
        return cls([Variable("x", kind, num_values)]).of(0)

    def of(self, index: int) -> Self:
        """One variable of the group: its tables are without G, and codes may be (...)."""
        one = object.__new__(type(self))
        one.__dict__ = self.__dict__ | {
            "_buffers": {name: t if t is None else t[index] for name, t in self._buffers.items()},
            "_modules": {"echoes": None if self.echoes is None else self.echoes.of(index)},
        }
        return one

    @property
    def num_special(self) -> int:
        """S, how many codes are atoms or missing."""
        return self.num_atoms + self.may_be_missing

    def forward(self, x: Tensor) -> Tensor:
        """Z (..., G) float64 of values x (..., G), clamped to +-MAX_Z; see `Transform`."""
        x = x.double()
        if self.bends:
            bent = ((x - self._centre) / self._bend).asinh().clamp(-_MAX_BENT, _MAX_BENT)
            x = x.where(self._bend.isinf(), bent)
        return ((x - self._shift) / self._scale).clamp(-MAX_Z, MAX_Z)

    def inverse(self, z: Tensor) -> Tensor:
        """Values (..., G) float64 of z (..., G)."""
        x = z.double() * self._scale + self._shift
        if not self.bends:
            return x
        # The largest number is drawn where it is exceeded.
        bent = x.clamp(-_MAX_BENT, _MAX_BENT).sinh() * self._bend + self._centre
        return x.where(self._bend.isinf(), bent.nan_to_num())

    def log_slopes(self, x: Tensor) -> Tensor:
        """Log dz/dx (..., G) of values, of whole ones their `log_shares`; 0 of missing; float64."""
        if not self.is_real:
            return log_shares(x.double(), self.num_values).where(self._is_open > 0, 0.0)
        x = x.double()
        slopes = (-self._scale.log()).expand_as(x)
        if self.bends:
            distance = ((x - self._centre) / self._bend).clamp(-_FARTHEST, _FARTHEST)
            bent = slopes - self._bend.log() - distance.hypot(x.new_ones(())).log()
            slopes = slopes.where(self._bend.isinf(), bent)
        return slopes.masked_fill(x.isnan(), 0.0)

    def possible(self, x: Tensor) -> Tensor:
        """Whether values x (..., G) are any of the variables'; NaN counts as one."""
        x = x.double()
        if self.is_real:
            return ~x.isinf()
        is_inside = (x >= 0) & (x < self.num_values)
        if self.is_open:
            is_inside |= (self._is_open > 0) & x.isfinite()
        return x.isnan() | (is_inside & (x == x.floor()))

    def encode(self, x: Tensor) -> Tensor:
        """Codes float64 of possible values x, (B, G), or (...) of one; NaN where not observed."""
        if self._scale.ndim == 0 and x.ndim > 1:
            return self.encode(x.flatten()).view(x.shape)
        x = x.double()
        if self.is_open:
            x = x.clamp(min=0).minimum(self.num_values - 1)
        codes = self.forward(x) if self.is_real else x
        tolerance = self._tolerance
        if self.grows:
            tolerance = tolerance * log_growth(x, self._grows_from).exp()
        if self.num_atoms:
            index = nearest(self._atoms, x.movedim(-1, 0))
            # What text and float32 make of a value may differ in its last digits.
            distance = (x - self._atoms.gather(-1, index).movedim(0, -1)).abs()
            is_atom = distance <= tolerance
            codes = torch.where(is_atom, ATOM - index.movedim(0, -1), codes)
        if self.echoes is not None:
            index = self.echoes.find(x, tolerance)
            own = ATOM - self.num_special - index
            codes = torch.where((index >= 0) & (codes > ATOM), own, codes)
        if self.may_be_missing:
            codes = codes.masked_fill(x.isnan(), ATOM - self.num_atoms)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Values (B, G) float64 of codes (B, G); NaN where missing or not observed."""
        x = self.inverse(codes) if self.is_real else codes.double()
        return self._instead(x, codes, "levels").masked_fill(self.is_missing(codes), torch.nan)

    def z(self, codes: Tensor) -> Tensor:
        """Z (..., G) of codes (..., G), in their dtype."""
        z = codes if self.is_real else self.forward(codes).to(codes.dtype)
        return self._instead(z, codes, "z")

    def levels(self, codes: Tensor) -> Tensor:
        """The whole numbers (..., G) of codes; num_values of a missing one."""
        return self._instead(codes, codes, "levels")

    def without_echoes(self, codes: Tensor) -> Tensor:
        """Codes (..., G) in which values that come again are coded as any others."""
        return self._of_echoes(codes, codes, "z" if self.is_real else "levels")

    def is_special(self, codes: Tensor) -> Tensor:
        """Which special one each of the codes (..., G) is: (..., G, S) bool."""
        special = torch.arange(self.num_special, device=codes.device, dtype=codes.dtype)
        return codes[..., None] == ATOM - special

    def is_missing(self, codes: Tensor) -> Tensor:
        """Which codes (...) stand for a missing value."""
        if not self.may_be_missing:
            return torch.zeros_like(codes, dtype=torch.bool)
        return codes == ATOM - self.num_atoms

    def echo_logs(self, codes: Tensor) -> Tensor:
        """Log-density in z (..., G) of the echoes' component, log-mass where whole; float64.

        -inf for a code that is none; in training a value is not told of itself.
        """
        assert self.echoes is not None
        index = self._echo(codes)
        logs = self.echoes.logs(index)
        if not self.is_real:
            return logs
        values = self.echoes.at(self.echoes.levels, index)
        logs = logs - self.log_slopes(values) - self._resolution.log()
        return logs - log_growth(values, self._grows_from) if self.grows else logs

    def _echo(self, codes: Tensor) -> Tensor:
        """Which echo codes (...) are, int64; negative where they are none."""
        return torch.where(codes <= ATOM, ATOM - self.num_special - codes, -1).long()

    def _instead(self, values: Tensor, codes: Tensor, what: Literal["z", "levels"]) -> Tensor:
        """The values (..., G), and for special codes and echoes their z or levels."""
        if self.num_special:
            is_special = codes <= ATOM
            index = torch.where(is_special, ATOM - codes, 0).long().clamp(max=self.num_special - 1)
            special = self.special_z if what == "z" else self.special_levels
            own = special.expand(*codes.shape, self.num_special).gather(-1, index[..., None])
            values = torch.where(is_special, own[..., 0].to(values.dtype), values)
        return self._of_echoes(values, codes, what)

    def _of_echoes(self, values: Tensor, codes: Tensor, what: Literal["z", "levels"]) -> Tensor:
        """The values (..., G), and for echoes their z or levels."""
        if self.echoes is None:
            return values
        index = self._echo(codes)
        own = self.echoes.at(self.echoes.levels, index)
        own = self.forward(own) if what == "z" else own
        return torch.where(index >= 0, own.to(values.dtype), values)


def _row(variable: Variable) -> dict[str, Tensor]:
    """The tables of one variable by name, see `Numbers`; float64."""

    def table(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    is_real, transform = variable.is_real, variable.numeric_transform
    atoms, num_values = table(*variable.atoms), float(variable.num_values or math.inf)
    # Where the values are; at the centre of a logarithm there may be none.
    cell = transform.log_slope(transform.inverse(table(0.0)))[0].exp()
    resolution = variable.resolution if is_real else 1.0
    logs = -transform.log_slope(atoms) - variable.log_cells(atoms)
    atom_z = transform.forward(atoms).clamp(-MAX_Z, MAX_Z)

    def special(of_atoms: Tensor, of_missing: float) -> Tensor:
        return torch.cat([of_atoms, table(*[of_missing] * variable.may_be_missing)])

    return {
        "num_values": table(num_values)[0],
        "knots": table(*variable.knots),
        "cells": cell,
        "min_scale": _min_scale(variable, cell),
        "special_z": special(atom_z, 0.0),
        "special_logs": special(logs if is_real else torch.zeros_like(atoms), 0.0),
        "special_levels": special(atoms, num_values),
        "_centre": table(transform.centre)[0],
        "_bend": table(math.inf if transform.bend is None else transform.bend)[0],
        "_shift": table(transform.shift)[0],
        "_scale": table(transform.scale)[0],
        "_atoms": atoms,
        "_tolerance": table((1e-3 if variable.digit is None else 0.49) * resolution)[0],
        "_resolution": table(resolution)[0],
        "_is_open": table(variable.is_open)[0],
        "_grows_from": table(variable.grows_from or math.inf)[0],
    }


def _min_scale(variable: Variable, cell: Tensor) -> Tensor:
    """Least scale () of a component in z, where a unit of x is `cell` wide.

    A real value is known to its last digit: no smooth density is higher than that of its cell.
    """
    if not variable.is_real:
        return (MIN_CELL_SCALE * cell).clamp(min=MIN_WHOLE_SCALE)
    is_fitted = bool(variable.atoms or variable.echoes or variable.knots)
    middle = variable.numeric_transform.inverse(torch.zeros_like(cell))
    own = variable.log_cells(middle).exp() * cell
    least = WRITTEN_SCALE * own if is_fitted else 0 * cell
    return least.clamp(min=MIN_REAL_SCALE)


def is_wide(variable: Variable) -> bool:
    """Whether a variable is of whole numbers that float32 cannot tell apart everywhere."""
    return variable.num_values is not None and variable.num_values > MAX_SINGLE
