"""The sampler that is kept is dropped whenever the weights changed, by whatever means."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from builders import tiny_made


def change_by_fused_optimizer(model):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def change_in_place(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)


@pytest.mark.parametrize("change", [change_by_fused_optimizer, change_in_place])
def test_samples_follow_the_weights(change, device, dtype):
    model = tiny_made().to(device, dtype).eval()
    drawn = [model.sample(200, generator=torch.Generator().manual_seed(0))]
    change(model)
    drawn.append(model.sample(200, generator=torch.Generator().manual_seed(0)))
    model._samplers = type(model._samplers)()
    fresh = model.sample(200, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[1], fresh)


def test_sampler_is_kept_while_the_weights_stay(device, dtype):
    model = tiny_made().to(device, dtype).eval()
    kept = model._samplers.drawer(model.component(0))
    assert model._samplers.drawer(model.component(0)) == kept


def test_every_thread_and_every_copy_has_a_sampler_of_its_own():
    model = tiny_made()
    kept = model._samplers.drawer(model.component(0))
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(model._samplers.drawer, model.component(0)).result()
    copied = copy.deepcopy(model)
    copies = [other, copied._samplers.drawer(copied.component(0))]
    assert all(drawer.__self__ is not kept.__self__ for drawer in copies)


def test_threads_complete_what_each_of_them_was_given():
    model = tiny_made(ordering="agnostic")
    observed = torch.arange(8) < 4
    rows = [torch.full((250, 8), float(value)) for value in (0, 1)] * 4
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda x: model.complete(x, observed), rows * 5))
    for x, completed in zip(rows * 5, drawn, strict=True):
        assert torch.equal(completed[:, :4], x[:, :4])
