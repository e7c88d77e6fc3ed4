"""The sampler that is kept is dropped whenever the weights changed, by whatever means."""

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
    model._samplers = type(model._samplers)(model.network, model.groups)
    fresh = model.sample(200, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[1], fresh)


def test_sampler_is_kept_while_the_weights_stay(device, dtype):
    model = tiny_made().to(device, dtype).eval()
    masks = model.schedule.mask_set(0).to(device)
    kept = model._samplers.drawer(masks)
    assert model._samplers.drawer(masks) == kept
