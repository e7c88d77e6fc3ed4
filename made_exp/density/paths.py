"""Probability of an event under one network: every way to it, or weighted draws of some.

A path takes the variables in the order of the network. At one that is asked it draws inside what
still can become true, and its weight takes the mass of that; at the last there is no draw. The
mean weight is the probability, and where all paths are listed their sum is (design: progressive
sampling, Yang et al. 2019, for any formula, on the incremental sampler).

Legend: n paths, D variables, T steps, J parts of a column that is told apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from made_exp.density.diagram import Diagram, Level, list_values
from made_exp.density.terms import Begun, Parts, Starts, Terms
from made_exp.model.component import Component
from made_exp.model.made import MADE
from made_exp.variables.group import Group
from made_exp.variables.groups import VariableGroups
from made_exp.variables.restricted import Restricted
from made_exp.variables.subset import Subset


@final
@dataclass(eq=False)
class Walk:
    """Paths of one network to one event.

    Args:
        made: The model.
        component: One of its networks, its order the one in which paths go.
        diagram: The event.
        starts: What is given.
        parts: A column that is told apart, or None.
        context: Class label of all paths, or None.
        keeps_x: Whether values are drawn to the last and kept.
    """

    made: MADE
    component: Component
    diagram: Diagram
    starts: Starts
    parts: Parts | None = None
    context: int | None = None
    keeps_x: bool = False
    _restricted: dict[int, Restricted] = field(default_factory=dict, init=False)
    _groups: dict[int, Group] = field(default_factory=dict, init=False)

    @cached_property
    def stops(self) -> list[int]:
        """Variables that are asked, and after them the one that is told apart, in this order."""
        found = [level.variable for level in self.diagram.levels]
        return found if not self.order or self.order[-1] in found else [*found, self.order[-1]]

    @cached_property
    def order(self) -> list[int]:
        """Variables up to the last that is asked, in the order of the network."""
        order = self.component.masks.ordering.tolist()
        asked = {*self.diagram.variables, *([self.parts.variable] if self.parts else [])}
        last = max((step for step, d in enumerate(order) if d in asked), default=-1)
        return order[: last + 1]

    def group(self, variable: int) -> Group:
        """One variable alone."""
        if variable not in self._groups:
            self._groups[variable] = self.groups.single(variable)
        return self._groups[variable]

    @property
    def groups(self) -> VariableGroups:
        """The variables of the model."""
        return self.made.groups

    def level(self, variable: int) -> Level | None:
        """Where the event asks for a variable; None where it does not."""
        return self.diagram.by_variable.get(variable)

    def drawn(self, count: int, uniforms: Tensor) -> Terms:
        """So many paths, drawn by uniforms (n, 1 + 2T) in [0, 1)."""
        x = self.starts.drawn(uniforms[:, 0])
        nodes = torch.zeros(count, dtype=torch.long, device=x.device)
        paths = _Drawn(self, x, nodes, uniforms)
        paths.logs += self.starts.log_total
        return self.take(paths)

    def resumed(self, begun: Begun, uniforms: Tensor) -> Terms:
        """What paths (n,) that have begun find, by uniforms (n, 1 + 2T) in [0, 1).

        No uniforms are read where all but the last step were taken.
        """
        paths = _Drawn(self, begun.x, begun.nodes, uniforms)
        if self.parts is not None:
            paths.shares = self.parts.holding(begun.x)  # until it is told at a later step
        if begun.params is None:
            self.take(paths, begun.codes)
        else:
            paths.visit(len(self.order) - 1, begun.params)
        logs = paths.logs - math.log(begun.num_begun)
        return Terms(logs, False, paths.shares, numbers=begun.numbers, num_kept=begun.num_begun)

    def take(self, paths: "_Paths", known: Tensor | None = None) -> Terms:
        """Send paths on their way, some with codes (n, t) of the first steps; what they find."""
        if self.order and len(paths.x):
            count = len(paths.x)
            labels = None if self.context is None else torch.full((count,), self.context)
            one_hot = self.component.one_hot(labels, count)
            walker = self.made.walker(self.component, len(self.order))
            walker.walk(count, paths.visit, one_hot, known)
        return paths.terms()

    def list_paths(self, limit: int) -> tuple[Tensor, Tensor] | None:
        """Values (n, D) of all paths before the last step, and the log-shares (n,) of starts.

        None where they are more than `limit`, or cannot be listed.
        """
        found = list_values(
            self.groups.variables, self.diagram, self.order[:-1], self.starts.x, limit
        )
        return None if found is None else (found[0], self.starts.log_shares[found[1]])

    def restricted(self, variable: int) -> Restricted:
        """The distribution of an asked variable inside the subsets of its level."""
        if variable not in self._restricted:
            level = self.level(variable)
            assert level is not None
            self._restricted[variable] = self._inside(variable, level.subsets)
        return self._restricted[variable]

    def _inside(self, variable: int, subsets: Sequence[Subset]) -> Restricted:
        return self.group(variable).conditional.restricted(subsets, self.made.device)

    def shares_of(self, params: Tensor, nodes: Tensor) -> Tensor:
        """Masses (n, J) of the parts, those of each inside what its node (n,) allows."""
        assert self.parts is not None
        variable, subsets = self.parts.variable, self.parts.subsets
        level = self.level(variable)
        if level is None:
            return self._inside(variable, subsets).masses(params)
        out = params.new_zeros(len(params), len(subsets), dtype=torch.float64)
        for node, allowed in enumerate(level.subsets):
            own = nodes == node
            inside = [subset & allowed for subset in subsets]
            out[own] = self._inside(variable, inside).masses(params[own])
        return out


class _Paths:
    """Paths on their way; what they find at each step."""

    def __init__(self, walk: Walk, x: Tensor, nodes: Tensor) -> None:
        self.walk, self.x, self.nodes = walk, x.clone(), nodes
        self.logs = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        self.shares: Tensor | None = None

    def visit(self, step: int, params: Tensor) -> Tensor:
        """The codes (n,) that the paths take at a step with these params (n, K)."""
        walk, variable = self.walk, self.walk.order[step]
        level, parts = walk.level(variable), walk.parts
        is_last = step == len(walk.order) - 1 and not walk.keeps_x
        is_told = parts is not None and parts.variable == variable
        group = walk.group(variable)
        if walk.groups.variables[variable].is_given:
            values = self.x[:, variable]
            codes = group.encode(values)
        elif is_last:
            if is_told:
                self.shares = walk.shares_of(params, self.nodes)
            else:
                assert level is not None
                self.logs += walk.restricted(variable).mass(params, self._index(level)).log()
            return params.new_zeros(len(params))
        else:
            codes = self.take(variable, params, level)
            values = group.decode(codes)
            self.x[:, variable] = values
        if is_told:
            assert parts is not None
            self.shares = parts.holding(self.x)
        if level is not None:
            nodes = level.next_nodes(self.nodes, values)
            if walk.groups.variables[variable].is_given:
                self.logs.masked_fill_(nodes < 0, -torch.inf)
            self.nodes = nodes.clamp(min=0)
        return codes

    def _index(self, level: Level) -> Tensor | None:
        return self.nodes if level.num_nodes > 1 else None

    def take(self, variable: int, params: Tensor, level: Level | None) -> Tensor:
        """Codes (n,) of a variable that is not the last."""
        raise NotImplementedError

    def terms(self) -> Terms:
        """What was found."""
        raise NotImplementedError


class _Drawn(_Paths):
    """Paths whose values are drawn."""

    def __init__(self, walk: Walk, x: Tensor, nodes: Tensor, uniforms: Tensor) -> None:
        super().__init__(walk, x, nodes)
        self.uniforms, self.used = uniforms, 1

    def take(self, variable: int, params: Tensor, level: Level | None) -> Tensor:
        own = self.uniforms[:, self.used : self.used + 2]
        self.used += 2
        if level is None:
            conditional = self.walk.group(variable).conditional
            return conditional.sample(params, own[:, : conditional.num_uniforms])
        mass, codes = self.walk.restricted(variable).draw(params, own, self._index(level))
        self.logs += mass.log()
        return codes

    def terms(self) -> Terms:
        logs = self.logs - torch.tensor(float(len(self.logs))).log()
        return Terms(logs, False, self.shares, self.x if self.walk.keeps_x else None)


class Listed(_Paths):
    """Paths that are listed with all their values but the last."""

    def __init__(self, walk: Walk, x: Tensor, log_shares: Tensor) -> None:
        super().__init__(walk, x, torch.zeros(len(x), dtype=torch.long, device=x.device))
        self.logs += log_shares

    def take(self, variable: int, params: Tensor, level: Level | None) -> Tensor:
        """The codes that are listed, whose probability the weights take."""
        codes = self.walk.group(variable).encode(self.x[:, variable])
        self.logs += self.walk.group(variable).conditional.log_prob(params, codes).double()
        return codes

    def terms(self) -> Terms:
        """What was found."""
        return Terms(self.logs, True, self.shares)
