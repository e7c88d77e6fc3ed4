"""Exact ancestral sampling at the arithmetic cost of one forward pass.

Once variable `ordering[t]` is drawn, exactly the hidden units of degree t + 1 become computable,
and they never change again. So step t computes the params of one variable and, after the draw,
the units of one degree only, each from a prefix of the degree-sorted units below it.

Alone, such thin products would be bound by memory. Steps are therefore taken in panels, as in a
blocked triangular solve: before a panel one matrix product adds what all earlier units
contribute; inside it a step reads the panel's own units. Activations are stored (units, batch),
so that every slice is contiguous.

Legend: B examples, D variables, U uniforms an example.
"""

import logging
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from made_exp.masks.orderings import inverse_ordering
from made_exp.model.request import Request
from made_exp.model.sampling_plan import SamplingPlan, SortedLevel
from made_exp.variables.conditionals.bernoulli import Bernoulli
from made_exp.variables.encodings import Identity

_log = logging.getLogger(__name__)

# Codes (B,) of the variable of a step, from the number of the step and its params (B, K).
Visit = Callable[[int, Tensor], Tensor]


class IncrementalSampler:
    """Draws batches by a plan; keeps the activations of the last batch size for the next batch.

    On a GPU the loop over the variables is captured in a CUDA graph, so that a batch costs no
    launches and no synchronisation.
    """

    def __init__(self, plan: SamplingPlan) -> None:
        self.plan = plan
        self._space: _Workspace | None = None

    def draw(self, request: Request) -> Tensor:
        """Draw the codes (B, D) of the examples that are asked for."""
        with torch.inference_mode():
            clamps = request.given is not None
            space, key = self._space, (len(request.uniforms), request.temperature, clamps)
            if space is None or space.key != key:
                space = self._space = _Workspace(self.plan, *key)
            space.load(request)
            space.run()
            drawn = space.result()
        return drawn.clone()

    def walk(
        self,
        count: int,
        visit: Visit,
        context: Tensor | None = None,
        known: Tensor | None = None,
    ) -> None:
        """Take the steps of the plan for `count` examples whose codes `visit` chooses.

        Args:
            count: B.
            visit: Is called at every step that is not known.
            context: (B, num_classes) one-hot, or None.
            known: (B, t) codes of the first t steps, which are not taken; of a network that has
                one set of masks alone.
        """
        first = 0 if known is None else known.shape[1]
        with torch.inference_mode():
            space = _Workspace(self.plan, count, 1.0, False, first)
            space.start(context)
            if known is not None and first:
                space.enter(known)
            space.steps(partial(space.visited, visit))


class _Workspace:
    """Activations of one batch size and the views of them that each step touches."""

    def __init__(
        self, plan: SamplingPlan, batch: int, temperature: float, clamped: bool, first: int = 0
    ) -> None:
        self.plan, self.temperature, self.key = plan, temperature, (batch, temperature, clamped)
        self.first = first  # step that is taken, those before it being known
        like, num_steps, num_dims = plan.levels[-1].bias, len(plan.ordering), plan.groups.num_dims
        self.x = like.new_zeros(num_dims, batch, dtype=plan.groups.code_dtype)
        self.conditionals = {d: plan.groups.conditional(d) for d in plan.ordering}
        self.uniforms = like.new_zeros(sum(plan.groups.uniform_widths), batch)
        self.given = torch.zeros_like(self.x) if clamped else None
        self.is_drawn = torch.ones_like(self.x, dtype=torch.bool)
        self.draws = [True] * num_steps  # whether a step draws anything
        skipped = {level.skip for level in plan.levels}
        # Nodes that a skip reads are kept beside the values; all others become values in place.
        self.nodes = [like.new_zeros(plan.ends[0][-1], batch)]
        self.values = [self.nodes[0]]
        for number, level in enumerate(plan.levels, start=1):
            self.nodes.append(like.new_zeros(len(level.bias), batch))
            keep = number in skipped
            self.values.append(like.new_zeros(len(level.bias), batch) if keep else self.nodes[-1])
        self.binary = isinstance(plan.groups.only, Bernoulli) and isinstance(
            plan.groups.encodings[0], Identity
        )
        steps = range(first, num_steps)
        self.output_views = {step: self._views(len(plan.levels), step, step) for step in steps}
        self.hidden_views = {
            step: [
                self._views(number, step, step + 1)
                for number in range(1, len(plan.levels))
                if plan.ends[number][step + 1] > plan.ends[number][step]
            ]
            for step in steps
        }
        self.graph: torch.cuda.CUDAGraph | None = None
        self.is_plain = not self.x.is_cuda

    def load(self, request: Request) -> None:
        """Start a batch: biases into the nodes, uniforms and given values into place."""
        self.uniforms.copy_(request.uniforms.T[: len(self.uniforms)])
        if self.binary:
            self.uniforms.logit_().mul_(self.temperature)
        if self.given is not None and request.given is not None:
            self.given.copy_(request.given.T)
            self.is_drawn.copy_(torch.isnan(self.given))
            if not self.x.is_cuda:  # a graph takes all steps
                self.draws = self.is_drawn.any(1)[self.plan.ordering].tolist()
        self.start(request.context)

    def start(self, context: Tensor | None) -> None:
        """Biases, and what labels (B, num_classes) add to them, into the nodes."""
        for number, level in enumerate(self.plan.levels, start=1):
            self.nodes[number].copy_(level.bias.expand_as(self.nodes[number]))
            if context is not None and len(self.plan.network.context):
                extra = self.plan.network.context[number - 1](context)
                self.nodes[number].add_(extra.T[level.order])

    def enter(self, known: Tensor) -> None:
        """Take codes (B, t) of the first t steps, and give all units that see no more values."""
        for step, codes in enumerate(known.T):
            self._write(step, codes)
        for number, level in enumerate(self.plan.levels[:-1], start=1):
            _, high = self._rows(number, 0, self.first)
            for product in level.products:
                end = self.plan.ends[product.below][self.first]
                weight, values = product.weight[:high, :end], self.values[product.below][:end]
                self.nodes[number][:high].addmm_(weight, values)
            self._finish(number, level, 0, high)()

    def run(self) -> None:
        """Take all steps; on a GPU by replaying the graph captured at the first batch."""
        draw = self._draw_binary if self.binary else self._draw
        if not self.is_plain and self.graph is None:
            self._capture(draw)
        if self.graph is None:
            self.steps(draw)
        else:
            self.graph.replay()

    def _capture(self, draw: Callable[[int, Tensor], object]) -> None:
        """Record all steps; where a conditional asks the host for something, say that none is."""
        start = [node.clone() for node in self.nodes]
        self.steps(draw)  # warms up libraries, which must not happen under capture
        torch.cuda.synchronize()
        for node, value in zip(self.nodes, start, strict=True):
            node.copy_(value)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.steps(draw)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            _log.warning("no CUDA graph of the sampler (%s); it goes on without", reason)
            torch.cuda.synchronize()
            self.is_plain = True
        else:
            self.graph = graph

    def result(self) -> Tensor:
        """The drawn examples (B, D)."""
        if not self.binary:
            return self.x.T.contiguous()
        positions = inverse_ordering(torch.tensor(self.plan.ordering, device=self.x.device))
        return self.values[0][positions].T.contiguous()

    def steps(self, draw: Callable[[int, Tensor], object]) -> None:
        """Take all steps; `draw` is given their numbers and params (K, B)."""
        num_steps, panel = len(self.plan.ordering), self.plan.panel
        for start in range(self.first, num_steps, panel):
            stop = min(start + panel, num_steps)
            self._open_panel(start, stop)
            for step in range(start, stop):
                if self.draws[step]:
                    rows, products, _ = self.output_views[step]
                    for weight, values in products:
                        rows.addmm_(weight, values)
                    draw(step, rows)
                elif self.given is not None:
                    self._write(step, self.given[self.plan.ordering[step]])
                for rows, products, finish in self.hidden_views[step]:
                    for weight, values in products:
                        rows.addmm_(weight, values)
                    finish()

    def _open_panel(self, start: int, stop: int) -> None:
        """Add to the rows of steps start..stop-1 what units of degree <= start contribute."""
        for number, level in enumerate(self.plan.levels, start=1):
            is_output = number == len(self.plan.levels)
            if is_output and not any(self.draws[start:stop]):
                continue
            lowest = start if is_output else start + 1
            low, high = self._rows(number, lowest, lowest + stop - start - 1)
            for product in level.products:
                end = self.plan.ends[product.below][start]
                if end and high > low:
                    weight, values = product.weight[low:high, :end], self.values[product.below]
                    self.nodes[number][low:high].addmm_(weight, values[:end])

    def _draw(self, step: int, params: Tensor) -> None:
        """Draw variable `ordering[step]` from its params (K, B) and write its features."""
        variable, groups = self.plan.ordering[step], self.plan.groups
        start, width = groups.uniform_starts[variable], groups.uniform_widths[variable]
        uniforms = self.uniforms[start : start + width].T
        drawn = self.conditionals[variable].sample(params.T, uniforms, self.temperature)
        if self.given is not None:
            drawn = torch.where(self.is_drawn[variable], drawn, self.given[variable])
        self._write(step, drawn)

    def visited(self, visit: Visit, step: int, params: Tensor) -> None:
        """Take the codes of variable `ordering[step]` from `visit` and write its features."""
        self._write(step, visit(step, params.T))

    def _write(self, step: int, codes: Tensor) -> None:
        variable, groups = self.plan.ordering[step], self.plan.groups
        self.x[variable].copy_(codes)
        low, high = self._rows(0, step + 1, step + 1)
        self.values[0][low:high].copy_(groups.single_features(variable, self.x[variable]).T)

    def _draw_binary(self, step: int, params: Tensor) -> None:
        """The same for models of Bernoulli conditionals: x = [logit(u) T < logit], in one call."""
        variable, row = self.plan.ordering[step], self.values[0][step : step + 1]
        torch.lt(self.uniforms[variable : variable + 1], params, out=row)
        if self.given is not None:
            given = self.given[variable : variable + 1]
            torch.where(self.is_drawn[variable : variable + 1], row, given, out=row)

    def _views(
        self, number: int, step: int, degree: int
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Callable[[], object]]:
        """The rows of one degree in a level, and what the panel's own units add to them."""
        level = self.plan.levels[number - 1]
        panel_start = step - (step - self.first) % self.plan.panel
        low, high = self._rows(number, degree, degree)
        rows = self.nodes[number][low:high]
        products = []
        for product in level.products:
            ends = self.plan.ends[product.below]
            first, last = ends[panel_start], ends[degree]
            if last > first and high > low:
                values = self.values[product.below][first:last]
                products.append((product.weight[low:high, first:last], values))
        return rows, products, self._finish(number, level, low, high)

    def _finish(self, number: int, level: SortedLevel, low: int, high: int) -> Callable[[], object]:
        """From the products of rows low..high-1 to their values: skip and activation."""
        rows, values = self.nodes[number][low:high], self.values[number][low:high]
        activation = self.plan.network.activation
        if level.skip is None and values.data_ptr() == rows.data_ptr():
            if self.plan.network.activation_name == "relu":
                return rows.relu_
            return lambda: values.copy_(activation(rows))
        skipped = None if level.skip is None else self.nodes[level.skip][low:high]

        def finish() -> None:
            if skipped is not None:
                rows.add_(skipped)
            values.copy_(activation(rows))

        return finish

    def _rows(self, number: int, first_degree: int, last_degree: int) -> tuple[int, int]:
        """Range of the sorted rows of a level whose degree is first_degree..last_degree."""
        ends = self.plan.ends[number]
        return (ends[first_degree - 1] if first_degree else 0), ends[last_degree]
