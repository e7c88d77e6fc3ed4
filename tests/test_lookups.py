"""Features that are read from tables are those that are written out."""

from dataclasses import replace

import pytest
import torch
from builders import tiny_made
from test_entry import ODD, groups_of, odd_rows

from made_exp.model.input_tables import Inputs, InputTables
from made_exp.model.terms import Terms
from made_exp.variables.lookups import Lookups
from made_exp.variables.transform import Transform
from made_exp.variables.variable import ALLOWED_ENCODINGS, Kind, Variable, binary_variables

ECHOED = (
    *ODD,
    Variable("sex", Kind.BINARY, 2),
    Variable("level", Kind.ORDINAL, 7),
    Variable("many", Kind.INTEGER, 9000, atoms=(3.0, 8.0)),
    Variable("hours", Kind.INTEGER, 40, knots=(-1, 0, 2), transform=Transform(scale=9.0)),
    Variable("hours 2", Kind.INTEGER, 30, knots=(-1, 0, 1), transform=Transform(scale=5.0)),
    Variable("fee", Kind.INTEGER, 900, atoms=(5.0,), echoes=(0.0, 7.0), echo_counts=(3, 4)),
    Variable("code", Kind.CATEGORICAL, 12),
)


def rows_of(count, generator, is_complete=False):
    x = odd_rows(count, generator)
    x[::9, 2] = x[::9, 0] = 1
    share = torch.rand(count, len(ECHOED) - len(ODD), generator=generator, dtype=torch.float64)
    sizes = torch.tensor([variable.num_values for variable in ECHOED[len(ODD) :]])
    others = (share * sizes).floor()
    others[::4, -2], others[1::4, -2], others[::5, 2] = 7, 5, 8
    x = torch.cat([x, others], 1)
    return x.nan_to_num(1.0) if is_complete else x


@pytest.mark.parametrize("encoding", ["auto", "one_hot", "smooth"])
def test_a_linear_map_of_features_is_read_from_tables(encoding, generator, device, dtype):
    own = [
        d
        for d, one in enumerate(ECHOED)
        if encoding == "auto"
        or (encoding in ALLOWED_ENCODINGS[one.kind] and (one.num_values or 0) < 1000)
    ]
    variables = [ECHOED[d] for d in own]
    groups = groups_of(variables, encoding=encoding).to(device, dtype)
    codes = groups.cast(groups.encode(rows_of(90, generator)[:, own].to(device)))
    features, lookups = groups.features(codes), Lookups.of(groups)
    weight = torch.randn(5, features.shape[1], generator=generator, dtype=torch.float64)
    weight = weight.to(features)
    levels, dense = lookups.read(codes)
    assert levels.shape == (90, len(lookups.sizes))
    assert dense.shape == (90, lookups.num_dense)
    found = torch.zeros(90, 5).to(features)
    for level, (d, size) in zip(levels.t(), lookups.sizes.items(), strict=True):
        table = lookups.table(d, weight)
        assert table.shape == (size, 5)
        found += table[level]
    for d, columns in lookups.dense.items():
        found += dense[:, columns] @ lookups.dense_weight(d, weight).t()
    torch.testing.assert_close(found, features @ weight.t())


def test_variables_of_few_values_need_no_dense_features():
    lookups = Lookups.of(groups_of(ECHOED))
    dense = {ECHOED[d].name for d, own in lookups.dense.items() if own.stop > own.start}
    assert dense == {"pay", "rain", "cash", "wide", "many", "fee"}
    assert {ECHOED[d].name for d in range(len(ECHOED)) if d not in lookups.sizes} == {"wide"}


SHAPES = {
    "plain": {},
    "deep": {"hidden_sizes": (16, 16), "direct_connections": True},
    "tanh": {"activation": "tanh"},
    "conditioned": {"conditioning_weights": True},
    "residual": {"hidden_sizes": (24, 24, 24), "residual": True},
}


@pytest.mark.parametrize("ordering", ["random", "ensemble"])
@pytest.mark.parametrize("kind", SHAPES)
def test_fixed_orders_are_scored_as_in_training(kind, ordering, dtype, generator):
    options = {"hidden_sizes": (24,), **SHAPES[kind]}
    model = tiny_made(ECHOED, ordering=ordering, **options).to(dtype)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    codes = model.groups.cast(model.groups.encode(rows_of(400, generator, is_complete=True)))
    densities = [model.component(m) for m in range(model.num_orderings)]
    terms = Terms(densities, len(codes))
    found = torch.cat([terms.of(part, None, None) for part in codes.split(300)], 1)
    (inputs,) = terms._inputs.values()
    assert all(inputs._tables)
    alone = torch.stack([one.terms(codes) for one in densities]).double()
    tolerance = 1e-11 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(found, alone, rtol=tolerance, atol=tolerance)


def test_products_are_taken_where_tables_gain_nothing():
    def has_tables(model, count):
        return InputTables.of(model.component(0), Lookups.of(model.groups), count) is not None

    fixed = tiny_made(ECHOED, (24,))
    assert has_tables(fixed, 1000)
    assert not has_tables(fixed, 100)
    assert not has_tables(fixed.train(), 1000)
    assert not has_tables(tiny_made(binary_variables(9)), 1000)


def test_one_order_of_many_is_read_from_tables_too(dtype, generator):
    model = tiny_made(
        ECHOED,
        (24,),
        ordering="agnostic",
        schedule_options={"num_orderings": 3, "hidden_degrees": "by_variable"},
    ).to(dtype)
    x = rows_of(900, generator)
    codes = model.groups.cast(model.groups.encode(x))
    terms = Terms([model.component(2)], 900)
    observed = torch.rand(codes.shape, generator=generator) < 0.9
    tolerance = 1e-11 if dtype == torch.float64 else 1e-3
    for seen in (None, observed, None):
        given = codes if seen is None else codes.where(seen, torch.nan)
        alone = model.component(2).observed_first(seen).terms(given, None, seen)
        found = terms.of(given, None, seen)[0]
        torch.testing.assert_close(found, alone.double(), rtol=tolerance, atol=tolerance)
    assert [bool(one._tables[0]) for one in terms._inputs.values()] == [True, False]


def test_components_may_differ_in_what_they_read(generator):
    model = tiny_made(ECHOED, (24,), ordering="ensemble")
    codes = model.groups.cast(model.groups.encode(rows_of(500, generator, is_complete=True)))
    first, second = model.component(0), model.component(1)
    own = replace(
        second, masks=replace(second.masks, ordering=second.masks.ordering.expand(500, -1))
    )
    read, features = Inputs(model.groups, [first, own], 500).of(codes)
    assert not isinstance(read, torch.Tensor)
    assert torch.equal(features, model.groups.features(codes))
    edge = first.network.levels[0].edges[0]
    torch.testing.assert_close(read[1], edge(features, None), rtol=1e-4, atol=1e-4)
