import math

import pytest
import torch
from builders import MIXED, all_binary, tiny_made

from made_exp.model.checks import (
    MAX_EVIDENCE,
    NUM_SAMPLES,
    check_masks,
    check_normalisation,
    check_samples,
    evidence_against,
)
from made_exp.model.evaluation import (
    Evaluation,
    distinct,
    evaluate,
    log_probs_by_ordering,
    nll_by_num_orderings,
    paired_difference,
)
from made_exp.variables.outputs import Conditionals
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable, binary_variables


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
    assert math.isnan(Evaluation.from_log_probs(torch.zeros(1), 8, 1).nll_stderr)


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


def redrawn(samples, others, variable):
    return samples.index_copy(1, torch.tensor([variable]), others[:, [variable]])


@pytest.mark.parametrize("variables", [None, MIXED])
@pytest.mark.parametrize(
    "mistake", ["fresh noise", "wrong ordering", "first redrawn", "last redrawn", "temperature"]
)
def test_the_sample_check_finds_mistakes_of_samplers(variables, mistake, generator):
    schedule = {"num_orderings": 2}
    model = tiny_made(variables, (30,), ordering="agnostic", seed=3, schedule_options=schedule)
    component = model.component(0)
    ordering = component.masks.ordering.tolist()

    def sample(component=0, **options):
        x = model.sample(NUM_SAMPLES, generator=generator, component=component, **options)
        return model.groups.encode(x)

    sound, others = sample(), sample()
    assert evidence_against(component, sound, generator) < math.log(MAX_EVIDENCE)
    wrong = {
        "fresh noise": lambda: torch.stack([sample()[:, d] for d in ordering], 1)[
            :, torch.tensor(ordering).argsort()
        ],
        "wrong ordering": lambda: sample(component=1),
        "first redrawn": lambda: redrawn(sound, others, ordering[0]),
        "last redrawn": lambda: redrawn(sound, others, ordering[-1]),
        "temperature": lambda: sample(temperature=2.0),
    }[mistake]()
    assert evidence_against(component, wrong, generator) > math.log(MAX_EVIDENCE)


@pytest.mark.parametrize("probability", [3e-4, 0.02, 0.5])
def test_sound_samples_are_refused_as_rarely_as_is_said(probability, generator):
    """P(evidence >= r) <= 1 / r, for rare events too; so 1e6 is one run in a million at most."""
    model = tiny_made(binary_variables(2), (), direct_connections=True)
    state = {name: value * 0 for name, value in model.state_dict().items()}
    state["networks.0.output_bias"] += math.log(probability / (1 - probability))
    model.load_state_dict(state)
    component, runs = model.component(0), 400
    evidence = torch.tensor(
        [
            evidence_against(component, model.sample(250, generator=generator), generator)
            for _ in range(runs)
        ]
    )
    for ratio in (5, 20, 100):
        expected = runs / ratio
        found = int((evidence >= math.log(ratio)).sum())
        assert found <= expected + 5 * expected**0.5
    assert evidence.max() < math.log(MAX_EVIDENCE) / 2


def test_a_sample_of_probability_zero_is_no_sample(generator, monkeypatch):
    model = tiny_made()
    monkeypatch.setattr(model, "log_prob", lambda x, context: torch.full((len(x),), -torch.inf))
    check = check_samples(model, generator)
    assert not check.passed
    assert "a sample has probability zero" in check.detail


def test_samples_of_wide_whole_numbers_are_checked_in_little_memory(generator):
    """Nothing lists the values: of all of them 1000 samples would take 8 GB."""
    wide = [Variable(f"x{d}", Kind.INTEGER, 2**20) for d in range(2)]
    assert check_samples(tiny_made(wide), generator).passed


def test_rows_that_repeat_are_scored_once_and_count_as_often_as_they_are(generator):
    model = tiny_made(binary_variables(5), (8,)).double()
    x = (torch.rand(400, 5, generator=generator) < 0.5).to(torch.uint8)
    whole, scored = model.log_prob(x), []

    def each(score, batches, labels):
        return [scored.append(len(batch)) or score(batch, None) for batch in batches]

    found = evaluate(model, x, batch_size=20, each=each)
    torch.testing.assert_close(found.log_probs, whole)
    assert sum(scored) == len(x.unique(dim=0)) <= 32
    few = x[: 3 * len(x) // 10].unique(dim=0)  # none comes again: as they are
    assert distinct(few)[0] is few
    assert distinct(x.double())[1] is None  # real values


@pytest.mark.parametrize("grows_from", [None, 1.0])
def test_smooth_draws_of_numbers_written_to_a_digit_count_in_its_cell(generator, grows_from):
    """Values that come again have their cells' whole mass, whichever component draws them."""
    torch.manual_seed(2)
    levels = tuple(n / 100 for n in range(20, 400))
    carat = Variable(
        "carat",
        Kind.REAL,
        transform=Transform(shift=2.0, scale=0.5),
        resolution=0.01,
        echoes=levels,
        echo_counts=(2,) * len(levels),
        grows_from=grows_from,
    )
    model = tiny_made([carat, Variable("k", Kind.BINARY, 2)])
    assert check_samples(model, generator).passed
    component = model.component(0)
    raw = model.sample(4000, generator=generator, component=0)
    assert evidence_against(component, component.groups.encode(raw), generator) > 20
