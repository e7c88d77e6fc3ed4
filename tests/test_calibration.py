"""Conditionals are calibrated where the data are the model's own, and not where they are not."""

import numpy as np
import pytest
import torch
from builders import tiny_made
from PIL import Image
from test_entry import ODD

from made_exp.density.calibration import calibration
from made_exp.reporting.figures import calibration as figures
from made_exp.variables.transform import Transform
from made_exp.variables.variable import Kind, Variable

TABLE = (
    Variable("flag", Kind.BINARY, 2),
    Variable("town", Kind.CATEGORICAL, 6, pooled=(0.5, 0.3, 0.2), reserve=0.01),
    Variable("age", Kind.INTEGER, 30, atoms=(17.0,), may_be_missing=True),
    Variable("pay", Kind.REAL, transform=Transform(2.0, 3.0), atoms=(0.0,), resolution=0.01),
    Variable("given", Kind.CATEGORICAL, 3),
)


def looked_at(model, x):
    return calibration(model, x, generator=torch.Generator().manual_seed(1), batch_size=300)


def z_scores(found):
    counts, p = found.counts, found.predicted
    known = counts >= 20
    error = (p * (1 - p) / counts).sqrt()
    return ((found.observed - p) / error)[known]


@pytest.mark.parametrize("ordering", ["random", "agnostic"])
def test_the_models_own_rows_are_calibrated(ordering, generator):
    model = tiny_made(TABLE, ordering=ordering).double()
    x = model.sample(3000, generator=generator, component=0).double()
    found = looked_at(model, x)
    assert found.counts.sum() == 3000 * (1 + 6 + 3)
    assert z_scores(found).abs().max() < 5
    assert sorted(found.pit) == [2, 3]
    assert len(found.pit[2]) == int((~x[:, 2].isnan()).sum())
    for places in found.pit.values():
        counts = np.histogram(places, 20, (0, 1))[0]
        expected = len(places) / 20
        assert ((counts - expected) ** 2 / expected).sum() < 60


def test_rows_of_another_density_are_not(generator):
    model = tiny_made(TABLE).double()
    other = tiny_made(TABLE, seed=5).double()
    found = looked_at(model, other.sample(2000, generator=generator).double())
    assert z_scores(found).abs().max() > 8
    counts = np.histogram(found.pit[3], 20, (0, 1))[0]
    assert ((counts - 100) ** 2 / 100).sum() > 100


def test_missing_cells_are_left_out(generator):
    model = tiny_made(TABLE, ordering="agnostic").double()
    x = model.sample(200, generator=generator).double()
    x[::2, 1] = x[::4, 3] = torch.nan
    found = looked_at(model, x)
    assert found.counts.sum() == 200 * (1 + 3) + 100 * 6
    assert len(found.pit[3]) == 150


def test_all_kinds_of_variables_are_looked_at(generator):
    model = tiny_made(ODD, ordering="agnostic").double()
    found = looked_at(model, model.sample(50, generator=generator).double())
    assert sorted(found.pit) == [1, 2, 4, 6, 7]
    assert all(((p >= 0) & (p <= 1)).all() for p in found.pit.values())


def test_pictures_show_what_they_are_given(tmp_path):
    random = np.random.default_rng(0)
    bins = np.array([np.nan, 0.1, 0.5, 1.0]), np.array([np.nan, 0.12, 0.5, 1.0])
    pictures = [
        figures.reliability(*bins, np.array([0, 500, 100, 30]), title="a"),
        figures.reliability(*bins, np.zeros(4)),
        figures.pit_histograms({f"$x_{d}": random.random(200) ** (1 + d) for d in range(14)}),
        figures.pit_histograms({"one": random.random(30)}, title="b"),
        figures.nll_bars([f"c{d}" for d in range(50)], *random.random((3, 50)), title="c"),
        figures.nll_image(random.random((8, 9)), title="d"),
    ]
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert picture.std() > 5
        Image.fromarray(picture)


def test_the_least_uniform_come_first():
    flat = (np.arange(1000) + 0.5) / 1000
    assert figures._unevenness(flat) == pytest.approx(0)
    assert figures._unevenness(flat**3) > 10
