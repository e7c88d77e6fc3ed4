"""Small models for the tests."""

import torch

from made_exp.model.build import build_made, make_schedules
from made_exp.variables.variable import Kind, Variable, binary_variables

MIXED = (
    Variable("switch", Kind.BINARY, 2),
    Variable("colour", Kind.CATEGORICAL, 3),
    Variable("weight", Kind.REAL, None, shift=2.0, scale=3.0),
    Variable("count", Kind.INTEGER, 9),
    Variable("level", Kind.ORDINAL, 4),
    Variable("flag", Kind.BINARY, 2),
)


def tiny_made(
    variables=None,
    hidden_sizes=(12,),
    *,
    ordering="random",
    seed=0,
    residual=False,
    schedule_options=None,
    **options,
):
    """A MADE with random weights of standard deviation 0.7, biases included, in evaluation mode."""
    variables = binary_variables(8) if variables is None else variables
    schedules = make_schedules(
        ordering,
        len(variables),
        hidden_sizes,
        tied=residual,
        seed=seed,
        **(schedule_options or {}),
    )
    generator = torch.Generator().manual_seed(seed)
    model = build_made(variables, schedules, generator=generator, residual=residual, **options)
    state = {
        name: torch.randn(value.shape, generator=generator) * 0.7
        if value.is_floating_point()
        else value
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def all_binary(num_dims):
    """All 2^D binary inputs, (2^D, D) int64."""
    return torch.cartesian_prod(*[torch.arange(2)] * num_dims).reshape(-1, num_dims)
