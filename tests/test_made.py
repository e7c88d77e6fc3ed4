import itertools
import math
from dataclasses import replace

import pytest
import torch
from builders import all_binary, tiny_made

from made_exp.masks.mask_set import visibility
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable, binary_variables

ORDERINGS = ["natural", "reversed", "random", "agnostic"]
HIDDEN = [(12,), (12, 10), (9, 12, 11)]


def models(device, dtype, orderings=ORDERINGS):
    """Every ordering x model x direct connections x depth."""
    for ordering, hidden_sizes, direct in itertools.product(orderings, HIDDEN, (False, True)):
        for residual in (False, True):
            sizes = (12,) * (2 * len(hidden_sizes) + 1) if residual else hidden_sizes
            yield tiny_made(
                hidden_sizes=sizes,
                ordering=ordering,
                residual=residual,
                direct_connections=direct,
                conditioning_weights=direct,
                schedule_options={"num_orderings": 3},
            ).to(device, dtype)


def tolerance(dtype):
    return 1e-10 if dtype == torch.float64 else 1e-4


def test_probabilities_of_all_binary_vectors_sum_to_one(device, dtype):
    x = all_binary(8).to(device)
    for model in models(device, dtype):
        total = model.log_prob(x).exp().sum().item()
        assert total == pytest.approx(1, abs=tolerance(dtype))


def test_jacobian_is_zero_exactly_outside_predecessors(device, dtype):
    x = torch.rand(8, device=device, dtype=dtype)
    for model in models(device, dtype):
        for index in range(model.num_orderings):
            masks = model.component(index).masks

            def params(values, masks=masks, model=model):
                return model.members[0](values[None], masks)[0]

            jacobian = torch.autograd.functional.jacobian(params, x)
            in_order = jacobian[masks.ordering][:, masks.ordering]
            assert torch.equal(in_order.tril(-1), in_order)


def test_product_of_weights_in_use_is_strictly_triangular(device, dtype):
    for model in models(device, dtype, ["random", "agnostic"]):
        network = model.members[0]
        if network.direct is not None or any(level.skip for level in network.levels):
            continue
        for index in range(model.num_orderings):
            masks = model.component(index).masks
            degrees = network.layer_degrees(masks)
            paths = torch.eye(8, device=device, dtype=dtype)
            layers = [*network.hidden, network.output]
            for below, layer in enumerate(layers):
                pair = degrees[below : below + 2] if network.schedule.is_resampled else ()
                weight = layer.masked_weight(*pair)
                assert torch.all(weight[~visibility(degrees[below], degrees[below + 1])] == 0)
                paths = (weight != 0).to(dtype) @ paths
            in_order = paths[masks.ordering][:, masks.ordering]
            assert torch.equal(in_order.tril(-1), in_order)


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_mixed_variables_sum_and_integrate_to_one(ordering, device, dtype):
    variables = (
        Variable("switch", Kind.BINARY, 2),
        Variable("weight", Kind.REAL, transform=Transform(shift=2.0, scale=3.0)),
        Variable("count", Kind.INTEGER, 3),
    )
    model = tiny_made(variables, (14, 14), ordering=ordering, direct_connections=True)
    model = model.to(device, dtype)
    grid = torch.linspace(-120, 120, 120_001, dtype=dtype, device=device)
    total = 0.0
    for switch, count in itertools.product(range(2), range(3)):
        x = torch.stack([torch.full_like(grid, switch), grid, torch.full_like(grid, count)], 1)
        total += torch.trapezoid(model.log_prob(x, num_orderings=1).exp(), grid).item()
    assert total == pytest.approx(1, abs=2e-3)


def test_one_variable_is_its_bias(device, dtype):
    variables = (Variable("x", Kind.ORDINAL, 7),)
    model = tiny_made(variables, (5,), direct_connections=True).to(device, dtype)
    assert not model.members[0].hidden
    expected = model.members[0].output_bias.log_softmax(0)
    assert torch.allclose(model.log_prob(torch.arange(7, device=device)[:, None]), expected)


def test_ensemble_is_the_mixture_of_its_orderings(device, dtype):
    model = tiny_made(ordering="agnostic", schedule_options={"num_orderings": 4}).to(device, dtype)
    x = all_binary(8).to(device)
    each = [model.component(index).log_prob(x).exp() for index in range(4)]
    assert torch.allclose(model.log_prob(x).exp(), sum(each) / 4)
    assert torch.allclose(model.log_prob(x, num_orderings=1).exp(), each[0])


def test_fixed_masks_equal_the_same_masks_given_at_each_call(device, dtype):
    """The layers built for one mask set compute what general layers do."""
    fixed = tiny_made(hidden_sizes=(12, 9), direct_connections=True).to(device, dtype)
    masks = fixed.component(0).masks
    general = tiny_made(
        hidden_sizes=(12, 9),
        direct_connections=True,
        ordering="agnostic",
        schedule_options={"num_orderings": 2},
    ).to(device, dtype)
    general.load_state_dict(fixed.state_dict())
    x = all_binary(8).to(device)
    assert torch.allclose(
        fixed.log_prob(x), replace(general.component(0), masks=masks).log_prob(x), atol=1e-6
    )


def test_context_reaches_every_variable_the_first_included(device, dtype):
    model = tiny_made(num_classes=3).to(device, dtype)
    x = all_binary(8).to(device)
    for label in range(3):
        context = torch.full((256,), label, device=device)
        total = model.log_prob(x, context).exp().sum().item()
        assert total == pytest.approx(1, abs=tolerance(dtype))
    features = torch.zeros(1, 8, device=device, dtype=dtype)
    context = torch.zeros(1, 3, device=device, dtype=dtype, requires_grad=True)
    for params in model.members[0](features, None, context)[0]:
        (gradient,) = torch.autograd.grad(params, context, retain_graph=True)
        assert (gradient != 0).any()


def test_context_is_checked(device, dtype):
    model = tiny_made(num_classes=3).to(device, dtype)
    x = torch.zeros(2, 8, device=device)
    with pytest.raises(ValueError, match=r"needs class labels 0\.\.2"):
        model.log_prob(x)
    with pytest.raises(ValueError, match=r"labels in 0\.\.2"):
        model.log_prob(x, torch.tensor([0, 3], device=device))
    with pytest.raises(ValueError, match="shape"):
        model.log_prob(x, torch.tensor([0], device=device))
    with pytest.raises(ValueError, match="without classes"):
        tiny_made().to(device, dtype).log_prob(x, torch.tensor([0, 1], device=device))


def test_bias_starts_at_the_marginals(device, dtype, generator):
    model = tiny_made().to(device, dtype)
    network = model.members[0]
    for parameter in network.hidden.parameters():
        torch.nn.init.zeros_(parameter)
    network.output.load_state_dict(
        {name: torch.zeros_like(v) for name, v in network.output.state_dict().items()}
    )
    train = (torch.rand(400, 8, generator=generator) < torch.linspace(0.1, 0.9, 8)).to(torch.uint8)
    model.initialise_bias(train.to(device))
    probs = torch.sigmoid(model.component(0).conditionals(train[:1].to(device)).params)[0].cpu()
    assert torch.allclose(probs, train.to(dtype).mean(0), atol=5e-3)


@pytest.mark.parametrize("residual", [False, True])
def test_gradients_agree_with_finite_differences(residual, device):
    """Weights that the mask removes get no gradient, all others the right one."""
    model = tiny_made(
        binary_variables(4),
        (5,) * 3,
        residual=residual,
        direct_connections=True,
        activation="tanh",
        backend="dense",
    ).to(device, torch.float64)
    x = all_binary(4).to(device)
    network = model.members[0]
    names = [name for name, _ in network.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in network.parameters()]
    seen = [value != 0 for value in values]

    def nll(*parameters):
        visible = [value * mask for value, mask in zip(parameters, seen, strict=True)]
        state = dict(zip(names, visible, strict=True))
        return torch.func.functional_call(network, state, (x.double(),)).sin().sum()

    assert torch.autograd.gradcheck(nll, values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "gelu"}, "activation: 'gelu' is not one of relu"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"conditional": "gaussian_mixture"}, "gaussian_mixture"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_made(**options)


def test_num_orderings_is_checked():
    with pytest.raises(ValueError, match=r"num_orderings must be in 1\.\.1, got 2"):
        tiny_made().log_prob(torch.zeros(1, 8), num_orderings=2)


def test_networks_without_hidden_layers_are_logistic_regressions(device, dtype):
    model = tiny_made(hidden_sizes=(), direct_connections=True).to(device, dtype)
    assert not model.members[0].hidden
    total = model.log_prob(all_binary(8).to(device)).exp().sum().item()
    assert total == pytest.approx(1, abs=tolerance(dtype))
    assert not math.isclose(
        float(model.component(0).conditionals(torch.ones(1, 8, device=device)).params.std()), 0
    )
