"""Ensembles: members with orderings and weights of their own, mixed as densities."""

import math

import pytest
import torch
from builders import build_made, make_schedules
from training_cases import ENSEMBLE, make_case

from made_exp.model import checks
from made_exp.model.request import Request
from made_exp.model.samplers import sample_by_full_passes
from made_exp.variables.mixing import fit_log_weights
from made_exp.variables.variable import binary_variables

NUM_DIMS, MEMBERS = 5, 4


@pytest.fixture
def model(device, dtype):
    schedules = make_schedules(
        "ensemble", NUM_DIMS, [8, 8], num_orderings=MEMBERS, natural=0.5, shallow=0.25, residual=0.5
    )
    model = build_made(
        binary_variables(NUM_DIMS),
        schedules,
        direct_connections=True,
        generator=torch.Generator().manual_seed(0),
    )
    assert len(model.members) == MEMBERS
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model.to(device, dtype).eval()


def all_inputs(model):
    bits = torch.arange(2, device=model.device, dtype=model.dtype)
    return torch.cartesian_prod(*[bits] * NUM_DIMS)


def test_the_mixture_of_the_members_sums_to_one(model):
    x = all_inputs(model)
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-5)
    rows = [model.ordering_log_prob(x, index) for index in range(MEMBERS)]
    for row in rows:
        assert row.exp().sum().item() == pytest.approx(1, abs=1e-5)
    wanted = torch.stack(rows).logsumexp(0) - math.log(MEMBERS)
    torch.testing.assert_close(model.log_prob(x), wanted)


def test_members_differ_and_the_asked_share_keeps_the_natural_order(model):
    orders = [model.component(index).masks.ordering.tolist() for index in range(MEMBERS)]
    assert sum(order == list(range(NUM_DIMS)) for order in orders) == MEMBERS // 2
    weights = [member.output_bias for member in model.members]
    assert [len(member.hidden) for member in model.members] == [2, 3, 2, 1]
    assert len({weight.data_ptr() for weight in weights}) == MEMBERS
    x = all_inputs(model)
    assert not torch.allclose(model.ordering_log_prob(x, 0), model.ordering_log_prob(x, 1))


def test_the_asked_share_has_the_first_hidden_layer_alone_in_every_kind_of_order():
    schedules = make_schedules(
        "ensemble", NUM_DIMS, [8, 6], num_orderings=24, natural=0.25, shallow=0.5
    )
    made = build_made(binary_variables(NUM_DIMS), schedules)
    depths = [tuple(layer.out_features for layer in m.hidden) for m in made.members]
    assert sorted(depths) == [(8,)] * 12 + [(8, 6)] * 12
    order = list(range(NUM_DIMS))
    natural = [k for k, m in enumerate(made.members) if list(m.schedule.ordering) == order]
    assert sorted(depths[m] for m in natural) == [(8,)] * 3 + [(8, 6)] * 3
    for start in range(0, 24, 2):  # of the same penalty
        assert sum(map(len, depths[start : start + 2])) == 3
    for index, member in enumerate(made.members):
        degrees = made.component(index).masks.hidden_degrees
        torch.testing.assert_close(degrees, member.schedule.mask_set(0).hidden_degrees)


def test_the_asked_share_of_the_others_has_a_residual_block():
    schedules = make_schedules(
        "ensemble", NUM_DIMS, [8, 6], num_orderings=24, natural=0.25, shallow=0.25, residual=0.5
    )
    made = build_made(binary_variables(NUM_DIMS), schedules)
    depths = [tuple(layer.out_features for layer in m.hidden) for m in made.members]
    assert sorted(depths) == [(8,)] * 6 + [(8, 6)] * 9 + [(8, 8, 8)] * 9
    order = list(range(NUM_DIMS))
    natural = [k for k, m in enumerate(made.members) if list(m.schedule.ordering) == order]
    assert {depths[m] for m in natural} == {(8,), (8, 6), (8, 8, 8)}
    x = all_inputs(made)
    for index, member in enumerate(made.members):
        skips = [level.skip for level in member.levels]
        assert skips == ([None, None, 1, None] if len(member.hidden) == 3 else [None] * len(skips))
        assert made.ordering_log_prob(x, index).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_single_member_has_every_layer():
    schedules = make_schedules("ensemble", NUM_DIMS, [8, 6], num_orderings=1, shallow=1.0)
    model = build_made(binary_variables(NUM_DIMS), schedules)
    assert model.log_prob(all_inputs(model)).exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert len(model.members[0].hidden) == 2


def test_every_member_passes_the_checks_of_a_run(model):
    assert checks.check_masks(model).passed
    assert checks.check_normalisation(model).passed
    assert checks.check_samples(model, torch.Generator().manual_seed(0)).passed


def test_a_stray_weight_of_any_member_is_found():
    """Dense weights, where nothing but their values keeps masked ones at zero."""
    schedules = make_schedules("ensemble", NUM_DIMS, [8], num_orderings=2)
    model = build_made(binary_variables(NUM_DIMS), schedules, backend="dense")
    assert checks.check_masks(model).passed
    layer = model.members[1].hidden[0]
    hidden = layer.out_degrees[:, None] < layer.in_degrees[None, :]
    layer.masked_weight = lambda *degrees: torch.where(hidden, 1.0, layer.weight)
    found = checks.check_masks(model)
    assert not found.passed
    assert f"{int(hidden.sum())} masked weights" in found.detail


def test_one_pass_sampling_equals_full_passes_for_every_member(model):
    uniforms = torch.rand(50, NUM_DIMS, generator=torch.Generator().manual_seed(3)).to(
        model.device, model.dtype
    )
    for index in range(MEMBERS):
        component = model.component(index)
        fast = model._samplers.drawer(component)(Request(uniforms))
        slow = sample_by_full_passes(component, Request(uniforms))
        torch.testing.assert_close(fast, slow)


def test_samples_have_the_probabilities_of_the_mixture(model):
    x = all_inputs(model)
    draws = model.sample(20_000, generator=torch.Generator().manual_seed(5))
    powers = 2 ** torch.arange(NUM_DIMS - 1, -1, -1, device=model.device, dtype=model.dtype)
    counts = torch.bincount((draws @ powers).long(), minlength=len(x)).double()
    expected = 20_000 * model.log_prob(x).exp().double()
    chi = ((counts - expected) ** 2 / expected.clamp(min=1e-9))[expected > 1].sum()
    freedom = int((expected > 1).sum())
    assert chi < freedom + 5 * math.sqrt(2 * freedom)


def test_completion_is_refused_where_a_member_cannot_condition(model):
    x = torch.zeros(2, NUM_DIMS, dtype=model.dtype, device=model.device)
    observed = torch.zeros(NUM_DIMS, dtype=torch.bool)
    assert model.complete(x, observed).shape == x.shape
    observed[-1] = True
    with pytest.raises(ValueError, match="one fixed ordering"):
        model.complete(x, observed)


def test_a_step_trains_one_member_and_leaves_the_others(tmp_path):
    trainer = make_case(tmp_path, ordering=ENSEMBLE, trainer={"max_steps": 1, "sparsity": 0.1})
    members = trainer.learner.model.members
    before = [[p.detach().clone() for p in member.parameters()] for member in members]
    trainer.train()
    moved = [
        any(not torch.equal(a, b) for a, b in zip(old, member.parameters(), strict=True))
        for old, member in zip(before, members, strict=True)
    ]
    assert moved == [True, False, False]


def test_fitted_weights_are_those_of_the_best_mixture(model):
    """Data drawn with known weights give these back, and no other weights do better."""
    wanted = torch.tensor([0.5, 0.2, 0.3, 0.0], dtype=torch.float64)
    x = all_inputs(model)
    rows = torch.stack([model.ordering_log_prob(x, k) for k in range(MEMBERS)]).double()
    truth = (rows.exp() * wanted[:, None].to(rows.device)).sum(0)
    generator = torch.Generator().manual_seed(0)
    index = torch.multinomial(truth.cpu(), 200_000, replacement=True, generator=generator)
    rows = rows[:, index.to(rows.device)]
    fitted = fit_log_weights(rows)
    assert fitted.exp().sum().item() == pytest.approx(1)

    def nll(log_weights):
        return -(rows + log_weights[:, None]).logsumexp(0).mean().item()

    assert nll(fitted) <= nll(wanted.clamp(min=1e-12).log().to(rows.device)) + 1e-4
    for other in torch.eye(MEMBERS, dtype=torch.float64):
        mixed = 0.9 * fitted.exp().cpu() + 0.1 * other
        assert nll(fitted) <= nll(mixed.log().to(rows.device)) + 1e-4


def test_fitted_weights_stay_near_equal_until_examples_say_otherwise():
    """Each member counts as if it had explained one example more than those given."""
    only_first = torch.tensor([[0.0], [-torch.inf]]).expand(2, 7)
    for count in (1, 7):
        weights = fit_log_weights(only_first[:, :count]).exp().tolist()
        assert weights == pytest.approx([(count + 1) / (count + 2), 1 / (count + 2)])
    alike = torch.randn(50, generator=torch.Generator().manual_seed(0)).expand(3, 50)
    assert fit_log_weights(alike).exp().tolist() == pytest.approx([1 / 3] * 3)


def test_a_weighted_mixture_is_one_density_everywhere(device, dtype):
    schedules = make_schedules("ensemble", NUM_DIMS, [6], num_orderings=2, natural=1.0)
    model = build_made(binary_variables(NUM_DIMS), schedules, fits_weights=True).to(device, dtype)
    weights = torch.tensor([0.9, 0.1], dtype=torch.float64)
    model.mixture._log_weights.copy_(weights.log())
    with torch.no_grad():  # two members that are easy to tell apart
        for member, sign in zip(model.members, (1, -1), strict=True):
            member.output_bias.fill_(3.0 * sign)
    x = all_inputs(model)
    rows = torch.stack([model.ordering_log_prob(x, k) for k in range(2)])
    wanted = (rows.exp() * weights[:, None].to(rows)).sum(0)
    torch.testing.assert_close(model.log_prob(x).exp(), wanted)
    draws = model.sample(4000, generator=torch.Generator().manual_seed(1))
    assert (draws.mean(1) > 0.5).double().mean().item() == pytest.approx(0.9, abs=0.02)
    observed = torch.zeros(NUM_DIMS, dtype=torch.bool, device=x.device)
    observed[:2] = True
    part = model.completion_log_prob(x, observed.expand(len(x), -1))
    marginal = wanted.view(4, -1).sum(1).repeat_interleave(len(x) // 4)
    torch.testing.assert_close(part.exp(), wanted / marginal)
    reloaded = build_made(binary_variables(NUM_DIMS), schedules, fits_weights=True)
    reloaded.load_state_dict(model.state_dict())
    torch.testing.assert_close(reloaded.mixture.log_weights(), model.mixture.log_weights().cpu())


def test_members_read_the_image_from_every_corner_in_turn():
    options = {"num_orderings": 16, "natural": 0}
    schedules = make_schedules("ensemble", 6, [], image_shape=(2, 3), rasters=0.5, **options)
    orders = [schedule.ordering for schedule in schedules]
    lines = [list(orders[index]) for index in range(1, 16, 2)]
    assert lines == [
        [0, 1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1, 0],
        [2, 1, 0, 5, 4, 3],
        [3, 4, 5, 0, 1, 2],
        [0, 3, 1, 4, 2, 5],
        [5, 2, 4, 1, 3, 0],
        [2, 5, 1, 4, 0, 3],
        [3, 0, 4, 1, 5, 2],
    ]
    random = [schedule.ordering for schedule in make_schedules("ensemble", 6, [], **options)]
    assert orders[::2] == random[::2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_orderings": 0}, "num_orderings must be >= 1, got 0"),
        ({"natural": 2}, "natural must be at least 0 and at most 1, got 2"),
        ({"shallow": -1}, "shallow must be at least 0 and at most 1, got -1"),
        ({"rasters": -0.5}, "rasters must be at least 0 and at most 1, got -0.5"),
        ({"rasters": 0.5}, "rasters=0.5 needs images"),
    ],
)
def test_wrong_plans_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_schedules("ensemble", 6, [3], image_shape=(3, 4), **options)
