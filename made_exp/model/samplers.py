"""Which sampler draws from a component, and drawing with it batch by batch."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Self

import torch
from torch import Tensor, nn

from made_exp.errors import whole_number
from made_exp.model.component import Component
from made_exp.model.request import Request
from made_exp.model.sampling import IncrementalSampler
from made_exp.model.sampling_plan import build_plan
from made_exp.model.simple import SimpleComponent
from made_exp.variables.outputs import Conditionals

ProgressCallback = Callable[[int], None]

_MOST_WALKERS, _SMALL = 64, 4096
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integers of so many bytes, to read a float's bits."""


class Samplers(threading.local):
    """Keeps the last sampler until the weights change or another component is asked for.

    Every thread has its own, since a sampler writes to its working memory; so has every copy.
    """

    def __init__(self) -> None:
        self._kept: tuple[object, IncrementalSampler] | None = None

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def draw(
        self,
        choice: Iterable[tuple[Component | SimpleComponent, Tensor]],
        request: Request,
        out: Tensor,
        batch_size: int,
        progress: ProgressCallback | None = None,
    ) -> None:
        """Draw what is asked for, into out (B, D); see `MADE.sample`.

        All components together draw all rows, each those (R,) that come with it in the choice.
        """
        for component, rows in choice:
            draw = self.drawer(component)
            for part in rows.split(batch_size):
                own = request.rows(part)
                if isinstance(component, Component) and component.label is not None:
                    own = replace(own, context=component.one_hot(None, len(part)))
                out[part] = draw(own).to(out.dtype)
                if progress is not None:
                    progress(len(part))

    def drawer(self, component: Component | SimpleComponent) -> Callable[[Request], Tensor]:
        """What draws from `component`."""
        if isinstance(component, SimpleComponent):
            return component.draw
        network, masks, groups = component.network, component.masks, component.groups
        if masks.is_per_example:
            return partial(sample_by_full_passes, component)
        key = (_version(network, groups), masks.index, tuple(masks.ordering.tolist()))
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, IncrementalSampler(build_plan(component)))
        return self._kept[1].draw


class Walkers(threading.local):
    """Keeps samplers that take the first steps of an order, until the weights change."""

    def __init__(self) -> None:
        self._kept: dict[object, IncrementalSampler] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def walker(self, component: Component, num_steps: int) -> IncrementalSampler:
        """What takes the first steps of a component."""
        key = (num_steps, weights_key(component))
        if key not in self._kept:
            while len(self._kept) >= _MOST_WALKERS:
                self._kept.pop(next(iter(self._kept)))
            plan = build_plan(component, num_steps=num_steps)
            self._kept[key] = IncrementalSampler(plan)
        return self._kept[key]


def weights_key(component: Component) -> object:
    """What is another of a component of the same model whenever its weights or its order are."""
    # No optimizer changes large weights alone.
    version = _version(component.network, most=_SMALL)
    order = tuple(component.masks.ordering.tolist())
    return component.member, component.masks.index, order, version


@torch.no_grad()
def sample_by_full_passes(component: Component, request: Request) -> Tensor:
    """The plain twin of `IncrementalSampler`: a forward pass for each step that draws anything.

    Orderings may differ from example to example.
    """
    groups, masks = component.groups, component.masks
    uniforms, given = request.uniforms, request.given
    x = groups.empty_codes(len(uniforms)).zero_()
    missing = torch.ones_like(x, dtype=torch.bool)
    if given is not None:
        missing = torch.isnan(given)
        x = torch.where(missing, x, given.to(x.dtype))
    for variables in masks.ordering.to(x.device).expand_as(missing).T:
        is_drawn = missing.gather(1, variables[:, None])[:, 0]
        if not is_drawn.any():
            continue
        params = component.params(groups.features(x), request.context)
        conditionals = Conditionals(groups, params)
        for variable in torch.unique(variables[is_drawn]).tolist():
            rows = torch.nonzero(is_drawn & (variables == variable)).flatten()
            first, count = groups.uniform_starts[variable], groups.uniform_widths[variable]
            own = uniforms[rows, first : first + count].to(params.dtype)
            drawn = conditionals.sample(variable, rows, own, request.temperature)
            x[rows, variable] = drawn.to(x.dtype)
    return x


def draw_uniforms(
    size: tuple[int, int], dtype: torch.dtype, generator: torch.Generator | None
) -> Tensor:
    """Numbers (size) in [0, 1), on the CPU: row by row, hence alike in any batches."""
    if generator is not None and generator.device.type != "cpu":
        seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
        generator = torch.Generator().manual_seed(int(seed))
    return torch.rand(size, generator=generator, dtype=dtype)


def check_request(num_samples: int, temperature: float, batch_size: int) -> None:
    """Raise ValueError where what is asked of a sampler is out of range."""
    whole_number("num_samples", num_samples, 0)
    if not (isinstance(temperature, Real) and temperature > 0):
        raise ValueError(f"temperature must be > 0, got {temperature!r}")
    whole_number("batch_size", batch_size, 1)


def _version(*modules: nn.Module, most: int | None = None) -> tuple[object, ...]:
    """What changes whenever a weight of the modules does, of those of at most so many numbers."""
    tensors = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    weights = [t.detach() for t in tensors if t.is_floating_point()]
    weights = [w for w in weights if most is None or w.numel() <= most]
    # Fused optimizers and replayed CUDA graphs change weights without counting a version.
    bits = torch.stack([w.view(_INTEGERS[w.element_size()]).sum() for w in weights])
    return (*((t.data_ptr(), t._version) for t in tensors), *bits.tolist())
