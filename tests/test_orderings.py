import pytest
import torch
from builders import make_schedules

from made_exp.masks import fixed_orders, orderings
from made_exp.settings.ordering import CustomOrderSettings


def test_ordering_and_its_inverse_undo_each_other():
    ordering = orderings.random(50, 3)
    positions = orderings.inverse_ordering(ordering)
    assert torch.equal(positions[ordering], torch.arange(50))
    assert torch.equal(ordering[positions], torch.arange(50))


def test_random_ordering_is_a_function_of_its_seed():
    assert torch.equal(orderings.random(20, 0), orderings.random(20, 0))
    assert not torch.equal(orderings.random(20, 0), orderings.random(20, 1))
    assert sorted(orderings.random(20, 0).tolist()) == list(range(20))
    before = torch.random.get_rng_state()
    orderings.random(20, 0)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", [*fixed_orders.ORDERS, *fixed_orders.SCANS])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (1, 6), (6, 1)])
def test_every_ordering_is_a_permutation(name, shape):
    ordering = orderings.fixed_ordering(name, shape[0] * shape[1], image_shape=shape)
    assert sorted(ordering.tolist()) == list(range(shape[0] * shape[1]))


def test_image_scans_on_a_small_image():
    assert fixed_orders.column_major(2, 3) == [0, 3, 1, 4, 2, 5]
    assert fixed_orders.snake(3, 3) == [0, 1, 2, 5, 4, 3, 6, 7, 8]
    assert fixed_orders.spiral(3, 3) == [0, 1, 2, 5, 8, 7, 6, 3, 4]
    assert fixed_orders.centre_out(3, 3)[0] == 4
    assert fixed_orders.centre_out(3, 3)[5:] == [0, 2, 6, 8]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([], "must not be empty"),
        ([0, 1, 3], r"order must hold each of 0\.\.2 once, got 3"),
        ([0, 1, 1], r"order must hold each of 0\.\.2 once, got 1 twice"),
        ([0, 1, -1], r"order must hold each of 0\.\.2 once, got -1"),
        ([0, 1, 1.5], r"order must hold whole numbers, got 1\.5"),
    ],
)
def test_a_wrong_order_names_its_culprit(order, message):
    with pytest.raises(ValueError, match=message):
        CustomOrderSettings(order=order)


def test_an_order_of_other_data_is_refused():
    with pytest.raises(ValueError, match="ordering has 2 entries, the data have 3 variables"):
        make_schedules("custom", 3, [5], order=[1, 0])


def test_scans_without_an_image_are_refused():
    with pytest.raises(ValueError, match="no image shape"):
        orderings.fixed_ordering("spiral", 6)
