import math

import pytest
import torch
from builders import all_binary, tiny_made

from made_exp.model.checks import check_masks, check_normalisation, check_samples
from made_exp.model.evaluation import (
    Evaluation,
    evaluate,
    log_probs_by_ordering,
    nll_by_num_orderings,
    paired_difference,
)
from made_exp.variables.groups import Conditionals


def test_nll_and_its_units(device, dtype):
    model = tiny_made().to(device, dtype)
    x = all_binary(8).to(device)[:50]
    result = evaluate(model, x, batch_size=7)
    log_probs = model.log_prob(x).double().cpu()
    assert result.nll == pytest.approx(-log_probs.mean().item(), rel=1e-6)
    assert result.nll_stderr == pytest.approx(log_probs.std().item() / math.sqrt(50), rel=1e-5)
    assert result.nll_per_dim == pytest.approx(result.nll / 8)
    assert result.bits_per_dim == pytest.approx(result.nll / 8 / math.log(2))
    assert result.num_examples == 50


def test_evaluation_leaves_training_state_unchanged(device, dtype):
    model = tiny_made(
        ordering="agnostic",
        hidden_sizes=(12,),
        dropout=0.5,
        schedule_options={"num_orderings": 0},
    ).to(device, dtype)
    model.train()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    generator_state, index = torch.random.get_rng_state(), model.index_at(17)
    first = evaluate(model, all_binary(8).to(device), num_orderings=4)
    second = evaluate(model, all_binary(8).to(device), num_orderings=4)
    assert first.nll == second.nll
    assert model.training
    assert model.index_at(17) == index
    assert torch.equal(generator_state, torch.random.get_rng_state())
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_nll_as_a_function_of_the_number_of_orderings(device, dtype):
    model = tiny_made(ordering="agnostic", schedule_options={"num_orderings": 5}).to(device, dtype)
    x = all_binary(8).to(device)
    by_ordering = log_probs_by_ordering(model, x)
    nll, stderr = nll_by_num_orderings(by_ordering, model.mixture.log_weights())
    for count in range(1, 6):
        expected = evaluate(model, x, num_orderings=count)
        assert nll[count - 1].item() == pytest.approx(expected.nll, rel=1e-5)
        assert stderr[count - 1].item() == pytest.approx(expected.nll_stderr, rel=1e-4)


def test_ensemble_of_one_equals_single(device, dtype):
    model = tiny_made(ordering="agnostic", schedule_options={"num_orderings": 3}).to(device, dtype)
    x = all_binary(8).to(device)
    assert torch.allclose(model.log_prob(x, num_orderings=1), model.component(0).log_prob(x))


def test_paired_difference():
    first = torch.tensor([-1.0, -2.0, -3.0])
    second = torch.tensor([-1.5, -1.0, -3.0])
    mean, stderr = paired_difference(first, second)
    difference = torch.tensor([0.5, -1.0, 0.0], dtype=torch.float64) * -1
    assert mean == pytest.approx(difference.mean().item())
    assert stderr == pytest.approx(difference.std().item() / math.sqrt(3))
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference(first, second[:2])


def test_evaluation_needs_examples(device, dtype):
    with pytest.raises(ValueError, match="no example"):
        evaluate(tiny_made().to(device, dtype), torch.zeros(0, 8))
    assert Evaluation.from_log_probs(torch.zeros(1), 8, 1).nll_stderr == 0


@pytest.mark.parametrize("ordering", ["random", "agnostic"])
def test_checks_pass_for_a_sound_model(ordering, device, dtype, generator):
    model = tiny_made(ordering=ordering, schedule_options={"num_orderings": 3}).to(device, dtype)
    for check in (check_masks(model), check_normalisation(model), check_samples(model, generator)):
        assert check.passed, check


def test_the_mask_check_finds_a_leak(device, dtype, monkeypatch):
    model = tiny_made().to(device, dtype)
    layer = model.members[0].output
    original = layer.masked_weight
    monkeypatch.setattr(layer, "masked_weight", lambda *degrees: original(*degrees) + 1.0)
    check = check_masks(model)
    assert not check.passed
    assert "masked weights are not zero" in check.detail


def test_the_normalisation_check_finds_averaged_logits(device, dtype, monkeypatch):
    model = tiny_made(ordering="agnostic", schedule_options={"num_orderings": 3}).to(device, dtype)

    def averaged(x, context=None):
        params = sum(model.component(index).conditionals(x).params for index in range(3)) / 3
        return Conditionals(model.groups, params).log_prob(x).sum(1)

    monkeypatch.setattr(model, "log_prob", averaged)
    assert not check_normalisation(model).passed


def test_the_sample_check_finds_a_sampler_with_fresh_noise(device, dtype, generator, monkeypatch):
    model = tiny_made(hidden_sizes=(30,)).to(device, dtype)
    sample = model.sample

    def independent(num_samples, **options):
        columns = [sample(num_samples, **options)[:, d] for d in range(8)]
        return torch.stack(columns, 1)

    monkeypatch.setattr(model, "sample", independent)
    assert not check_samples(model, generator).passed
