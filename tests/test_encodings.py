import pytest
import torch

from made_exp.variables.encoding_choice import encoding_for
from made_exp.variables.encodings import Identity, OneHot, Smooth
from made_exp.variables.number_encodings import Numeric
from made_exp.variables.numbers import Numbers
from made_exp.variables.transform import Transform
from made_exp.variables.variable import ALLOWED_ENCODINGS, Kind, Variable


def variable_of(kind, num_values=6):
    num_values = {Kind.BINARY: 2, Kind.REAL: None}.get(kind, num_values)
    return Variable("age", kind, num_values, transform=Transform(shift=1.5, scale=2.0))


@pytest.fixture
def encodings(device, dtype):
    all_of_them = [
        OneHot(6),
        Smooth(6),
        Smooth(6, 3, one_hot_scale=0.5),
        Identity(),
    ]
    return [encoding.to(device, dtype) for encoding in all_of_them]


@pytest.mark.parametrize("x_dtype", [torch.uint8, torch.int64, torch.float32, torch.float64])
def test_features_have_the_dtype_of_the_module(x_dtype, encodings, generator, device, dtype):
    x = torch.randint(6, (10, 4), generator=generator).to(device, x_dtype)
    for encoding in encodings:
        features = encoding(x)
        assert features.shape == (10, 4, encoding.num_features)
        assert features.dtype == dtype


def test_encodings_have_no_state(encodings):
    assert not any(encoding.state_dict() for encoding in encodings)


def test_identity_gives_the_value(device, dtype):
    bits = torch.tensor([[0, 1]], dtype=torch.uint8, device=device)
    assert Identity().to(device, dtype)(bits).squeeze(-1).tolist() == [[0.0, 1.0]]


def test_one_hot(device, dtype):
    x = torch.arange(5, device=device)[:, None]
    expected = torch.eye(5, dtype=dtype, device=device)
    assert OneHot(5).to(device, dtype)(x).squeeze(1).equal(expected)


@pytest.mark.parametrize("num_values", [2, 5, 200, 1000])
def test_smooth_features_of_neighbours_are_close(num_values, device, dtype):
    x = torch.arange(num_values, device=device)[:, None]
    features = Smooth(num_values).to(device, dtype)(x).squeeze(1)
    distance = torch.cdist(features, features)
    assert distance.diagonal(1).min() > 0
    if num_values >= 200:
        far = distance[0, num_values // 2]
        assert distance.diagonal(1).max() < 0.25 * far
    assert features[:, 0].diff().min() > 0
    assert features.abs().max() <= 1


@pytest.mark.parametrize("num_values", [2, 3, 20, 65])
def test_smooth_features_can_tell_any_few_values_apart(num_values):
    """A linear layer above them, with a bias, can be any function of the value."""
    features = Smooth(num_values).to(torch.float64)(torch.arange(num_values)[:, None]).squeeze(1)
    with_bias = torch.cat([features, torch.ones(num_values, 1, dtype=torch.float64)], 1)
    assert torch.linalg.matrix_rank(with_bias) == num_values


@pytest.mark.parametrize(
    ("kind", "expected", "num_features"),
    [
        (Kind.BINARY, Identity, 1),
        (Kind.CATEGORICAL, OneHot, 40),
        (Kind.ORDINAL, Smooth, 1 + 39 + 40),
        (Kind.INTEGER, Numeric, 1 + 16),
        (Kind.REAL, Numeric, 1),
    ],
)
def test_auto_picks_by_kind(kind, expected, num_features):
    variable = variable_of(kind, 40)
    numbers = Numbers([variable]) if variable.is_number else None
    encoding = encoding_for("auto", variable, numbers)
    assert type(encoding) is expected
    assert encoding.num_features == num_features


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.CATEGORICAL, Kind.ORDINAL, Kind.INTEGER])
@pytest.mark.parametrize(
    ("name", "expected"),
    [("one_hot", OneHot), ("smooth", Smooth), ("hash", None)],
)
def test_encoding_by_name(kind, name, expected):
    variable = variable_of(kind)
    if name in ALLOWED_ENCODINGS[kind]:
        encoding = encoding_for(name, variable)
        assert type(encoding) is expected
        x = torch.ones(7, 3, dtype=torch.uint8)
        assert encoding(x).shape == (7, 3, encoding.num_features)
        return
    with pytest.raises(ValueError, match=rf"{kind} variable 'age' must be auto or .*got '{name}'"):
        encoding_for(name, variable)


def test_real_values_are_standardised_whatever_the_name():
    variable = variable_of(Kind.REAL)
    encoding = encoding_for("one_hot", variable, Numbers([variable]))
    assert encoding(torch.tensor([[1.25]])).item() == 1.25


def test_far_values_enter_no_farther_than_a_span_beyond_the_knots():
    variable = Variable("x", Kind.REAL, knots=(-2.0, 0.0, 1.0))
    encoding = encoding_for("auto", variable, Numbers([variable]))
    z = torch.tensor([[-1e300], [-6.0], [-5.0], [-4.0], [3.5], [4.0], [9.0], [1e300]]).double()
    entered = encoding(z)[:, 0, 0]
    assert entered.tolist() == [-5.0, -5.0, -5.0, -4.0, 3.5, 4.0, 4.0, 4.0]
