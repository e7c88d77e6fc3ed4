"""What a model learns where cells are missing for a reason, of which the truth is known."""

import pytest
import torch
from builders import build_made, make_schedules
from test_probability import schema_for

from made_exp.density.probability import probability
from made_exp.training.step import NegativeLogLikelihood
from made_exp.variables.variable import Kind, Variable

VARIABLES = (
    Variable("amount", Kind.CATEGORICAL, 3),
    Variable("paid", Kind.BINARY, 2),
    Variable("late", Kind.BINARY, 2),
    Variable("note", Kind.BINARY, 2),
)
COUNT = 4000
AMOUNTS = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=torch.float64)  # given paid


def simulated(generator):
    """Rows in which `amount` is missing from 90 % of those not paid and 10 % of those paid."""
    paid = (torch.rand(COUNT, generator=generator) < 0.5).long()
    amount = torch.multinomial(AMOUNTS[paid], 1, generator=generator)[:, 0]
    late = (torch.rand(COUNT, generator=generator) < 0.2 + 0.5 * paid).long()
    note = (torch.rand(COUNT, generator=generator) < 0.1 + 0.3 * amount).long()
    x = torch.stack([amount, paid, late, note], 1).double()
    holes = torch.rand(COUNT, 4, generator=generator)
    x[holes[:, 0] < 0.9 - 0.8 * paid, 0] = torch.nan
    x[holes[:, 3] < 0.1, 3] = torch.nan
    return x


def trained(x, generator, missing=(), variables=VARIABLES):
    count = len(variables)
    schedules = make_schedules("agnostic", count, (64,), num_orderings=8, missing=missing)
    model = build_made(variables, schedules, generator=generator).double()
    model.initialise_bias(x)
    x = model.groups.encode(x)
    loss = NegativeLogLikelihood(model, has_missing=bool(missing))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for step in range(400):
        rows = torch.randint(len(x), (150,), generator=generator)
        optimizer.zero_grad()
        loss(x[rows], model.at_step(step), None).backward()
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def case():
    generator = torch.Generator().manual_seed(0)
    x = simulated(generator)
    missing = x.isnan().double().mean(0).tolist()
    return x, trained(x, generator, missing)


def marginal(model, variable):
    """Probabilities of the values of one variable, exactly: all others are missing."""
    count = VARIABLES[variable].num_values
    x = torch.full((count, 4), torch.nan, dtype=torch.float64)
    x[:, variable] = torch.arange(count)
    return model.log_prob(x).exp()


def test_marginals_are_those_of_all_rows(case):
    x, model = case
    samples = model.sample(20_000, generator=torch.Generator().manual_seed(1))
    for variable, truth in ((1, x[:, 1].mean()), (2, x[:, 2].mean())):
        assert marginal(model, variable)[1] == pytest.approx(float(truth), abs=0.015)
        assert samples[:, variable].mean() == pytest.approx(float(truth), abs=0.025)
    # Of what is seen of the amounts most were paid: the frequencies in the table mislead.
    seen = torch.bincount(x[~x[:, 0].isnan(), 0].long()) / (~x[:, 0].isnan()).sum()
    truth = AMOUNTS.mean(0)
    assert (seen - truth).abs().max() > 0.15
    drawn = torch.bincount(samples[:, 0].long()) / len(samples)
    assert (drawn - truth).abs().max() < 0.06  # 200 of 2000 unpaid rows have an amount


def test_questions_are_of_all_rows_and_not_of_those_that_show_what_is_asked(case):
    _, model = case
    samples = model.sample(20_000, generator=torch.Generator().manual_seed(4))
    amount, paid = samples[:, 0], samples[:, 1].bool()
    is_most = amount == 2
    for event, condition, drawn, truth in (
        ("amount = 2", None, is_most, 0.35),
        ("amount = 2", "paid = 0", is_most[~paid], 0.1),
        ("amount = 2", "paid = 1", is_most[paid], 0.6),
        ("paid = 1", "amount = 2", paid[is_most], 0.3 / 0.35),
        ("not note = 1 or amount = 0", None, (samples[:, 3] == 0) | (amount == 0), 0.655),
    ):
        found = probability(model, schema_for(VARIABLES), event, condition)
        share = drawn.double().mean()
        stderr = (share * (1 - share) / len(drawn)).sqrt()
        assert found.is_exact
        assert abs(found.value - share) < 3 * stderr
        assert found.value == pytest.approx(truth, abs=0.05)


def test_conditionals_are_those_of_complete_rows(case):
    _, model = case
    samples = model.sample(20_000, generator=torch.Generator().manual_seed(2))
    for paid in (0, 1):
        own = samples[samples[:, 1] == paid]
        drawn = torch.bincount(own[:, 0].long(), minlength=3) / len(own)
        assert (drawn - AMOUNTS[paid]).abs().max() < 0.1 - 0.06 * paid


def test_only_what_has_its_predecessors_is_learned(generator):
    """By definition: a term counts unless a variable that is missing more often is missing."""
    x = simulated(generator)[:50]
    schedules = make_schedules("agnostic", 4, (9,), num_orderings=6, missing=(0.5, 0, 0, 0.1))
    model = build_made(VARIABLES, schedules, generator=generator).double()
    model.requires_grad_(False)
    ranks = schedules[0].missing_ranks.tolist()
    dropped = 0
    for step in range(12):
        component = model.at_step(step)
        ordering = component.masks.ordering.tolist()
        total = 0.0
        for row in x:
            known = ~row.isnan()
            alone = component.observed_first(known).conditionals(row[None], None, known[None])
            log_probs = alone.log_prob(row[None])[0]
            for place, variable in enumerate(ordering):
                before = [d for d in ordering[:place] if row[d].isnan()]
                counts = all(ranks[d] <= ranks[variable] for d in before)
                total += float(log_probs[variable]) * counts
                dropped += bool(known[variable]) and not counts
        loss = NegativeLogLikelihood(model, has_missing=True)(x, component, None)
        assert float(loss) == pytest.approx(-total / len(x))
        if step < 6:  # the orderings that are scored drop nothing
            assert dropped == 0
            assert torch.equal(component.masks.ordering, model.component(step).masks.ordering)
    assert dropped > 0


def test_orderings_are_trained_as_scored_and_as_drawn_in_turn():
    schedules = make_schedules("agnostic", 4, (9,), num_orderings=3, missing=(0.5, 0, 0, 0.1))
    model = build_made(VARIABLES, schedules)
    for step in range(12):
        masks, index = model.at_step(step).masks, model.index_at(step)
        is_scored = step // 3 % 2 == 0
        expected = schedules[0].scored_set(index) if is_scored else schedules[0].mask_set(index)
        assert masks.index == index
        assert torch.equal(masks.ordering, expected.ordering)


def test_missing_cells_that_are_values_come_as_often_as_in_the_table():
    """A cell that is missing because of what it would hold: no other column tells why."""
    generator = torch.Generator().manual_seed(3)
    paid = (torch.rand(COUNT, generator=generator) < 0.4).double()
    amount = torch.multinomial(AMOUNTS[paid.long()], 1, generator=generator)[:, 0].double()
    weight = torch.randn(COUNT, generator=generator, dtype=torch.float64) + paid
    amount[(amount == 2) & (torch.rand(COUNT, generator=generator) < 0.8)] = torch.nan
    weight[(weight > 1) & (torch.rand(COUNT, generator=generator) < 0.9)] = torch.nan
    x = torch.stack([amount, weight, paid], 1)
    variables = (
        Variable("amount", Kind.CATEGORICAL, 3, may_be_missing=True),
        Variable("weight", Kind.REAL, may_be_missing=True),
        Variable("paid", Kind.BINARY, 2),
    )
    model = trained(x, generator, variables=variables)
    samples = model.sample(20_000, generator=generator)

    def frequencies(rows):
        """How often what is missing, seen and paid comes together, and each amount."""
        missing, paid = rows[:, :2].isnan().long(), rows[:, 2].long()
        pattern = torch.bincount(4 * missing[:, 0] + 2 * missing[:, 1] + paid, minlength=8)
        amounts = torch.bincount(rows[:, 0].nan_to_num(3).long(), minlength=4)
        return torch.cat([pattern, amounts]) / len(rows)

    # Both are counts: of 4000 rows, and of 20 000.
    assert (frequencies(samples) - frequencies(x)).abs().max() < 0.025
    seen = [rows[~rows[:, 1].isnan(), 1] for rows in (samples, x)]
    assert abs(seen[0].mean() - seen[1].mean()) < 0.08
    assert frequencies(x)[2:4].sum() > 0.15
