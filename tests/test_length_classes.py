"""Rows by their number of ones: a latent class that comes first, against sums over all inputs."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from builders import all_binary, tiny_made
from experiment_cases import make_settings
from test_brute_force import chi_square_is_likely, indices_of
from test_probability import schema_for

from made_exp import load_run
from made_exp.density.probability import probability
from made_exp.density.program import LogProbProgram
from made_exp.experiments.experiment import run
from made_exp.experiments.validation import Validation
from made_exp.model.lengths import class_log_odds, length_edges, length_labels, num_length_classes
from made_exp.training.sharing import all_mine
from made_exp.variables.mixing import fit_log_weights
from made_exp.variables.variable import Kind, Variable, binary_variables

NUM_DIMS, NUM_CLASSES = 5, 3
COUNTS = torch.tensor([5, 0, 3])  # a class may be empty


@pytest.fixture(params=["natural", "ensemble"])
def model(request):
    """A model in float64 whose mixture has uneven weights."""
    options = {"num_orderings": 2} if request.param == "ensemble" else {}
    made = tiny_made(
        binary_variables(NUM_DIMS),
        (8, 6),
        ordering=request.param,
        schedule_options=options,
        length_classes=NUM_CLASSES,
        fits_weights=bool(options),
        direct_connections=True,
    ).double()
    made.mixture._log_weights.copy_(torch.arange(made.num_orderings) // NUM_CLASSES * 0.7)
    made.mixture.set_shares(COUNTS)
    return made


def by_hand(model, x):
    """Log-probabilities (N,) as sums over networks and classes."""
    networks, shares = len(model.members), COUNTS / COUNTS.sum()
    weights = torch.tensor([0.7 * k for k in range(networks)]).softmax(0).double()
    total = torch.zeros(len(x), dtype=torch.float64)
    for number, member in enumerate(model.members):
        for label in (0, 2):
            one_hot = torch.eye(NUM_CLASSES).double()[[label]].expand(len(x), -1)
            params = member(x.double(), None, one_hot)
            log_probs = -torch.nn.functional.softplus((1 - 2 * x.double()) * params).sum(1)
            total += weights[number] * shares[label] * log_probs.exp()
    return total.log()


def test_a_likelihood_is_the_sum_over_networks_and_classes(model):
    x = all_binary(NUM_DIMS)
    torch.testing.assert_close(model.log_prob(x), by_hand(model, x))
    assert float(model.log_prob(x).exp().sum()) == pytest.approx(1, abs=1e-12)
    assert model.num_classes == 0
    with pytest.raises(ValueError, match="built without classes"):
        model.log_prob(x, torch.zeros(len(x)).long())


def test_draws_completions_and_answers_are_of_that_distribution(model, generator):
    x = all_binary(NUM_DIMS)
    joint = model.log_prob(x).exp()
    drawn = indices_of(model.sample(4000, generator=generator).long(), x)
    assert chi_square_is_likely(torch.bincount(drawn, minlength=len(x)), joint)
    if len(model.members) > 1:
        return  # each network completes what its own order has last
    observed = torch.arange(NUM_DIMS) < 2
    agrees = (x[:, :2] == torch.tensor([1, 0])).all(1)
    exact = joint * agrees / joint[agrees].sum()
    found = model.completion_log_prob(x[agrees].double(), observed)
    torch.testing.assert_close(found.exp(), exact[agrees])
    row = torch.tensor([1.0, 0, 0, 0, 0]).expand(4000, -1)
    rows = model.complete(row, observed, generator=generator).long()
    assert chi_square_is_likely(torch.bincount(indices_of(rows, x), minlength=len(x)), exact)
    variables = tuple(Variable(f"v{d}", Kind.BINARY, 2) for d in range(NUM_DIMS))
    answer = probability(model, schema_for(variables), "v1 = 1 or v4 = 0", "v0 = 1")
    inside, known = (x[:, 1] == 1) | (x[:, 4] == 0), x[:, 0] == 1
    assert answer.value == pytest.approx(float(joint[inside & known].sum() / joint[known].sum()))


def test_a_program_computes_the_same(model):
    x = all_binary(NUM_DIMS)
    torch.testing.assert_close(LogProbProgram(model)(x.double()), model.log_prob(x))


def test_weights_are_fitted_to_networks_not_to_classes(model):
    rows = torch.randn(model.num_orderings, 40, dtype=torch.float64)
    shares = (COUNTS / COUNTS.sum()).double().log()
    model.mixture.fit(rows)
    networks = (rows.view(-1, NUM_CLASSES, 40) + shares[:, None]).logsumexp(1)
    expected = fit_log_weights(networks)[:, None] + shares
    torch.testing.assert_close(model.mixture.log_weights(), expected.flatten())


@pytest.mark.parametrize(
    ("lengths", "num_dims", "classes"),
    [
        ((8.23, 270.7), 500, 16),  # book
        ((0.52, 2.22), 64, 8),  # kdd
        ((12.4, 209.0), 69, 0),  # plants: not rare
        ((3.21, 5.1), 135, 0),  # tretail: rows are alike
        ((), 500, 0),
    ],
)
def test_tables_of_rare_words_have_classes_by_default(lengths, num_dims, classes):
    assert num_length_classes(lengths, num_dims) == classes


def test_each_class_is_longer_by_the_same_factor():
    x = (torch.arange(63)[:, None] >= torch.arange(62, -1, -1)).long()  # 1 to 63 ones
    edges = length_edges(x[14:], 3)  # a quarter has 15 to 27
    assert edges.tolist() == [27, 41]  # 28 * (64 / 28) ** 0.5 = 42.3
    assert length_labels(x[14:], edges).bincount().tolist() == [13, 14, 22]
    assert length_edges(x, 1).tolist() == []
    few = length_edges(x[[14, 26, 62]], 5)  # 15, 27 and 63 ones
    assert length_labels(x, few).unique().tolist() == [0, 2, 4]
    assert length_labels(x[[14, 26, 62]], few).tolist() == [0, 2, 4]
    alike = torch.eye(6)  # all of one length
    assert length_labels(alike, length_edges(alike, 4)).tolist() == [0] * 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": [Variable("a", Kind.CATEGORICAL, 3)] * 2}, "but 'a' is categorical"),
        ({"ordering": "agnostic"}, "networks of one order each, not for ordering=agnostic"),
        ({"num_classes": 2}, "data without class labels, these have 2"),
    ],
)
def test_what_has_no_classes_is_refused(options, message):
    with pytest.raises(ValueError, match=rf"model\.length_classes=4 is for.*{message}"):
        tiny_made(length_classes=4, **options)


def trained(folder, **trainer):
    folder.mkdir()
    settings = make_settings(
        folder,
        ordering={"name": "ensemble", "num_orderings": 3},
        model={"name": "made", "hidden_sizes": [12, 8], "dropout": 0.1, "length_classes": 3},
        trainer={"epochs": 6, "weight_averaging": 0.9, "sparsity": 1.0, **trainer},
    )
    run(settings, folder / "run")
    return json.loads((folder / "run/results.json").read_text()), load_run(folder / "run")


def test_a_run_has_the_same_numbers_in_any_number_of_processes(tmp_path):
    results, density = trained(tmp_path / "one", processes="1")
    twice, _ = trained(tmp_path / "two", processes="2")
    assert twice["test"] == results["test"]
    assert all(check["passed"] for check in results["checks"].values())
    x = all_binary(density.num_dims) if density.num_dims < 12 else density.sample(50, seed=0)
    assert density.log_prob(x).isfinite().all()
    lines = (tmp_path / "one/run/metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert last["valid_nll"] < first["valid_nll"]
    # Trained on what is known of a row and of its class, scored by the row alone.
    assert last["train_nll"] > last["valid_nll"] - 0.2 * math.log(2) * density.num_dims


def test_validation_scores_a_row_by_its_own_class_for_the_price_of_one(model, tmp_path):
    settings = make_settings(tmp_path, ordering={"name": "ensemble"})
    model.length_edges.copy_(torch.tensor([1.0, 3.0]))
    x, shares = all_binary(NUM_DIMS).repeat(3, 1), (COUNTS + 1).double() / 11  # scored once
    model.mixture.set_shares(COUNTS + 1)
    dataset = SimpleNamespace(valid=x, valid_context=None)
    validation = Validation(model, dataset, settings, fits=False)
    found, networks = validation(all_mine(len(model.members))), len(model.members)
    assert validation.num_scored == networks * len(x)
    labels = (x.sum(1) > 1).long() + (x.sum(1) > 3)
    one_hot, weights = torch.eye(NUM_CLASSES).double()[labels], torch.arange(networks) * 0.7
    total = torch.zeros(len(x)).double()
    for weight, member in zip(weights.softmax(0), model.members, strict=True):
        log_odds = (1 - 2 * x.double()) * member(x.double(), None, one_hot)
        total += weight * (-torch.nn.functional.softplus(log_odds).sum(1)).exp()
    torch.testing.assert_close(found.log_probs, (total * shares[labels]).log())
    assert (found.log_probs < model.log_prob(x)).all()  # a bound of the sum over classes


def test_rows_longer_than_any_of_train_are_of_a_class_that_train_has():
    train = torch.cat([torch.zeros(2, 6), torch.eye(6)])
    edges = length_edges(train, 4)
    assert length_labels(torch.ones(1, 6), edges) == length_labels(train, edges).max()


def test_networks_start_at_the_marginals_of_each_class():
    train = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 0]])
    labels = torch.tensor([0, 0, 1, 1])
    found = class_log_odds(train, labels, 3)
    shares = torch.tensor([3.5, 3.5, 0.5]).double() / 5
    odds = shares / (1 - shares)
    for k, (count, ones) in enumerate([(2, [1, 1, 0]), (2, [2, 2, 0]), (0, [0, 0, 0])]):
        longer = (sum(ones) + shares.sum()) / (count + 1) / shares.sum()
        prior = longer * odds / (1 + longer * odds)
        own = (torch.tensor(ones) + 20 * prior) / (count + 20)
        torch.testing.assert_close(found[k], (own.logit() - shares.logit()).float())
    torch.testing.assert_close(found[2], torch.zeros(3))  # nothing is known of an empty class
    made = tiny_made(binary_variables(3), (4,), length_classes=2)
    counts = made.find_classes(train)
    labels = made.labels(train)
    assert counts.tolist() == labels.bincount(minlength=2).tolist()
    for member in made.members:
        assert torch.equal(member.context[-1].weight.T, class_log_odds(train, labels, 2))


def test_draws_of_a_rare_class_are_as_long_as_its_rows(generator):
    rows = torch.rand(2000, 40, generator=generator)
    train = (rows < torch.where(torch.arange(2000) < 40, 0.6, 0.05)[:, None]).long()
    made = tiny_made(binary_variables(40), (8,), length_classes=8)
    made.initialise_bias(train)
    made.mixture.set_shares(made.find_classes(train))
    for weight in made.members[0].weights():
        weight.data.zero_()
    lengths = made.sample(2000, generator=generator).sum(1)
    assert float(lengths.mean()) == pytest.approx(float(train.sum(1).double().mean()), rel=0.1)
    assert float(lengths.std()) == pytest.approx(float(train.sum(1).double().std()), rel=0.2)
