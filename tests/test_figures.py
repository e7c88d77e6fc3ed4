"""Pictures are checked by what they show: colours at known places, sizes, and files on disk."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from made_exp.reporting import figures
from made_exp.reporting.figures.canvas import encode_png
from made_exp.reporting.figures.curves import robust_range
from made_exp.reporting.figures.densities import block_size
from made_exp.reporting.figures.images import as_images, mosaic


def is_picture(image):
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def has_color(image, color, tolerance=2):
    return (np.abs(image.astype(int) - np.asarray(color)).max(axis=-1) <= tolerance).any()


@pytest.fixture
def binary():
    return np.random.default_rng(0).integers(0, 2, size=(100, 20)).astype(np.float64)


def test_png_holds_the_returned_picture(tmp_path, binary):
    path = tmp_path / "samples" / "final.png"
    image = figures.image_grid(binary, (4, 5), real=binary, title="epoch 3", path=path)
    assert is_picture(image)
    assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), image)
    assert [p.name for p in path.parent.iterdir()] == ["final.png"]


def test_a_picture_of_many_colors_is_saved_exactly(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, size=(30, 40, 3), dtype=np.uint8)
    figures.save_png(tmp_path / "a.png", image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)


def test_few_colors_make_small_files(binary):
    image = figures.image_grid(np.tile(binary, (1, 20)), (20, 20), real=np.tile(binary, (1, 20)))
    assert len(encode_png(image)) < 60_000


def test_mosaic_keeps_every_pixel():
    images = as_images(np.arange(6 * 12).reshape(6, 12), (3, 4), max_value=71)
    picture = mosaic(images, 3)
    assert picture.shape == (9, 16, 3)
    assert np.array_equal(picture[1:4, 1:5], images[0])
    assert np.array_equal(picture[5:8, 6:10], images[4])


def test_image_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match="5x5 needs 25"):
        figures.image_grid(np.zeros((3, 24)), (5, 5))


@pytest.mark.parametrize("count", [1, 7, 100])
def test_any_number_of_samples(count, binary):
    assert is_picture(figures.image_grid(binary[:count], (5, 4), real=binary[:3]))


def test_grey_levels_are_scaled():
    assert as_images(np.array([[0, 255, 51]]), (1, 3), 255)[0, 0, :, 0].tolist() == [0, 1, 0.2]


@pytest.mark.parametrize("draws", [1, 3])
def test_completion_shows_given_drawn_and_original(tmp_path, draws):
    original, observed = np.ones((4, 9)), np.zeros((4, 9), bool)
    observed[:, :3] = True
    image = figures.completion_grid(original, observed, np.ones((4, draws, 9)), (3, 3))
    for color in ((255, 255, 255), (153, 173, 204), (255, 184, 77)):
        assert has_color(image, color), color
    nothing_drawn = figures.completion_grid(original, observed | True, original, (3, 3))
    assert not has_color(nothing_drawn, (255, 184, 77))
    assert not has_color(nothing_drawn, (153, 173, 204))


def test_completions_of_many_examples_are_broken_into_bands(binary):
    one = figures.completion_grid(binary[:8], binary[:8] > 0, binary[:8], (4, 5))
    three = figures.completion_grid(binary[:23], binary[:23] > 0, binary[:23], (4, 5))
    assert three.shape[1] == one.shape[1]
    assert three.shape[0] > 2.5 * one.shape[0]


def test_class_grid(binary):
    image = figures.class_grid(binary.reshape(4, 25, 20)[:, :10], (4, 5), ["a", "b$", "c", "star"])
    assert is_picture(image)


def panel(image, index, size=300):
    """Pixels of the panel `index` of a 2D density picture, without its frame."""
    left = 58 + index * (size + 118)
    return image[68 : 64 + size, left + 2 : left + size - 2].astype(int).sum(axis=-1)


@pytest.mark.parametrize("num_samples", [5, 200, 5000])
def test_2d_densities_are_upright(num_samples):
    """Variable 0 is the row from the top, variable 1 the column, in every panel."""
    true = np.full((10, 10), 1e-9)
    true[1, 7] = 1.0
    samples = np.tile([1, 7], (num_samples, 1))
    image = figures.density_2d(true / true.sum(), true=true / true.sum(), samples=samples)
    for index in (0, 1, 3):
        pixels = panel(image, index)
        background = np.median(pixels)
        odd = np.argwhere(np.abs(pixels - background) > 60)
        row, column = odd.mean(axis=0) / 30
        assert abs(row - 1.5) < 0.7, index
        assert abs(column - 7.5) < 0.7, index


def test_difference_of_2d_densities_is_signed():
    learned, true = np.full((2, 2), 0.25), np.array([[0.5, 0.25], [0.25, 0.0]])
    image = figures.density_2d(learned, true=true)[66:366, 58 + 2 * 418 : 358 + 2 * 418]
    red, blue = image[..., 0].astype(int), image[..., 2].astype(int)
    assert (blue - red)[75, 75] > 60  # learned too low
    assert (red - blue)[225, 225] > 60  # learned too high
    assert abs((red - blue)[225, 75]) < 10


def test_2d_density_alone():
    assert is_picture(figures.density_2d(np.full((3, 4), 1 / 12), ordering="natural"))


def test_block_size_grows_when_samples_are_few():
    assert block_size(100_000, (25, 25)) == 1
    assert block_size(10_000, (200, 200)) == 3
    assert block_size(0, (2, 2)) == 3


def test_1d_density_shows_data_learned_and_true(tmp_path):
    learned = np.array([0.1, 0.2, 0.7])
    data = np.array([0, 1, 2, 2])
    image = figures.density_1d(learned, data, true=learned, samples=data, title="cost $5 and $6")
    for color in ((0x24, 0x63, 0xAE), (0xD9, 0x66, 0x0A), (0xC9, 0xD1, 0xDC)):
        assert has_color(image, color, 12), color
    assert not has_color(figures.density_1d(learned, data), (0xD9, 0x66, 0x0A), 12)


def test_vectors_with_constant_and_missing_values():
    x = np.random.default_rng(0).normal(size=(50, 6))
    x[:, 2] = 4
    x[3, 1] = np.nan
    assert is_picture(figures.vector_grid(x[:20], x, title="rows"))
    assert is_picture(figures.vector_grid(x[:1], x[:1]))


def test_curves():
    epochs = list(range(5))
    image = figures.nll_curves(
        epochs,
        train=[500, 90, 80, 79, 78.5],
        valid=[None, 91, 82, 81, 81.5],
        best_epoch=3,
        baselines={"Chow-Liu": 85.0, "independent": 206.0},
    )
    assert is_picture(image)
    assert is_picture(figures.nll_curves([], train=[], valid=[]))


def test_robust_range_ignores_the_start_of_training():
    low, high = robust_range(np.array([500, 100, 81, 80.5, 80.4, 80.3, np.nan, np.inf]))
    assert low < 80.3
    assert 81 < high < 101
    assert robust_range(np.array([3.0, 3.0]))[0] < 3.0


def test_ensemble_and_cost_plots(tmp_path):
    path = tmp_path / "orderings.png"
    figures.nll_by_num_orderings([1, 2, 4], [90, 89, 88.5], [0.3, 0.3, 0.3], path=path)
    with Image.open(path) as picture:
        assert picture.size == (820, 460)
    series = {"dense": ([1, 10], [0.1, 2]), "a_$x": ([1, 10], [0.1, 0.5])}
    assert is_picture(figures.cost_plot(series, x_label="units", y_label="seconds"))


def test_animation(tmp_path):
    frames = [np.full((40, 1000, 3), 10 * index, np.uint8) for index in range(4)]
    figures.save_png(tmp_path / "last.png", frames[3] + 5)
    figures.animation([*frames, tmp_path / "last.png"], tmp_path / "samples" / "training.gif")
    with Image.open(tmp_path / "samples" / "training.gif") as gif:
        assert (gif.n_frames, gif.width) == (5, 900)
    with pytest.raises(ValueError, match="frames"):
        figures.animation([], tmp_path / "none.gif")
    assert not (tmp_path / "none.gif").exists()


def test_no_global_plotting_state():
    code = "import sys, made_exp.reporting.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
