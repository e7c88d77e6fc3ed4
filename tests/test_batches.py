"""Batches are a function of seed, epoch and step."""

import math

import pytest
import torch

from made_exp.training.batches import Batches
from made_exp.training.distributed import Ranks

CPU = torch.device("cpu")


def batches(count=50, size=8, **options):
    data = torch.arange(count * 3).reshape(count, 3)
    return Batches(data, size, device=CPU, **{"seed": 0, **options})


def test_an_epoch_visits_examples_once_in_batches_of_equal_size():
    made = batches()
    order = made.order(0)
    assert len(made) == 6
    assert order.shape == (6, 8)
    assert len(set(order.flatten().tolist())) == 48


def test_order_is_a_function_of_seed_and_epoch():
    made = batches()
    assert torch.equal(made.order(3), batches().order(3))
    assert not torch.equal(made.order(3), made.order(4))
    assert not torch.equal(made.order(3), batches(seed=1).order(3))


def test_every_example_is_seen_in_the_long_run():
    made = batches(count=50, size=8)
    seen = {index for epoch in range(5) for index in made.order(epoch).flatten().tolist()}
    assert seen == set(range(50))


def test_batch_is_the_whole_data_where_it_is_larger():
    made = batches(count=5, size=100)
    assert made.order(0).shape == (1, 5)


def test_gather_takes_rows_and_their_labels():
    made = batches(context=torch.arange(50) % 4)
    index = torch.tensor([7, 3])
    x, context = made.gather(index, None)
    assert x.tolist() == [[21, 22, 23], [9, 10, 11]]
    assert context.tolist() == [3, 3]


def test_dynamic_binarization_draws_by_the_grey_level():
    grey = torch.tensor([0, 64, 128, 255], dtype=torch.uint8).repeat(64, 1)
    made = Batches(grey, 64, seed=0, device=CPU, binarize=True)
    index = torch.arange(64)
    draws = torch.stack([made.gather(index, made.thresholds(step))[0] for step in range(200)])
    assert draws.dtype == torch.uint8
    mean = draws.double().mean((0, 1))
    assert mean[0] == 0
    assert mean[3] == 1
    error = 5 * math.sqrt(0.25 / (200 * 64))
    assert abs(mean[1] - 64 / 255) < error
    assert abs(mean[2] - 128 / 255) < error


def test_binarization_is_a_function_of_the_step():
    grey = torch.full((20, 5), 100, dtype=torch.uint8)
    made = [Batches(grey, 10, seed=0, device=CPU, binarize=True) for _ in range(2)]
    later = made[0].thresholds(9)
    made[1].thresholds(3)
    assert torch.equal(later, made[1].thresholds(9))
    assert not torch.equal(later, made[1].thresholds(10))


@pytest.mark.parametrize("binarize", [False, True])
def test_processes_share_a_batch(binarize):
    options = {"seed": 0, "device": CPU, "binarize": binarize}
    data = torch.randint(256, (30, 4), generator=torch.Generator().manual_seed(0))
    whole = Batches(data, 10, **options)
    parts = [Batches(data, 10, world=Ranks(rank, 2), **options) for rank in range(2)]
    assert torch.equal(torch.cat([p.order(1) for p in parts], 1), whole.order(1))
    if binarize:
        assert torch.equal(torch.cat([p.thresholds(5) for p in parts]), whole.thresholds(5))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="batch_size 9 cannot be shared by 2 processes"):
        batches(size=9, world=Ranks(0, 2))
    with pytest.raises(ValueError, match="no training examples"):
        batches(count=0)


def test_epochs_may_have_examples_of_their_own():
    def redraw(epoch):
        asked.append(epoch)
        return torch.full((50, 3), epoch), torch.full((50,), -epoch), epoch / 2

    asked = []
    made = batches(context=torch.zeros(50, dtype=torch.int64), redraw=redraw)
    place = made.data.data_ptr()
    for epoch in (0, 2, 2, 5):
        made.order(epoch)
    x, context = made.gather(torch.tensor([7, 3]), None)
    assert asked == [2, 5]
    assert (x == 5).all()
    assert (context == -5).all()
    assert made.log_slope == 2.5
    assert made.data.data_ptr() == place
