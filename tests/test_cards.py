"""Pictures of TensorBoard: as wide as its cards, so that nothing is shrunk beyond reading."""

import numpy as np
import pytest
from experiment_cases import make_settings
from test_tracking import read_events

from made_exp.experiments.experiment import run
from made_exp.reporting.figures.canvas import CARD
from made_exp.reporting.figures.cards import image_tiles


@pytest.mark.parametrize(
    ("count", "shape", "across"),
    [(100, (20, 20), 5), (1, (20, 20), 1), (7, (28, 28), 3), (100, (5, 90), 3), (9, (400, 400), 1)],
)
def test_tiles_are_sharp_and_fit_a_card(count, shape, across):
    height, width = shape
    samples = np.linspace(0, 1, count)[:, None].repeat(height * width, axis=1)
    picture = image_tiles(samples, shape)
    columns = across * (width + 1) + 1
    scale = picture.shape[1] // columns
    assert picture.shape[1] == scale * columns
    assert picture.shape[1] <= max(CARD, columns)
    assert picture.shape[1] > CARD - columns
    assert np.array_equal(picture[::scale, ::scale].repeat(scale, 0).repeat(scale, 1), picture)
    shades = picture[scale :: scale * (height + 1), scale :: scale * (width + 1), 0]
    assert shades[0, 0] == 0
    assert (np.diff(shades[0].astype(int)) > 0).all()
    assert across == 1 or 255 in shades


def test_a_table_ends_with_calibration_and_nll_by_column(tmp_path):
    options = {"epochs": 1, "tensorboard": True}
    run(make_settings(tmp_path, image=False, trainer=options), tmp_path / "run")
    events = read_events(tmp_path / "run")
    tags = ["samples", "plots/test_calibration", "plots/test_nll"]
    assert events.Tags()["images"] == tags
    # TensorBoard knows each tag as one kind alone.
    assert not set(tags) & set(events.Tags()["scalars"])
    assert [events.Images(tag)[-1].width for tag in tags] == [CARD] * 3


def test_plots_that_fail_end_no_run(tmp_path, monkeypatch, caplog):
    def broken(*arguments, **options):
        raise RuntimeError("no fonts")

    monkeypatch.setattr("made_exp.experiments.run_observer.plots_of", broken)
    options = {"epochs": 1, "tensorboard": True}
    run(make_settings(tmp_path, image=False, trainer=options), tmp_path / "run")
    assert "no fonts" in caplog.text
    assert (tmp_path / "run/results.json").exists()
