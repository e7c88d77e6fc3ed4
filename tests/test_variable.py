"""What one column can hold, and the map by which a number enters the model."""

import json
import math

import pytest
import torch

from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable

TRANSFORMS = [
    Transform(),
    Transform(shift=2.0, scale=3.0),
    Transform(centre=5.0, bend=0.1, shift=1.0, scale=4.0),
    Transform(centre=-1e9, bend=1e3),
]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transform_is_undone_by_its_inverse(transform):
    x = transform.centre + torch.linspace(-50, 50, 1001, dtype=torch.float64)
    torch.testing.assert_close(transform.inverse(transform.forward(x)), x)
    assert (transform.forward(x).diff() > 0).all()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_log_slope_is_that_of_the_transform(transform):
    x = transform.centre + torch.linspace(-50, 50, 101, dtype=torch.float64)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(transform.forward(x).sum(), x)
    torch.testing.assert_close(transform.log_slope(x), slope.log())


def test_every_real_number_has_a_slope():
    x = torch.tensor([-1e300, -1e22, 0.0, 1e22, 1e300], dtype=torch.float64)
    bent = Transform(bend=1e-3)
    assert bent.forward(x).isfinite().all()
    assert bent.log_slope(x).isfinite().all()


@pytest.mark.parametrize(
    "wrong", [{"scale": 0.0}, {"bend": 0.0}, {"shift": math.inf}, {"centre": math.nan}]
)
def test_wrong_transforms_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Transform(**wrong)


VARIABLES = [
    Variable("x", Kind.BINARY, 2, categories=("no", "yes"), may_be_missing=True),
    Variable("c", Kind.CATEGORICAL, 4, pooled=(0.75, 0.25), reserve=1e-4),
    Variable("n", Kind.INTEGER, 10**12, atoms=(0.0, 40.0), transform=Transform(bend=2.0)),
    Variable("r", Kind.REAL, atoms=(-9999.0,), resolution=0.01, knots=(-1.0, 0.5, 2.0)),
    Variable("e", Kind.REAL, resolution=1e-11, grows_from=1e-9),
]


@pytest.mark.parametrize("variable", VARIABLES)
def test_variable_is_read_back_from_json(variable):
    assert Variable.from_dict(json.loads(json.dumps(variable.to_dict()))) == variable


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": Kind.REAL, "num_values": 3},
        {"kind": Kind.INTEGER, "num_values": 1},
        {"kind": Kind.BINARY, "num_values": 3},
        {"kind": Kind.CATEGORICAL, "num_values": 3, "atoms": (1.0,)},
        {"kind": Kind.REAL, "knots": (1.0, 0.0)},
        {"kind": Kind.REAL, "resolution": 0.0},
        {"kind": Kind.REAL, "grows_from": 0.0},
        {"kind": Kind.CATEGORICAL, "num_values": 2, "pooled": (0.5, 0.5)},
        {"kind": Kind.CATEGORICAL, "num_values": 3, "pooled": (0.5, 0.6)},
        {"kind": Kind.CATEGORICAL, "num_values": 3, "reserve": 1.0},
    ],
)
def test_wrong_variables_are_refused(wrong):
    with pytest.raises(ValueError, match="'x'"):
        Variable("x", **wrong)
