"""The step without autograd leaves the loss and the gradients of the plain step."""

import pytest
import torch
from builders import MIXED, tiny_made
from training_cases import AGNOSTIC, ENSEMBLE, NATURAL, make_case

from made_exp.kernels import dense
from made_exp.settings.training import TrainerSettings
from made_exp.training.assembly import step_kind
from made_exp.training.batches import Batches
from made_exp.training.distributed import Ranks
from made_exp.training.learner import TrainedMember
from made_exp.training.step import DirectStep, TrainStep
from made_exp.variables.variable import Kind, Variable, binary_variables

CATEGORICAL = [Variable(f"c{d}", Kind.CATEGORICAL, 5) for d in range(4)]
RESIDUAL = {"residual": True, "direct_connections": True}
MODELS = {
    "a small layer": {},
    "blocks": {"backend": "staircase"},
    "blocks of a natural order": {"backend": "staircase", "ordering": "natural"},
    "two layers": {"hidden_sizes": (12, 7)},
    "two layers of blocks": {"hidden_sizes": (12, 7), "backend": "staircase"},
    "direct connections": {"direct_connections": True},
    "direct connections alone": {"hidden_sizes": (), "direct_connections": True},
    "direct connections by blocks": {"direct_connections": True, "backend": "staircase"},
    "dropout": {"hidden_sizes": (12, 7), "dropout": 0.4, "direct_connections": True},
    "dropout by blocks": {"hidden_sizes": (12, 7), "dropout": 0.4, "backend": "staircase"},
    "dropout, resampled": {"dropout": 0.4, "ordering": "agnostic"},
    "dropout, residual": {"hidden_sizes": (9,) * 5, **RESIDUAL, "dropout": 0.4},
    "a residual block": {"hidden_sizes": (9,) * 3, "residual": True},
    "two residual blocks": {"hidden_sizes": (9,) * 5, **RESIDUAL},
    "residual by blocks": {"hidden_sizes": (9,) * 5, **RESIDUAL, "backend": "staircase"},
    "residual, resampled": {"hidden_sizes": (9,) * 5, **RESIDUAL, "ordering": "agnostic"},
    "resampled masks": {"ordering": "agnostic", "direct_connections": True},
    "resampled masks by blocks": {"ordering": "agnostic", "backend": "staircase"},
    "an ensemble": {"ordering": "ensemble", "schedule_options": {"num_orderings": 3}},
    "deep and shallow members": {
        "ordering": "ensemble",
        "hidden_sizes": (12, 7),
        "schedule_options": {"num_orderings": 2, "shallow": 0.5},
    },
    "one-hot features": {"variables": CATEGORICAL},
    "one-hot features by blocks": {"variables": CATEGORICAL, "backend": "staircase"},
    "class labels": {"num_classes": 3, "direct_connections": True},
    "class labels by blocks": {"num_classes": 3, "backend": "staircase", "dropout": 0.4},
    "class labels, residual": {"num_classes": 3, "hidden_sizes": (9,) * 5, **RESIDUAL},
    "mixed columns": {"variables": MIXED},
    "mixed columns, resampled": {"variables": MIXED, "ordering": "agnostic"},
}


@pytest.fixture
def device():
    """The CPU, whatever --device says: nowhere else is this step taken."""
    return torch.device("cpu")


def make_model(device, **options):
    """A model in training mode, float64."""
    return tiny_made(**options).to(device).double().train().requires_grad_(True)


def examples(model, device, count=9):
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(count) % model.num_classes if model.num_classes else None
    return model.double().sample(count, generator=generator, context=labels).to(device)


def make_step(kind, model, x):
    batches = Batches(x, len(x), seed=0, device=x.device)
    members = [TrainedMember(m, torch.optim.SGD(m.parameters(), lr=0.1)) for m in model.members]
    return kind(model, members, batches, TrainerSettings())


def gradients(kind, model, x, component):
    """The loss and, by name, the gradients of one kind of step."""
    step = make_step(kind, model, x)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)  # of the step before
    step.seed_dropout(5)
    labels = torch.arange(len(x)) % model.num_classes if model.num_classes else None
    loss = step.differentiate(x, component, labels)
    return loss, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_autograd(device, name, index):
    model = make_model(device, **MODELS[name])
    check(model, examples(model, device), index)


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.CATEGORICAL])
def test_whole_numbers_beyond_float32_beside_other_columns(device, kind):
    """Codes are then float64, all else stays float32."""
    variables = [Variable("id", Kind.INTEGER, 2**27), Variable("flag", kind, 2)]
    model = tiny_made(variables=variables).to(device).train().requires_grad_(True)
    x = torch.tensor([[2**27 - 1, 1], [5, 0], [2**26 + 1, 1]], dtype=torch.float64)
    expected, plain = gradients(TrainStep, model, x, model.component(0))
    loss, direct = gradients(DirectStep, model, x, model.component(0))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, gradient in plain.items():
        assert direct[name].dtype == torch.float32
        torch.testing.assert_close(direct[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_resampled_masks_too_large_to_be_kept(device, monkeypatch, num_layers):
    monkeypatch.setattr(dense, "MAX_KEPT_MASK", 10)
    model = make_model(
        device, ordering="agnostic", hidden_sizes=(12,) * num_layers, direct_connections=True
    )
    check(model, examples(model, device), 1)


def check(model, x, index):
    component = model.component(index % (model.max_orderings or 2))
    expected, by_autograd = gradients(TrainStep, model, x, component)
    loss, by_hand = gradients(DirectStep, model, x, component)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert not loss.requires_grad
    for name, _ in component.network.named_parameters():
        gradient = by_autograd[f"networks.{component.member}.{name}"]
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(
            by_hand[f"networks.{component.member}.{name}"], gradient, rtol=1e-10, atol=1e-13
        )


@pytest.mark.parametrize("kind", [TrainStep, DirectStep])
def test_steps_leave_other_members_alone(device, kind):
    model = make_model(device, **MODELS["an ensemble"])
    x = examples(model, device)
    step = make_step(kind, model, x)
    for index in (0, 0, 2, 1):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 7.0)
        before = [p.detach().clone() for p in model.parameters()]
        step.update(torch.arange(len(x)), None, model.component(index))
        trained = {id(p) for p in model.members[index].parameters()}
        for parameter, weight in zip(model.parameters(), before, strict=True):
            is_trained = id(parameter) in trained
            assert bool((parameter.grad == 7.0).all()) != is_trained
            assert torch.equal(parameter, weight) != is_trained


def test_gradients_stay_where_they_are(device):
    model = make_model(device, hidden_sizes=(12, 7), backend="staircase")
    x = examples(model, device)
    step = make_step(DirectStep, model, x)
    places = []
    for _ in range(3):
        step.differentiate(x, model.component(0), None)
        places.append([layer.weight.grad.data_ptr() for layer in model.members[0].hidden])
    assert places[0] == places[1] == places[2]


def test_logits_without_bound_have_finite_gradients(device):
    model = make_model(device)
    with torch.no_grad():
        model.members[0].output_bias.copy_(torch.tensor([1e3, -1e3] * 4))
    x = torch.tensor([[1.0, 0.0] * 4, [0.0, 1.0] * 4], dtype=torch.float64, device=device)
    loss, found = gradients(DirectStep, model, x, model.component(0))
    assert torch.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())
    check(model, x, 0)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adadelta"])
@pytest.mark.parametrize("ordering", [NATURAL, AGNOSTIC, ENSEMBLE])
@pytest.mark.parametrize(
    "case", [{}, {"binarize": True}, {"trainer": {"grad_clip": 0.1, "sparsity": 0.5}}]
)
def test_trainings_are_the_same(tmp_path, optimizer, ordering, case):
    direct, plain = (
        make_case(tmp_path / name, optimizer=optimizer, ordering=ordering, **case)
        for name in ("direct", "plain")
    )
    assert type(direct.step) is DirectStep
    plain.step.__class__ = TrainStep
    direct.train()
    plain.train()
    for line, expected in zip(direct.observer.lines, plain.observer.lines, strict=True):
        assert line == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "tanh"},
        {"conditioning_weights": True},
        {"backend": "dense"},
        {"variables": binary_variables(1)},
    ],
    ids=str,
)
def test_other_networks_are_left_to_autograd(options):
    model = tiny_made(**options)
    x = torch.zeros(4, model.num_dims)
    batches = Batches(x, 2, seed=0, device=x.device)
    assert step_kind(model, batches, TrainerSettings()) is TrainStep


def test_missing_values_and_several_processes_are_left_to_autograd():
    model, x = tiny_made(), torch.zeros(4, 8)
    batches = Batches(x, 2, seed=0, device=x.device)
    settings = TrainerSettings()
    assert step_kind(model, batches, settings) is DirectStep
    shared = Batches(x, 2, seed=0, device=x.device, world=Ranks(0, 2))
    assert step_kind(model, shared, settings) is TrainStep
    x[0, 0] = torch.nan
    batches = Batches(x, 2, seed=0, device=x.device)
    assert step_kind(model, batches, settings) is TrainStep
