"""Small models for the tests."""

from dataclasses import asdict
from pathlib import Path

import torch

from made_exp.datasets import registry
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.text import TextStyle
from made_exp.model import build, member_schedules
from made_exp.settings.experiment import OPTIONS, option_fields
from made_exp.settings.model import MadeSettings, ResMadeSettings
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable, binary_variables

MIXED = (
    Variable("switch", Kind.BINARY, 2),
    Variable("colour", Kind.CATEGORICAL, 3),
    Variable("weight", Kind.REAL, transform=Transform(shift=2.0, scale=3.0)),
    Variable("count", Kind.INTEGER, 9),
    Variable("level", Kind.ORDINAL, 4),
    Variable("flag", Kind.BINARY, 2),
)


def load_dataset(name, *, seed, data_dir, **options):
    """A dataset with these settings, and the defaults of the others."""
    schema = OPTIONS["dataset"].get(name)
    settings = asdict(schema(name=name, **options)) if schema else {"name": name}
    return registry.load_dataset(seed=seed, data_dir=data_dir, **settings)


def make_schedules(
    ordering,
    num_dims,
    hidden_sizes,
    *,
    is_residual=False,
    image_shape=None,
    seed=0,
    missing=(),
    first=(),
    **options,
):
    """Mask schedules of the option `ordering`, with those of these settings that it has."""
    known = option_fields("ordering", ordering)
    chosen = {name: value for name, value in options.items() if name in known}
    degrees = {name: value for name, value in options.items() if name == "hidden_degrees"}
    return member_schedules.make_schedules(
        OPTIONS["ordering"][ordering](name=ordering, **chosen),
        network_settings(hidden_sizes, is_residual, **degrees),
        num_dims,
        image_shape=image_shape,
        seed=seed,
        missing=missing,
        first=first,
    )


def build_made(
    variables,
    schedules,
    *,
    num_classes=0,
    num_orderings=None,
    fits_weights=False,
    backend="auto",
    generator=None,
    residual=False,
    **options,
):
    """A MADE with these settings, and neither dropout nor direct connections without them."""
    return build.build_made(
        variables,
        schedules,
        network_settings(schedules[0].hidden_sizes, residual, **options),
        num_classes=num_classes,
        num_orderings=num_orderings,
        fits_weights=fits_weights,
        kernel=backend,
        generator=generator,
    )


def network_settings(hidden_sizes, residual, **options):
    """Settings of a network, with neither dropout nor direct connections without them."""
    options = {"dropout": 0.0, "direct_connections": False, **options}
    if not residual:
        return MadeSettings(hidden_sizes=list(hidden_sizes), **options)
    return ResMadeSettings(
        hidden_size=hidden_sizes[0], num_blocks=len(hidden_sizes) // 2, **options
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
        is_residual=residual,
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


def encode_rows(file, schema):
    """Rows (N, D) float64 of a file of a known table, NaN where missing."""
    return torch.from_numpy(schema.encode(read_tables([Path(file)], TextStyle(schema.delimiter))))


def write_rows(path, schema, x):
    """Write x (N, D) as a CSV file with the columns of the table."""
    schema.decode(x.double().numpy()).write_csv(path, separator=schema.delimiter)
