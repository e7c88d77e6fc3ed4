"""Networks that start at what one binary column implies of another in every row of train."""

import math

import numpy as np
import pytest
import torch
from builders import all_binary, build_made, make_schedules
from experiment_cases import make_settings, read_results

from made_exp.experiments.experiment import run
from made_exp.model.implications import Implications, start_at_implications
from made_exp.settings.training import AdamWSettings
from made_exp.training.optimizers import make_optimizer
from made_exp.training.regularisation import L1Penalty
from made_exp.variables.variable import Kind, Variable, binary_variables

WIDTHS = (4, 3, 2)
NUM_DIMS = sum(WIDTHS)


def one_hot_rows(num_rows, seed=0):
    """Rows (N, 9) of three independent attributes of 4, 3 and 2 values, in one-hot codes."""
    source = torch.Generator().manual_seed(seed)
    shares = [torch.tensor(p) for p in ([0.4, 0.3, 0.2, 0.1], [0.5, 0.3, 0.2], [0.6, 0.4])]
    codes = [torch.multinomial(p, num_rows, True, generator=source) for p in shares]
    widths = zip(codes, WIDTHS, strict=True)
    return torch.cat([torch.nn.functional.one_hot(c, width) for c, width in widths], 1).double()


def started(rows, ordering="natural", variables=None, **options):
    """A network in float64 that has learnt nothing, started at what `rows` say."""
    num_dims = rows.shape[1]
    model = build_made(
        variables or binary_variables(num_dims),
        make_schedules(ordering, num_dims, [9], **options),
        direct_connections=True,
        implications=True,
        generator=torch.Generator().manual_seed(0),
    ).double()
    model.initialise_bias(rows)
    with torch.no_grad():
        for weight in model.members[0].weights():
            weight.zero_()
    start_at_implications(model, rows)
    return model.eval()


@pytest.mark.parametrize("ordering", ["natural", "reversed", "random"])
def test_a_network_that_has_learnt_nothing_knows_one_hot_codes(ordering):
    """It is the product of the attributes' shares, but for one in about n of what never occurs."""
    rows = one_hot_rows(4000)
    x = all_binary(NUM_DIMS).double()
    with torch.no_grad():
        p = started(rows, ordering).log_prob(x).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    groups = x.split(WIDTHS, 1)
    is_code = torch.stack([group.sum(1) == 1 for group in groups]).all(0)
    assert float(p[~is_code].sum()) < 0.01
    shares = rows.mean(0).split(WIDTHS)
    wanted = [(group * share).sum(1) for group, share in zip(groups, shares, strict=True)]
    product = torch.stack(wanted).prod(0)[is_code]
    torch.testing.assert_close(p[is_code], product, rtol=0.02, atol=1e-5)
    assert float((rows * rows.mean(0)).sum()) > 0  # rows are not all alike


def test_all_four_forms_are_found_and_begin_at_one_in_n():
    """x_1 = x_0, x_2 = 1 - x_0; whichever comes first tells the others."""
    source = torch.Generator().manual_seed(1)
    first = (torch.rand(500, 1, generator=source) < 0.3).double()
    rows = torch.cat([first, first, 1 - first], 1)
    for ordering in ("natural", "reversed", "random"):
        with torch.no_grad():
            nll = -started(rows, ordering).log_prob(rows)
        share = float(first.mean())
        entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
        assert float(nll.mean()) == pytest.approx(entropy, abs=0.02)


def test_columns_that_have_nothing_to_do_with_each_other_imply_nothing():
    """Rare ones too, of which most pairs never meet: 2000 tables and one in e^5 falsely so."""
    source = torch.Generator().manual_seed(2)
    found = 0
    for _ in range(2000):
        shares = torch.rand(6, generator=source) ** 3
        found += (
            Implications((torch.rand(150, 6, generator=source) < shares).double()).num_implied > 0
        )
    assert found <= 2000 * math.exp(-5)


def test_a_literal_that_says_no_more_than_those_chosen_adds_nothing():
    """x_0 implies x_1, and each of them implies that x_2 is 0: x_1 alone is asked."""
    source = torch.Generator().manual_seed(3)
    wide = torch.rand(3000, generator=source) < 0.5
    narrow = wide & (torch.rand(3000, generator=source) < 0.5)
    other = ~wide & (torch.rand(3000, generator=source) < 0.7)
    rows = torch.stack([narrow, wide, other], 1).double()
    weights, biases = Implications(rows).start(torch.ones(3, 3).tril(-1).bool())
    assert weights[2, 0] == 0
    base = biases[2]
    assert float(weights[2, 1]) + base == pytest.approx(-math.log(int(wide.sum()) + 1))
    assert base == pytest.approx(math.log(other.sum() / (~wide & ~other).sum()), abs=0.01)
    # x_1 of x_0, which it contains: 1 where x_0 is, else as often as in the other rows.
    assert float(weights[1, 0]) + biases[1] == pytest.approx(math.log(int(narrow.sum()) + 1))


def test_a_rare_column_of_a_group_is_as_certain_as_the_others_of_it_make_it():
    """One-hot rows of 300, 200, 490 and 10; the last and any one other would hardly ever meet."""
    codes = torch.arange(4).repeat_interleave(torch.tensor([300, 200, 490, 10]))
    rows = torch.nn.functional.one_hot(codes, 4).double()
    weights, biases = Implications(rows).start(torch.ones(4, 4).tril(-1).bool())
    others = {1: {0: 800}, 2: {0: 510, 1: 510}, 3: {0: 990, 1: 990, 2: 990}}
    for d, counts in others.items():
        for first, count in counts.items():
            assert float(weights[d, first]) + biases[d] == pytest.approx(-math.log(count + 1))
    assert biases[1] == pytest.approx(math.log(200.5 / 500.5))
    assert biases[3] == pytest.approx(math.log(10.5 / 0.5))
    assert biases.keys() == others.keys()


@pytest.mark.parametrize(("shared", "is_asked"), [(40, True), (45, False), (50, False)])
def test_a_literal_is_asked_where_more_than_half_of_its_rows_are_open(shared, is_asked):
    """x_0 in 100 rows and x_1 in 90 say that x_2 is 0, which is 1 in 150 others of 400."""
    rows = torch.zeros(400, 3).double()
    rows[:100, 0] = rows[100 - shared : 190 - shared, 1] = rows[250:, 2] = 1
    weights, biases = Implications(rows).start(torch.ones(3, 3).tril(-1).bool())
    assert (float(weights[2, 1]) != 0) == is_asked
    left = 150 - (90 - shared) * is_asked
    assert biases[2] == pytest.approx(math.log(150.5 / (left + 0.5)))
    assert float(weights[2, 0]) + biases[2] == pytest.approx(-math.log(101))


def test_penalties_pull_towards_the_start_and_decay_leaves_it():
    rows = one_hot_rows(1000)
    model = started(rows)
    (member,) = model.members
    centre = member.direct.centre.clone()
    assert float(centre.abs().max()) > 3
    with torch.no_grad():
        member.direct.weight.add_(0.3)
    penalty = L1Penalty(member.weights(), 0.1, member.centres())
    for _ in range(10):
        penalty.shrink(lr=1.0)
    visible = member.direct.stored_layout(torch.ones(NUM_DIMS, NUM_DIMS).double()) != 0
    torch.testing.assert_close(member.direct.weight[visible], centre[visible])
    optimizer = make_optimizer(AdamWSettings(lr=1.0, weight_decay=0.5), model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(member.direct.weight[visible], centre[visible])


@pytest.mark.parametrize("what", ["agnostic", "not binary", "no direct connections"])
def test_what_has_no_such_start_is_left_as_it_was(what):
    rows = one_hot_rows(1000)
    if what == "agnostic":
        model = started(rows, "agnostic")
    elif what == "not binary":
        count = Variable("count", Kind.INTEGER, 9)
        model = started(rows, variables=(*binary_variables(NUM_DIMS - 1), count))
    else:
        model = build_made(
            binary_variables(NUM_DIMS), make_schedules("natural", NUM_DIMS, [9]), implications=True
        )
        start_at_implications(model, rows)
        assert model.members[0].direct is None
        return
    assert model.members[0].direct.centre is None


def test_a_run_is_the_same_in_two_processes_and_better_than_without(tmp_path, monkeypatch):
    monkeypatch.setattr("made_exp.machine.num_cpus", lambda: 2)
    parts = {split: one_hot_rows(200, seed).byte().numpy() for seed, split in enumerate(SPLITS)}
    np.savez(tmp_path / "codes.npz", **parts)
    found = {}
    for processes, implications in ((1, True), (2, True), (1, False)):
        folder = tmp_path / f"{processes}{implications}"
        settings = make_settings(
            tmp_path,
            dataset={"name": "npz", "path": str(tmp_path / "codes.npz")},
            model={"name": "made", "hidden_sizes": [12], "implications": implications},
            ordering={"name": "ensemble", "num_orderings": 3},
            trainer={"processes": processes, "sparsity": 0.5},
        )
        run(settings, folder)
        found[processes, implications] = read_results(folder)["test"]["nll"]
    assert found[1, True] == found[2, True]
    assert found[1, True] < found[1, False] - 0.5


SPLITS = ("train", "valid", "test")
