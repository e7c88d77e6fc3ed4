"""A row as simple densities see it: a state of each variable, and a number where it has one.

A discrete variable has its values as states. A number has the state 0 and a coordinate, or one of
its atoms (values with a probability of their own) as its state and no coordinate. A missing cell
that is a value is one more state.

Legend: N rows, D variables, R variables that are numbers, T states of all variables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from made_exp.variables.numbers import ATOM, Numbers
from made_exp.variables.variable import Variable

# Whole numbers with at most so many values are states: no smooth density fits them better.
MAX_COUNTED = 24
_ROWS = 2**16  # taken apart together


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows taken apart.

    Attributes:
        states: (N, D) int64, -1 where unknown.
        numbers: (N, R) float64, transformed values; NaN where unknown or in an atom.
    """

    states: Tensor
    numbers: Tensor

    def __getitem__(self, rows: Tensor | slice) -> "Rows":
        return Rows(self.states[rows], self.numbers[rows])

    def __len__(self) -> int:
        return len(self.states)


class Coordinates:
    """How codes of `variables` are taken apart and put together.

    Attributes:
        sizes: (D,) states of each variable.
        starts: (D,) the first of a variable's states among those of all.
        order: (D,) the variables in the order of their chain: given ones first.
        numeric: (R,) which variables have a coordinate.
        numeric_order: (R,) numbers of those in the order of their chain.
        whole: (R,) bool, which of these are whole numbers.
        log_units: (T + 2,) what the log-probability of a state lacks to be a log-density: of an
            atom of a real variable that of its cell, in z. At the end what is unknown (0), and
            what is no value of its variable (-inf).
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)
        numeric = [d for d, variable in enumerate(variables) if has_coordinate(variable)]
        codes = [_codes_of_states(variable) for variable in variables]
        self.sizes = tuple(map(len, codes))
        self.starts = tuple(accumulate(self.sizes, initial=0))[:-1]
        self.numeric = torch.tensor(numeric, dtype=torch.long)
        is_given = torch.tensor([variable.is_given for variable in variables])
        self.order = torch.argsort((~is_given).int(), stable=True)
        late = (~is_given[self.numeric]).int()
        self.numeric_order = torch.argsort(late, stable=True)
        self.whole = torch.tensor([not variables[d].is_real for d in numeric], dtype=torch.bool)
        self._codes = torch.tensor([c for own in codes for c in own], dtype=torch.float64)
        self._numbers = {d: Numbers([v]).of(0) for d, v in enumerate(variables) if v.is_number}
        self._echoes = {d: _echoes(v) for d, v in enumerate(variables) if v.echoes and v.is_real}
        self.log_units = torch.zeros(self.num_states + 2, dtype=torch.float64)
        self.log_units[-1] = -torch.inf
        for start, variable in zip(self.starts, self.variables, strict=True):
            if variable.is_real:
                end = start + 1 + len(variable.atoms)
                atoms = torch.tensor(variable.atoms, dtype=torch.float64)
                log_cells = variable.log_cells(atoms) + variable.transform.log_slope(atoms)
                self.log_units[start + 1 : end] = -log_cells

    @property
    def num_states(self) -> int:
        """States T of all variables."""
        return sum(self.sizes)

    def rows(self, codes: Tensor) -> Rows:
        """Take apart codes (N, D); NaN is unknown."""
        if len(codes) <= _ROWS:
            return self._rows(codes)
        states = torch.empty(codes.shape, dtype=torch.int64)
        numbers = torch.empty((len(codes), len(self.numeric)), dtype=torch.float64)
        for start in range(0, len(codes), _ROWS):
            own, part = slice(start, start + _ROWS), self._rows(codes[start : start + _ROWS])
            states[own], numbers[own] = part.states, part.numbers
        return Rows(states, numbers)

    def _rows(self, codes: Tensor) -> Rows:
        codes = codes.detach().to("cpu", torch.float64, copy=True)
        for d, own in self._numbers.items():
            codes[:, d] = own.without_echoes(codes[:, d])
        unknown = torch.isnan(codes)
        is_legal = (codes >= 0) & (codes < torch.tensor(self.sizes)) & (codes == codes.floor())
        states = torch.where(is_legal, codes, torch.tensor(self.sizes).double()).long()
        numbers = codes[:, self.numeric].clone()
        for d, variable in enumerate(self.variables):
            if variable.is_number:
                states[:, d] = _states_of_number(variable, codes[:, d])
        for r, d in enumerate(self.numeric.tolist()):
            if not self.variables[d].is_real:
                numbers[:, r] = self.variables[d].transform.forward(numbers[:, r])
        numbers[states[:, self.numeric] != 0] = torch.nan
        return Rows(states.masked_fill(unknown, -1), numbers)

    def codes(self, rows: Rows) -> Tensor:
        """Put together what `rows` took apart; numbers are rounded to what they can be."""
        codes = self._codes[self.index(rows.states)]
        values = self.values(rows.numbers)
        for r, d in enumerate(self.numeric.tolist()):
            variable, number = self.variables[d], values[:, r]
            if not variable.is_real:
                number = number.clamp(0, (variable.num_values or 1) - 1)
                number = self._numbers[d].encode(number)
            elif d in self._echoes:
                echoes = self._echoes[d]
                place = torch.searchsorted(echoes, number.contiguous()).clamp(max=len(echoes) - 1)
                is_echo = echoes[place] == number
                number = torch.where(is_echo, _first_echo(variable) - place, number)
            codes[:, d] = torch.where(rows.states[:, d] == 0, number, codes[:, d])
        return codes

    def index(self, states: Tensor) -> Tensor:
        """Where in `log_units` and tables of its kind the states (N, D) stand."""
        inside = torch.where(states < 0, self.num_states, states + torch.tensor(self.starts))
        return torch.where(states < torch.tensor(self.sizes), inside, self.num_states + 1)

    def values(self, numbers: Tensor) -> Tensor:
        """The values (N, R) of numbers: whole ones as they are in codes, real ones as given."""
        columns = [self.values_of(r, column) for r, column in enumerate(numbers.T)]
        return torch.stack(columns, 1) if columns else numbers

    def values_of(self, r: int, numbers: Tensor) -> Tensor:
        """As `values`, of the r-th number alone, (n,)."""
        if not self.whole[r]:
            return numbers
        return self._variable(r).transform.inverse(numbers).round()

    def inside(self, r: int, values: Tensor) -> Tensor:
        """Values (n,) of the r-th number, a whole one, moved into its range."""
        return values.clamp(0, (self._variable(r).num_values or 1) - 1)

    def whole_at(self, r: int, values: Tensor) -> Tensor:
        """The r-th number (n,), a whole one, at the value next to each of `values` (n,)."""
        return self._variable(r).transform.forward(self.inside(r, values.round()))

    def cell(self, r: int, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper edge (n,) of the cell of the r-th number, transformed like it.

        The first and the last value reach to infinity; edges of a real number are itself.
        """
        if not self.whole[r]:
            return numbers, numbers
        values, variable = self.values_of(r, numbers), self._variable(r)
        lower, upper = (variable.transform.forward(values + side) for side in (-0.5, 0.5))
        is_last = values >= (variable.num_values or 1) - 1
        return (
            lower.masked_fill(values <= 0, -torch.inf),
            upper.masked_fill(is_last, torch.inf),
        )

    def cells(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """As `cell`, of all numbers (N, R)."""
        pairs = [self.cell(r, column) for r, column in enumerate(numbers.T)]
        lower, upper = (torch.stack(part, 1) for part in zip(*pairs, strict=True))
        return lower, upper

    def atom_cells(self, r: int) -> Tensor:
        """Edges (A, 2) of the cells of the r-th number's atoms, if it is a whole one."""
        if not self.whole[r]:
            return torch.zeros(0, 2, dtype=torch.float64)
        atoms = torch.tensor(self._variable(r).atoms, dtype=torch.float64)
        return torch.stack(self.cell(r, self._variable(r).transform.forward(atoms)), 1)

    def _variable(self, r: int) -> Variable:
        return self.variables[int(self.numeric[r])]


def has_coordinate(variable: Variable) -> bool:
    """Whether a variable has one: real ones, and whole numbers of a wide range."""
    return variable.is_real or (variable.is_number and (variable.num_values or 0) > MAX_COUNTED)


def _first_echo(variable: Variable) -> float:
    """The code of the first value that comes again; the others follow downwards."""
    return ATOM - len(variable.atoms) - variable.may_be_missing


def _echoes(variable: Variable) -> Tensor:
    """Z (V,) of the values of a real variable that come again."""
    return variable.transform.forward(torch.tensor(variable.echoes, dtype=torch.float64))


def _codes_of_states(variable: Variable) -> list[float]:
    """The code of each state; of state 0 of a number with a coordinate any one."""
    atoms = [ATOM - k for k in range(len(variable.atoms))]
    if has_coordinate(variable):
        return [0.0, *atoms, *([ATOM - len(atoms)] * variable.may_be_missing)]
    first = _first_echo(variable)
    by_value = dict(zip(variable.atoms, atoms, strict=True))
    by_value |= {value: first - j for j, value in enumerate(variable.echoes)}
    count = variable.num_values or 0
    missing = ATOM - len(atoms) if variable.is_number else float(count)
    values = [by_value.get(value, float(value)) for value in range(count)]
    return [*values, *([missing] * variable.may_be_missing)]


def _states_of_number(variable: Variable, codes: Tensor) -> Tensor:
    """States (N,) of the codes (N,) of a number."""
    atom = torch.where(codes <= ATOM, ATOM - codes, -1).long()
    if has_coordinate(variable):
        return atom + 1
    count = variable.num_values or 0
    is_legal = (codes >= 0) & (codes < count) & (codes == codes.floor())
    states = torch.where(is_legal, codes, count + 1).long()
    states[atom == len(variable.atoms)] = count if variable.may_be_missing else count + 1
    for k, value in enumerate(variable.atoms):
        states[atom == k] = int(value)
    return states


def encoded(variables: Sequence[Variable], x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (N, D) of data x (N, D), as `VariableGroups.encode` gives them, and log dz/dx (N, D).

    The latter is of numbers, see `Numbers.log_slopes`, 0 elsewhere. NaN stays what it is where it
    is no value; tables without numbers are their own codes.
    """
    slopes = torch.zeros((), dtype=torch.float64).expand(x.shape)
    sloped = [d for d, v in enumerate(variables) if (v.is_real or v.is_open) and not v.is_given]
    slopes = slopes.clone() if sloped else slopes
    for d in sloped:
        slopes[:, d] = Numbers([variables[d]]).of(0).log_slopes(x[:, d])
    return codes_of(variables, x), slopes


def codes_of(variables: Sequence[Variable], x: Tensor) -> Tensor:
    """The first of what `encoded` gives."""
    if not any(variable.is_number or variable.may_be_missing for variable in variables):
        return x
    codes = x.to(torch.float64, copy=True)
    for d, variable in enumerate(variables):
        own = codes[:, d]
        if variable.is_number:
            codes[:, d] = Numbers([variable]).of(0).encode(own)
        elif variable.may_be_missing:
            codes[:, d] = own.masked_fill(torch.isnan(own), float(variable.num_values or 0))
    return codes
