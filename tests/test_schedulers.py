"""Factors of the learning rate by the step."""

import pytest

from made_exp.settings.training import (
    AnnealSettings,
    ConstantSettings,
    CosineSettings,
    PlateauSettings,
    TrainerSettings,
)
from made_exp.training.schedulers import make_scheduler


def test_constant_rises_to_the_base_rate():
    factors = [
        make_scheduler(ConstantSettings(warmup_steps=4), lr=1, total_steps=9).factor(s)
        for s in range(6)
    ]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_cosine_falls_to_its_final_fraction():
    made = make_scheduler(CosineSettings(final_fraction=0.1), lr=1, total_steps=100)
    assert made.factor(0) == 1
    assert made.factor(50) == pytest.approx(0.55)
    assert made.factor(100) == made.factor(1000) == pytest.approx(0.1)
    warm = make_scheduler(CosineSettings(warmup_steps=10), lr=1, total_steps=100)
    assert warm.factor(4) == pytest.approx(5 / 11)
    assert warm.factor(10) == 1
    assert warm.factor(100) == pytest.approx(0)


def test_plateau_cuts_after_its_patience():
    made = make_scheduler(PlateauSettings(patience=1, min_lr=0.03), lr=0.1, total_steps=1)
    factors = []
    for nll in (3, 2, 2, 2, 1, 2, 2, 2, 2):
        made.observe(nll, 1)
        factors.append(made.factor(0))
    assert factors == pytest.approx([1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3])
    again = make_scheduler(PlateauSettings(), lr=0.1, total_steps=1)
    again.load_state_dict(made.state_dict())
    assert again.factor(0) == pytest.approx(0.3)


def test_anneal_goes_back_to_the_best_and_falls_over_a_share_of_its_steps():
    made = make_scheduler(AnnealSettings(patience=2, fraction=0.5), lr=1, total_steps=10_000)
    went_back = [
        made.observe(nll, step) for nll, step in ((3, 0), (2, 400), (2.1, 500), (2.2, 600))
    ]
    assert went_back == [False, False, False, True]
    assert made.factor(600) == 1
    assert made.factor(700) == pytest.approx(0.5)  # half of the 200 steps: 0.5 x 400
    assert made.factor(800) == pytest.approx(0)
    assert not made.is_over(799)
    assert made.is_over(800)
    assert made.observe(1.0, 650) is False  # annealing begins once
    again = make_scheduler(AnnealSettings(patience=2, fraction=0.5), lr=1, total_steps=10_000)
    again.load_state_dict(made.state_dict())
    assert [again.factor(s) for s in range(600, 900)] == [made.factor(s) for s in range(600, 900)]


def test_anneal_begins_where_twice_the_steps_gain_less_than_the_noise_of_valid():
    settings = AnnealSettings(patience=9, least_gain=0.1, warmup_steps=100)
    made = make_scheduler(settings, lr=1, total_steps=10_000)
    for nll, step in ((3, 0), (2.5, 100), (2.0, 200), (1.9, 300)):
        assert (
            made.observe(nll, step, stderr=0.5) is False
        )  # nothing before 200 was at the full rate
    assert made.observe(1.9, 400, stderr=0.5) is False  # .1 since step 200
    again = make_scheduler(settings, lr=1, total_steps=10_000)
    again.load_state_dict(made.state_dict())
    assert again.observe(1.84, 600, stderr=0.5) is False  # .06 since step 300
    assert again.factor(601) == 1
    assert (
        again.observe(1.85, 1200, stderr=0.5) is True
    )  # nothing since step 600, whose weights it takes
    assert again.factor(1200) == 1 > again.factor(1201)


@pytest.mark.parametrize("warmup", [0, 100, 4000])
def test_a_budget_bends_a_cosine_only_where_it_binds(warmup):
    """Else two runs of a preset would never have the same bits."""
    cosine = make_scheduler(CosineSettings(warmup_steps=warmup), lr=1, total_steps=10_000)
    for step in range(0, 10_000, 97):
        share = step / 10_000
        for elapsed in (0.0, share / 2, share, share + 0.047 * (1 - share)):
            assert cosine.factor(step, elapsed) == cosine.factor(step)
    late = [cosine.factor(5000, elapsed) for elapsed in (0.5, 0.7, 0.8, 1.0)]
    assert late == sorted(late, reverse=True)
    assert late[0] > late[1]
    assert late[-1] == cosine.factor(10_000)


def test_the_rise_of_anneal_takes_at_most_a_fifth_of_a_budget():
    anneal = make_scheduler(AnnealSettings(warmup_steps=99), lr=1, total_steps=10_000)
    assert anneal.factor(49) == anneal.factor(49, elapsed=0.05) == 0.5
    assert anneal.factor(9, elapsed=0.15) == pytest.approx(0.75)
    assert anneal.factor(9, elapsed=0.2) == anneal.factor(99) == 1
    settings = AnnealSettings(warmup_steps=1000, fraction=0.5)
    few = make_scheduler(settings, lr=1, total_steps=1500)
    assert [few.factor(s) for s in (0, 150, 300, 1000)] == pytest.approx([1 / 1001, 0.5, 1, 1])
    assert [few.factor(s) for s in (1250, 1500)] == pytest.approx([0.5, 0])  # the last third


def test_anneal_goes_back_to_the_best_where_a_budget_ends_it_too():
    late = make_scheduler(AnnealSettings(patience=9, fraction=0.25), lr=1, total_steps=10_000)
    assert late.observe(2.0, 400, elapsed=0.5) is False
    assert late.observe(2.1, 500, elapsed=0.7) is False
    assert late.observe(2.2, 600, elapsed=0.85) is True  # a fifth is left from 0.8 on
    assert late.factor(600, 0.85) == 1
    assert late.factor(650, 0.85) == pytest.approx(0.5)  # over 100 steps: 0.25 x 400
    assert late.is_over(700, 0.9)
    best = make_scheduler(AnnealSettings(patience=9, fraction=0.25), lr=1, total_steps=10_000)
    assert best.observe(2.0, 600, elapsed=0.85) is False  # it is the best itself
    assert best.factor(600, 0.925) == pytest.approx(0.5)


def test_schedules_end_with_the_last_step_and_with_the_budget_of_time():
    anneal = make_scheduler(AnnealSettings(fraction=0.25), lr=1, total_steps=100)
    assert [anneal.factor(s) for s in (0, 80, 90, 100)] == pytest.approx([1, 1, 0.5, 0])
    assert [anneal.factor(1, e) for e in (0, 0.8, 0.9, 1)] == pytest.approx([1, 1, 0.5, 0])
    assert anneal.is_over(1, 1.0)
    assert anneal.is_over(100)
    cosine = make_scheduler(CosineSettings(), lr=1, total_steps=100)
    assert cosine.factor(1, 0.55 / 1.05) == pytest.approx(0.5)  # half, and half of a twentieth
    assert cosine.factor(75, 0.5) == cosine.factor(75)


def test_values_out_of_range_are_refused():
    for kind, option in [
        (CosineSettings, {"final_fraction": 2}),
        (ConstantSettings, {"warmup_steps": -1}),
        (PlateauSettings, {"factor": 1.0}),
    ]:
        with pytest.raises(ValueError, match=next(iter(option))):
            kind(**option)
    for option in [
        {"epochs": -1},
        {"batch_size": 0},
        {"grad_clip": 0.0},
        {"precision": "fp8"},
        {"weight_averaging": 1.0},
        {"max_minutes": -1.0},
        {"eval_every": 0},
    ]:
        with pytest.raises(ValueError, match=next(iter(option))):
            TrainerSettings(**option)
