"""Faults that were found in published implementations of MADE, one test for each."""

import itertools

import numpy as np
import pytest
import torch
from builders import all_binary, load_dataset, tiny_made
from training_cases import make_case

from made_exp.masks.connectivity import connectivity, reachable
from made_exp.masks.mask_set import visibility
from made_exp.masks.schedule import MaskSchedule
from made_exp.model.evaluation import evaluate
from made_exp.training.batches import Batches
from made_exp.variables.outputs import Conditionals
from made_exp.variables.variable import binary_variables


def agnostic(num_orderings, **options):
    return tiny_made(
        ordering="agnostic", schedule_options={"num_orderings": num_orderings}, **options
    )


def test_an_ensemble_averages_probabilities_not_logits(device, dtype):
    model = agnostic(8).to(device, dtype)
    x = all_binary(8).to(device)
    params = sum(model.component(index).conditionals(x).params for index in range(8)) / 8
    wrong = Conditionals(model.groups, params).log_prob(x).sum(1).exp().sum().item()
    assert abs(wrong - 1) > 1e-2  # averaged logits are no distribution
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_the_test_split_is_not_the_validation_split(tmp_path):
    rows = all_binary(9).numpy().astype("uint8")  # 512 different examples
    np.savez(tmp_path / "table.npz", train=rows)
    dataset = load_dataset("npz", seed=0, data_dir=tmp_path, path=str(tmp_path / "table.npz"))
    splits = [{bytes(x.tolist()) for x in split} for split in (dataset.train, dataset.valid)]
    splits.append({bytes(x.tolist()) for x in dataset.test})
    assert all(splits)
    assert sum(len(split) for split in splits) == len(set.union(*splits)) == 512


def test_no_output_sees_its_own_input(device, dtype):
    for direct, sizes in itertools.product((False, True), [(12,), (12, 12), ()]):
        model = tiny_made(hidden_sizes=sizes, direct_connections=direct or not sizes)
        model = model.to(device, dtype)
        assert not reachable(model.members[0].schedule.mask_set(0)).diagonal().any()
        x = torch.rand(8, device=device, dtype=dtype)
        jacobian = torch.autograd.functional.jacobian(
            lambda values, model=model: model.members[0](values[None])[0], x
        )
        assert torch.equal(jacobian.diagonal(), torch.zeros_like(x))


@pytest.mark.parametrize("ordering", ["natural", "reversed", "random", "agnostic"])
def test_masks_and_sampler_agree_about_the_ordering(ordering, device, dtype, generator):
    """E[-log p(x)] over samples is the entropy, if and only if samples and scores agree."""
    model = tiny_made(ordering=ordering, seed=3, schedule_options={"num_orderings": 2})
    model = model.to(device, dtype)
    log_probs = model.log_prob(all_binary(8).to(device)).double()
    entropy = -(log_probs.exp() * log_probs).sum()
    scored = -model.log_prob(model.sample(20_000, generator=generator)).double()
    assert abs(scored.mean() - entropy) < 4 * scored.std() / 20_000**0.5


def test_evaluation_does_not_mask_the_weights_away(device, dtype):
    model = agnostic(32).to(device, dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, all_binary(8).to(device))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_sampler_draws_each_variable_once(device, dtype, generator):
    """x1 copies x0, a fair coin: with noise drawn afresh in each pass they would not agree."""
    model = tiny_made(binary_variables(2), (), direct_connections=True, ordering="natural")
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    state["networks.0.direct.weight"][1, 0] = 12.0
    state["networks.0.output_bias"][1] = -6.0
    model.load_state_dict(state)
    samples = model.to(device, dtype).sample(4000, generator=generator)
    assert torch.corrcoef(samples.T)[0, 1] > 0.98


def test_context_reaches_the_first_variable(device, dtype):
    model = tiny_made(num_classes=2).to(device, dtype)
    first = int(model.component(0).masks.ordering[0])
    x = torch.zeros(2, 8, device=device)
    context = torch.tensor([0, 1], device=device)
    params = model.component(0).conditionals(x, context).params[:, first]
    assert params[0] != params[1]


def test_a_narrow_layer_is_reported_not_silent_and_not_refused(device, dtype):
    model = tiny_made(binary_variables(10), (4,)).to(device, dtype)
    report = connectivity(model.members[0].schedule.mask_set(0))
    assert report.lost_pairs > 0
    assert "hidden layer 1 (4 units)" in report.warnings()[0]
    assert model.log_prob(all_binary(10).to(device)).exp().sum().item() == pytest.approx(
        1, abs=1e-4
    )
    wide_data = tiny_made(binary_variables(784), (500,))  # fewer units than variables
    assert torch.isfinite(wide_data.log_prob(torch.zeros(1, 784)))


def test_evaluation_does_not_advance_the_mask_counter(device, dtype):
    model = agnostic(5).to(device, dtype)
    indices = [model.index_at(step) for step in range(11)]
    assert indices == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]  # 5 mask sets are 5, not 6
    evaluate(model, all_binary(8).to(device))
    assert [model.index_at(step) for step in range(11)] == indices


def test_training_data_are_shuffled_anew_each_epoch(device):
    batches = Batches(torch.zeros(100, 3), 10, seed=0, device=device)
    first, second = batches.order(0), batches.order(1)
    assert sorted(first.flatten().tolist()) == list(range(100))
    assert not torch.equal(first.flatten().cpu(), torch.arange(100))
    assert not torch.equal(first, second)
    assert torch.equal(first, batches.order(0))


def test_dead_units_do_not_hide_a_leak(device, dtype):
    """With all ReLUs dead a Jacobian is zero whatever the masks; their product is not."""
    leaky = visibility(torch.arange(1, 9), torch.arange(1, 9))  # >= where > is right
    dead = torch.zeros(8, 8, dtype=dtype)
    x = torch.rand(8, dtype=dtype)
    jacobian = torch.autograd.functional.jacobian(
        lambda values: (leaky.to(dtype) * dead) @ values.clamp(max=-1).relu(), x
    )
    assert torch.equal(jacobian, torch.zeros_like(jacobian))
    assert leaky.diagonal().all()
    masks = MaskSchedule(tuple(range(8)), (20,)).mask_set(0)
    assert not reachable(masks).diagonal().any()


def test_32_masks_are_32():
    model = agnostic(32)
    indices = [model.index_at(step) for step in range(100)]
    assert indices == [step % 32 for step in range(100)]
    orderings = {tuple(model.at_step(step).masks.ordering.tolist()) for step in range(100)}
    assert len(orderings) == 32


def test_the_steps_of_the_optimizer_are_saved(tmp_path):
    """Adam's step counter and moments, without which the first steps after a resume are wrong."""
    trainer = make_case(tmp_path / "run", optimizer="adam", trainer={"epochs": 2})
    trainer.train()
    again = make_case(tmp_path / "run", optimizer="adam", trainer={"epochs": 2})
    again.keeper.restore()
    for case in (trainer, again):
        (member,) = case.learner.members
        states = [member.optimizer.state[p] for p in member.network.parameters()]
        assert {int(state["step"]) for state in states} == {trainer.state.step} == {6}
        assert all(state["exp_avg"].any() for state in states)
