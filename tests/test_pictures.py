"""What is drawn of a model beside its data."""

import numpy as np
import pytest
import torch
from builders import tiny_made

from made_exp.datasets.base import Dataset
from made_exp.experiments import pictures


@pytest.fixture
def drawn(monkeypatch):
    """What the figures get, by the name of the figure."""
    calls = {}
    for name in ("vector_grid", "image_grid"):
        monkeypatch.setattr(
            pictures.figures,
            name,
            lambda samples, *_, _name=name, **__: calls.update({_name: samples}),
        )
    return calls


def draw(image_shape):
    model = tiny_made()
    x = torch.zeros(5, 8, dtype=torch.uint8)
    dataset = Dataset("bits", model.groups.variables, x, x, x, image_shape=image_shape)
    pictures.draw_picture(model, dataset, num_samples=9, seed=0)
    return model


def test_means_and_correlations_of_a_table_are_of_many_rows(drawn):
    model = draw(None)
    assert drawn["vector_grid"].shape == (2000, 8)
    wanted = model.sample(200_000, generator=torch.Generator().manual_seed(1)).double().mean(0)
    np.testing.assert_allclose(drawn["vector_grid"].mean(0), wanted, atol=0.05)


def test_of_images_as_many_are_drawn_as_were_asked_for(drawn):
    draw((2, 4))
    assert drawn["image_grid"].shape == (9, 8)
