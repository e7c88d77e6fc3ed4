import pickle
import time
from itertools import pairwise

import pytest
import torch
from builders import tiny_made

from made_exp.masks.connectivity import connectivity, reachable
from made_exp.masks.mask_set import visibility
from made_exp.masks.observed import with_observed_first
from made_exp.masks.schedule import MaskSchedule

HIDDEN_DEGREES = ("spread", "uniform", "random", "by_variable")


def schedule(num_dims=10, hidden_sizes=(16,), **options):
    ordering = tuple(torch.randperm(num_dims, generator=torch.Generator().manual_seed(1)).tolist())
    return MaskSchedule(ordering, hidden_sizes, **options)


def product_of_masks(masks):
    """(D, D) number of paths from inputs (columns) to outputs (rows), the plain way."""
    degrees = [masks.input_degrees, *masks.hidden_degrees, masks.output_degrees]
    paths = torch.eye(masks.num_dims, dtype=torch.float64)
    for below, above in pairwise(degrees):
        paths = visibility(below, above).double() @ paths
    return paths


@pytest.mark.parametrize("hidden_degrees", HIDDEN_DEGREES)
@pytest.mark.parametrize("hidden_sizes", [(16,), (40, 30), (50, 60, 50)])
@pytest.mark.parametrize("resample", ["none", "order", "connectivity", "both"])
def test_product_of_masks_is_strictly_triangular_in_ordering(
    hidden_degrees, hidden_sizes, resample
):
    masks_of = schedule(
        hidden_sizes=hidden_sizes, hidden_degrees=hidden_degrees, resample=resample, num_orderings=5
    )
    for index in range(5 if masks_of.is_resampled else 1):
        masks = masks_of.mask_set(index)
        in_order = product_of_masks(masks)[masks.ordering][:, masks.ordering]
        assert torch.equal(in_order.tril(-1), in_order)
        if hidden_degrees in ("spread", "by_variable"):
            assert (in_order.tril(-1) > 0).sum() == 45  # wide enough: no pair is lost


@pytest.mark.parametrize("hidden_sizes", [(3,), (4, 30), (30, 4), (30, 4, 2), ()])
@pytest.mark.parametrize("hidden_degrees", HIDDEN_DEGREES)
def test_connectivity_equals_the_product_of_masks(hidden_sizes, hidden_degrees):
    masks = schedule(hidden_sizes=hidden_sizes, hidden_degrees=hidden_degrees).mask_set(0)
    paths = product_of_masks(masks) > 0
    assert torch.equal(reachable(masks), paths)
    if hidden_sizes:
        assert connectivity(masks).lost_pairs == 45 - int(paths.sum())
        assert sum(connectivity(masks).lost_by_layer) == connectivity(masks).lost_pairs


def test_orderings_that_are_scored_begin_with_what_is_never_missing():
    missing = (0.3, 0.0, 0.01, 0.0, 0.9, 0.04)
    many = schedule(num_dims=6, missing=missing, resample="both", num_orderings=20)
    assert many.missing_ranks.tolist() == [3, 0, 1, 0, 4, 1]
    orders = set()
    for index in range(20):
        drawn, scored = many.mask_set(index), many.scored_set(index)
        order = scored.ordering.tolist()
        assert [many.missing_ranks[d] for d in order] == [0, 0, 1, 1, 3, 4]
        for pair in ((1, 3), (2, 5)):  # among equals the order is as drawn
            places = [
                [one.tolist().index(d) for d in pair] for one in (drawn.ordering, scored.ordering)
            ]
            assert (places[0][0] < places[0][1]) == (places[1][0] < places[1][1])
        assert scored.hidden_degrees is drawn.hidden_degrees
        orders.add(tuple(order))
    assert len(orders) == 4
    complete = schedule(num_dims=6, resample="both", num_orderings=20)
    assert complete.scored_set(3) is complete.mask_set(3)
    with pytest.raises(ValueError, match="mask set 20 does not exist"):
        many.scored_set(20)


def test_dead_units_equal_those_without_a_path():
    masks = schedule(hidden_sizes=(12, 5, 9), hidden_degrees="uniform", seed=3).mask_set(0)
    degrees = [masks.input_degrees, *masks.hidden_degrees, masks.output_degrees]
    layers = [visibility(below, above).double() for below, above in pairwise(degrees)]
    for layer in range(3):
        below = torch.eye(10, dtype=torch.float64)
        for matrix in layers[: layer + 1]:
            below = matrix @ below
        above = torch.eye(10, dtype=torch.float64)
        for matrix in reversed(layers[layer + 1 :]):
            above = above @ matrix
        dead = (below.sum(1) == 0) | (above.sum(0) == 0)
        assert connectivity(masks).dead_units[layer] == int(dead.sum())


def test_narrow_layer_is_reported_by_name():
    masks = schedule(hidden_sizes=(30, 4)).mask_set(0)
    report = connectivity(masks)
    assert report.lost_by_layer[0] == 0
    assert report.lost_by_layer[1] > 0
    (warning,) = report.warnings()
    assert "hidden layer 2 (4 units)" in warning
    assert not connectivity(masks, direct_connections=True).warnings()


def test_visible_weights_are_counted():
    masks = schedule(num_dims=5, hidden_sizes=(7, 6)).mask_set(0)
    inputs = masks.input_degrees.repeat_interleave(2)
    outputs = masks.output_degrees.repeat_interleave(3)
    first, second = masks.hidden_degrees
    pairs = [(inputs, first), (first, second), (second, outputs), (inputs, outputs)]
    report = connectivity(masks, direct_connections=True, layers=pairs)
    assert report.visible_weights == sum(int(visibility(*pair).sum()) for pair in pairs)
    assert report.num_weights == 10 * 7 + 7 * 6 + 6 * 15 + 10 * 15


def test_hidden_degrees_are_legal_and_sorted_when_fixed():
    for kind in HIDDEN_DEGREES:
        for degrees in (
            schedule(hidden_sizes=(40, 7), hidden_degrees=kind).mask_set(0).hidden_degrees
        ):
            assert degrees.min() >= 1
            assert degrees.max() <= 9
            assert torch.equal(degrees, degrees.sort().values)


def test_mask_sets_are_functions_of_seed_and_index():
    resampled = schedule(resample="both", num_orderings=0, seed=4)
    first = resampled.mask_set(1000)
    copied = pickle.loads(pickle.dumps(resampled))
    again = copied.mask_set(1000)
    assert torch.equal(first.ordering, again.ordering)
    assert torch.equal(first.hidden_degrees[0], again.hidden_degrees[0])
    other = schedule(resample="both", num_orderings=0, seed=5).mask_set(1000)
    assert not torch.equal(first.ordering, other.ordering)


@pytest.mark.parametrize(
    ("resample", "same_order", "same_degrees"),
    [("order", False, True), ("connectivity", True, False), ("both", False, False)],
)
def test_resample_says_what_changes(resample, same_order, same_degrees):
    masks_of = schedule(resample=resample, num_orderings=4)
    first, second = masks_of.mask_set(0), masks_of.mask_set(1)
    assert torch.equal(first.ordering, second.ordering) == same_order
    assert torch.equal(first.hidden_degrees[0], second.hidden_degrees[0]) == same_degrees


def test_steps_cycle_through_exactly_num_orderings_mask_sets():
    def steps(count, *steps):
        model = tiny_made(ordering="agnostic", schedule_options={"num_orderings": count})
        assert all(model.at_step(step).masks.index == model.index_at(step) for step in steps)
        return [model.index_at(step) for step in steps]

    assert steps(3, *range(8)) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert steps(0, 0, 1, 99) == [0, 1, 99]
    assert steps(1, 17) == [0]
    masks_of = schedule(resample="both", num_orderings=3)
    with pytest.raises(ValueError, match=r"allowed are 0\.\.2"):
        masks_of.mask_set(3)


def test_a_share_of_the_orders_sweeps_the_image():
    masks_of = schedule(
        num_dims=20, resample="order", num_orderings=0, sweeps=0.25, image_shape=(4, 5)
    )
    rows, columns = torch.arange(20) // 5, torch.arange(20) % 5

    def is_sweep(index):
        """Whether the first half of the order lies on one side of the image."""
        half = masks_of.mask_set(index).ordering[:10]
        shift = [abs(float(x[half].double().mean() - x.double().mean())) for x in (rows, columns)]
        return max(shift) > 0.7

    assert [index % 4 == 3 for index in range(400)] == [
        not torch.equal(
            masks_of.mask_set(index).ordering,
            schedule(num_dims=20, resample="order", num_orderings=0).mask_set(index).ordering,
        )
        for index in range(400)
    ]
    shares = [sum(is_sweep(i) for i in range(400) if (i % 4 == 3) == sweeps) for sweeps in (0, 1)]
    assert shares[0] < 60 < 80 < shares[1]  # of 300 and of 100
    assert sorted(masks_of.mask_set(3).ordering.tolist()) == list(range(20))


def test_observed_variables_move_to_the_front():
    masks_of = schedule(resample="order", num_orderings=3)
    masks = masks_of.mask_set(0)
    observed = torch.zeros(10, dtype=torch.bool)
    observed[[2, 5, 7]] = True
    moved = with_observed_first(masks_of, masks, observed)
    assert set(moved.ordering[:3].tolist()) == {2, 5, 7}
    late = [d for d in masks.ordering.tolist() if d not in (2, 5, 7)]
    assert moved.ordering[3:].tolist() == late
    assert torch.equal(moved.input_degrees[moved.ordering], torch.arange(1, 11))


def test_one_variable_has_a_mask_set():
    masks = MaskSchedule((0,), (5,)).mask_set(0)
    assert masks.input_degrees.tolist() == [1]
    assert masks.output_degrees.tolist() == [0]


def test_many_wide_mask_sets_are_made_quickly():
    masks_of = MaskSchedule(
        tuple(range(784)), (8000, 8000), resample="both", num_orderings=32, seed=123
    )
    start = time.perf_counter()
    for index in range(32):
        masks_of.mask_set(index)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("image_shape", [None, (3, 4)])
def test_sweeps_without_an_image_are_refused(image_shape):
    with pytest.raises(ValueError, match=r"sweeps=0\.5 needs images"):
        schedule(sweeps=0.5, image_shape=image_shape)


def test_units_of_a_variable_follow_it_through_all_orderings():
    masks_of = schedule(
        hidden_sizes=(20, 40), hidden_degrees="by_variable", resample="order", num_orderings=3
    )
    observed = torch.arange(10) % 3 == 0
    moved = with_observed_first(masks_of, masks_of.mask_set(1), observed)
    for masks in (masks_of.mask_set(0), masks_of.mask_set(2), moved):
        position = masks.input_degrees - 1
        for degrees, share in zip(masks.hidden_degrees, (2, 4), strict=True):
            owned = position.repeat_interleave(share)
            assert torch.equal(degrees, owned.clamp(1, 9))
    assert moved.ordering[:4].sort().values.tolist() == [0, 3, 6, 9]
    rows = with_observed_first(masks_of, masks_of.mask_set(1), observed.expand(2, 10))
    assert torch.equal(rows.hidden_degrees[0], masks_of.mask_set(1).hidden_degrees[0])
