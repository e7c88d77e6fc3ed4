"""Draws with as many ones as rows of train, against sums over all rows."""

from dataclasses import replace

import pytest
import torch
from builders import all_binary, tiny_made
from experiment_cases import evaluate_run, make_settings, read_results
from training_cases import make_case

from made_exp.experiments.experiment import run
from made_exp.model.draw_lengths import LARGEST, TOLERANCE, has_lengths, match_lengths
from made_exp.runs.checkpoints import load_checkpoint, save_checkpoint
from made_exp.variables.variable import Kind, Variable, binary_variables

NUM_DIMS = 6


def mean_lengths(model):
    """Exact mean number of ones (K,) of the rows of each class."""
    x, count = all_binary(NUM_DIMS), max(1, model.num_latent)
    weights = model.mixture.log_weights().softmax(0).view(-1, count)
    weights = weights / weights.sum(0)
    means = torch.zeros(count, dtype=torch.float64)
    for index in range(model.num_orderings):
        probs = model.component(index).log_prob(x.double()).exp()
        means[index % count] += weights[index // count, index % count] * (probs @ x.sum(1).double())
    return means


def drifting(num_classes):
    """Two networks of uneven weights that draw too short, and rows of train."""
    model = tiny_made(
        binary_variables(NUM_DIMS),
        (8, 6),
        ordering="ensemble",
        schedule_options={"num_orderings": 2},
        length_classes=num_classes,
        fits_weights=True,
        direct_connections=True,
    ).double()
    train = (torch.rand(400, NUM_DIMS, generator=torch.Generator().manual_seed(1)) < 0.45).long()
    model.initialise_bias(train)
    if num_classes:
        model.mixture.set_shares(model.find_classes(train))
    log_weights = torch.arange(model.num_orderings) // max(1, num_classes)
    model.mixture._log_weights += log_weights * 0.7
    for network in model.members:
        for weight in network.weights():
            weight.data *= 0.3
        network.output_bias.data -= 0.3
    return model, train


@pytest.mark.parametrize("num_classes", [0, 3])
def test_draws_have_as_many_ones_as_the_rows_of_their_class(num_classes):
    model, train = drifting(num_classes)
    labels = torch.zeros(len(train)).long() if not num_classes else model.labels(train)
    lengths = train.sum(1).double()
    wanted = torch.stack([lengths[labels == k].mean() for k in range(max(1, num_classes))])
    before = mean_lengths(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    shift = match_lengths(model, train, torch.Generator().manual_seed(0))
    error = NUM_DIMS**0.5 / 2 / (4096 / len(wanted)) ** 0.5  # of the means of as many draws
    error += TOLERANCE * float(wanted.max())
    assert ((wanted - before).abs() > 6 * error).any()
    assert ((mean_lengths(model) - wanted).abs() < 4 * error).all()
    assert (shift.abs() < 3 * LARGEST).all()
    changed = {k for k, value in model.state_dict().items() if not torch.equal(value, weights[k])}
    own = "context.2.weight" if num_classes else "output_bias"
    assert changed == {f"networks.{number}.{own}" for number in range(2)}
    for name in changed:  # all columns by the same
        by = model.state_dict()[name] - weights[name]
        torch.testing.assert_close(by, shift.expand_as(by))
    assert float(model.log_prob(all_binary(NUM_DIMS)).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_draws_that_are_long_enough_change_nothing():
    model, train = drifting(0)
    match_lengths(model, train, torch.Generator().manual_seed(0))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    assert match_lengths(model, train, torch.Generator().manual_seed(0)) == 0
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_class_without_rows_stays_as_it_is():
    model, train = drifting(3)
    model.length_edges.copy_(torch.tensor([2.0, 2.0]))  # none of the second
    shift = match_lengths(model, train, torch.Generator().manual_seed(0))
    assert shift[1] == 0
    assert shift[0] != 0
    assert shift[2] != 0


def test_only_rows_of_ones_and_zeros_that_networks_draw_alone_have_lengths():
    assert has_lengths(tiny_made(binary_variables(3), (4,)))
    assert not has_lengths(tiny_made([Variable("a", Kind.CATEGORICAL, 3)] * 2, (4,)))
    assert not has_lengths(tiny_made(binary_variables(3), (4,), ordering="agnostic"))
    assert not has_lengths(tiny_made(binary_variables(3), (4,), num_classes=2))


def test_the_best_checkpoint_is_changed_once(tmp_path):
    trainer = make_case(tmp_path)
    trainer.train()
    trainer.keeper.restore_best()
    bias, calls = trainer.learner.members[0].network.output_bias, []

    def change():
        calls.append(bias.detach().clone())
        bias.data += 1

    for _ in range(2):  # the second is that of a run which was killed after the first
        trainer.keeper.restore_best()
        trainer.keeper.amend_best("raised", change)
    torch.testing.assert_close(bias.detach(), calls[0] + 1)
    best = load_checkpoint(trainer.keeper.run.best)
    assert len(calls) == 1
    assert best["raised"]
    torch.testing.assert_close(best["model"]["networks.0.output_bias"], calls[0] + 1)


def test_a_run_scores_what_it_keeps(tmp_path):
    settings = make_settings(
        tmp_path,
        ordering={"name": "ensemble", "num_orderings": 2},
        model={"name": "made", "hidden_sizes": [8], "length_classes": 2},
        trainer={"epochs": 2, "match_lengths": True},
    )
    run(settings, tmp_path / "run")
    checkpoints = tmp_path / "run/checkpoints"
    best = load_checkpoint(checkpoints / "best.pt")
    trained = load_checkpoint(checkpoints / "best.previous.pt")
    name = "networks.0.context.1.weight"
    assert best["matched_lengths"]
    assert not torch.equal(best["model"][name], trained["model"][name])
    results = read_results(tmp_path / "run")
    again = evaluate_run(tmp_path / "run", split="test")
    assert again["nll"] == pytest.approx(results["test"]["nll"], abs=1e-6)
    null = {**best["config"], "model": {**best["config"]["model"], "length_classes": None}}
    save_checkpoint(tmp_path / "null.pt", {**best, "config": null})  # null has been another number
    assert evaluate_run(tmp_path / "null.pt", split="test")["nll"] == again["nll"]
    (tmp_path / "run/results.json").unlink()  # killed before the end was written
    (tmp_path / "run/status.json").unlink()
    run(replace(settings, resume=True), tmp_path / "run")
    assert read_results(tmp_path / "run") == results
