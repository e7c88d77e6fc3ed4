"""Pictures are checked by what they show: colours at known places, sizes, and files on disk."""

import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from made_exp.reporting import figures
from made_exp.reporting.figures import plots, samples
from made_exp.reporting.figures.canvas import encode_png, render
from made_exp.reporting.figures.plots import smoothed, smoothing
from made_exp.reporting.figures.samples import as_images, mosaic


def is_picture(image):
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def has_color(image, color, tolerance=2):
    return (np.abs(image.astype(int) - np.asarray(color)).max(axis=-1) <= tolerance).any()


@pytest.fixture
def drawn(monkeypatch):
    """The figure behind the last picture, with everything that was drawn in it."""
    kept = {}
    for module in (plots, samples):
        monkeypatch.setattr(
            module,
            "render",
            lambda figure: render(kept.setdefault("figure", figure)),
        )
    return lambda: kept.pop("figure")


def pictures_in(figure):
    """The arrays that are shown as images, from left to right, without colour bars."""
    shown = figure.images or [a.images[0] for a in figure.axes if a.images]
    return [np.asarray(image.get_array()) for image in shown]


def is_enlarged(shown, picture):
    """Whether each element of a picture is a square of pixels in what is shown."""
    scale = shown.shape[0] // picture.shape[0]
    return np.array_equal(shown, picture.repeat(scale, axis=0).repeat(scale, axis=1))


def lines_in(axes):
    """The lines of one plot as (x, y) by label."""
    return {line.get_label(): np.array(line.get_data(), np.float64) for line in axes.lines}


def heights_in(axes):
    return np.array([bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)])


@pytest.fixture
def binary():
    return np.random.default_rng(0).integers(0, 2, size=(100, 20)).astype(np.float64)


def test_png_holds_the_returned_picture(tmp_path, binary):
    path = tmp_path / "samples" / "final.png"
    image = figures.image_grid(binary, (4, 5), real=binary, title="epoch 3")
    assert is_picture(image)
    figures.save_png(path, image)
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
        figures.image_grid(np.zeros((3, 24)), (5, 5), real=np.zeros((3, 25)))


@pytest.mark.parametrize("count", [1, 7, 100])
def test_any_number_of_samples(count, binary, drawn):
    assert is_picture(figures.image_grid(binary[:count], (5, 4), real=binary[50:53]))
    columns = math.ceil(math.sqrt(count))
    left, right = pictures_in(drawn())
    assert is_enlarged(left, mosaic(as_images(binary[:count], (5, 4)), columns))
    assert is_enlarged(right, mosaic(as_images(binary[50:53][:count], (5, 4)), columns))


def test_grey_levels_are_scaled():
    assert as_images(np.array([[0, 255, 51]]), (1, 3), 255)[0, 0, :, 0].tolist() == [0, 1, 0.2]


@pytest.mark.parametrize("draws", [1, 3])
def test_completion_shows_given_drawn_and_original(tmp_path, draws):
    original, observed = np.ones((4, 9)), np.zeros((4, 9), bool)
    observed[:, :3] = True
    image = figures.completion_grid(original, observed, np.ones((4, draws, 9)), (3, 3))
    for color in ((255, 255, 255), (153, 173, 204), (255, 184, 77)):
        assert has_color(image, color), color
    nothing_drawn = figures.completion_grid(original, observed | True, original[:, None], (3, 3))
    assert not has_color(nothing_drawn, (255, 184, 77))
    assert not has_color(nothing_drawn, (153, 173, 204))


def test_completions_of_many_examples_are_broken_into_bands(binary):
    one = figures.completion_grid(binary[:8], binary[:8] > 0, binary[:8, None], (4, 5))
    three = figures.completion_grid(binary[:23], binary[:23] > 0, binary[:23, None], (4, 5))
    assert three.shape[1] == one.shape[1]
    assert three.shape[0] > 2.5 * one.shape[0]


def test_class_grid_shows_one_class_a_row(binary, drawn):
    given = binary.reshape(4, 25, 20)[:, :10]
    image = figures.class_grid(given, (4, 5), ["a", "b$", "c", "star"])
    assert is_picture(image)
    figure = drawn()
    (shown,) = pictures_in(figure)
    grid = shown[:: len(shown) // 21, :: len(shown) // 21]
    assert is_enlarged(shown, grid)
    for row in range(4):
        for column in range(10):
            cell = grid[row * 5 + 1 : row * 5 + 5, column * 6 + 1 : column * 6 + 6, 0]
            assert np.array_equal(cell, given[row, column].reshape(4, 5)), (row, column)
    assert [text.get_text() for text in figure.texts] == ["a", r"b\$", "c", "star"]


def panel(image, figure, index):
    """Pixels (H, W, 3) of the panel `index` of a 2D density picture, without its frame."""
    (left, bottom), (right, top) = figure.axes[index].get_window_extent().get_points()
    rows = slice(round(len(image) - top) + 2, round(len(image) - bottom) - 2)
    return image[rows, round(left) + 2 : round(right) - 2].astype(int)


@pytest.mark.parametrize("num_samples", [5, 200, 5000])
def test_2d_densities_are_upright(num_samples, drawn):
    """Variable 0 is the row from the top, variable 1 the column, in every panel."""
    true = np.full((10, 10), 1e-9)
    true[1, 7] = 1.0
    samples = np.tile([1, 7], (num_samples, 1))
    image = figures.density_2d(true / true.sum(), true=true / true.sum(), samples=samples)
    figure = drawn()
    for index in (0, 1, 3):
        pixels = panel(image, figure, index).sum(axis=-1)
        background = np.median(pixels)
        odd = np.argwhere(np.abs(pixels - background) > 60)
        row, column = odd.mean(axis=0) / pixels.shape * 10
        assert abs(row - 1.5) < 0.7, index
        assert abs(column - 7.5) < 0.7, index


def test_difference_of_2d_densities_is_signed(drawn):
    learned, true = np.full((2, 2), 0.25), np.array([[0.5, 0.25], [0.25, 0.0]])
    image = panel(figures.density_2d(learned, true=true), drawn(), 2)
    redness = (image[..., 0] - image[..., 2])[:: len(image) // 4, :: image.shape[1] // 4]
    assert redness[1, 1] < -60  # learned too low
    assert redness[3, 3] > 60  # learned too high
    assert abs(redness[3, 1]) < 10


def test_2d_density_alone(drawn):
    learned = np.arange(12).reshape(3, 4) / 66
    assert is_picture(figures.density_2d(learned, title="ordering: natural"))
    figure = drawn()
    (shown,) = [a for a in pictures_in(figure) if a.shape == learned.shape]
    assert np.array_equal(shown, learned)
    assert figure.texts[0].get_text() == "ordering: natural"


def test_panels_of_2d_densities_hold_what_was_given(drawn):
    learned, true = np.full((2, 3), 1 / 6), np.array([[0.5, 0.1, 0.1], [0.1, 0.1, 0.1]])
    given = np.repeat([[0, 0], [1, 2], [0, 1]], [30, 200, 70], axis=0)
    figures.density_2d(learned, true=true, samples=given)
    panels = [a for a in pictures_in(drawn()) if a.shape == learned.shape]
    shares = np.array([[30, 70, 0], [0, 0, 200]]) / 300
    assert np.array_equal(panels[:3], [true, learned, learned - true])
    np.testing.assert_allclose(panels[3], shares, atol=1e-12)


def test_smoothing_grows_when_samples_are_few():
    assert smoothing(100_000, (25, 25)) == 0
    assert 1 < smoothing(10_000, (200, 200)) < smoothing(2_000, (200, 200)) < 9


@pytest.mark.parametrize("width", [0.0, 2.5])
def test_smoothing_keeps_mass_and_has_the_width_of_its_kernel(width):
    table = np.zeros((40, 60))
    table[20, 30] = 0.75
    table[0, 0] = 0.25
    found = smoothed(table, width)
    assert found.sum() == pytest.approx(1)
    middle = found[10:31, 15:46]
    rows, columns = np.mgrid[-10:11, -15:16]
    assert middle.sum() == pytest.approx(0.75, abs=1e-3)
    for distance in (rows, columns):
        assert (middle * distance**2).sum() / 0.75 == pytest.approx(width**2, rel=0.02)


def test_1d_density_draws_the_numbers_that_it_was_given(drawn):
    learned, true = np.array([0.1, 0.2, 0.7]), np.array([0.2, 0.2, 0.6])
    figures.density_1d(learned, np.array([0, 1, 2, 2]), true=true)
    (above,) = drawn().axes
    assert heights_in(above).tolist() == [0.25, 0.25, 0.5]
    (steps,) = [patch for patch in above.patches if not isinstance(patch, Rectangle)]
    assert np.array_equal(steps.get_data().values, learned)
    assert np.array_equal(lines_in(above)["true"], [[0, 1, 2], true])


def test_1d_density_shows_data_learned_and_true(tmp_path):
    learned = np.array([0.1, 0.2, 0.7])
    data = np.array([0, 1, 2, 2])
    image = figures.density_1d(learned, data, true=learned, title="cost $5 and $6")
    for color in ((0x24, 0x63, 0xAE), (0xD9, 0x66, 0x0A), (0xC9, 0xD1, 0xDC)):
        assert has_color(image, color, 12), color
    assert not has_color(figures.density_1d(learned, data), (0xD9, 0x66, 0x0A), 12)


def test_the_plane_of_two_reals_shows_what_was_given(drawn):
    learned = np.arange(12.0).reshape(3, 4)
    edges = np.linspace(-1, 2, 4), np.linspace(10, 18, 5)
    data, given = np.array([[0.0, 11.0], [1.0, 12.0]]), np.array([[2.0, 17.0]])
    figures.density_plane(learned, edges, data=data, samples=given, names=("a", "b$"))
    left, middle, right = drawn().axes[:3]
    assert np.array_equal(left.lines[0].get_xydata(), data)
    assert np.array_equal(middle.lines[0].get_xydata(), given)
    assert np.array_equal(right.images[0].get_array(), learned.T)
    assert right.images[0].get_extent() == [-1, 2, 10, 18]
    for axes in (left, middle, right):
        assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 2), (10, 18))
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", r"b\$")


def test_nll_by_number_of_orderings(tmp_path, drawn):
    path = tmp_path / "orderings.png"
    figures.save_png(path, figures.nll_by_num_orderings([1, 2, 4], [90, 89, 88.5], [0.3, 0.3, 0.3]))
    with Image.open(path) as picture:
        assert picture.size == (820, 460)
    (axes,) = drawn().axes
    assert lines_in(axes)["log-mean-exp over orderings"].tolist() == [[1, 2, 4], [90, 89, 88.5]]
    band = axes.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(1, 89.7), (1, 90.3), (4, 88.2), (4, 88.8)}


def test_letters_that_the_font_lacks_are_boxes():
    assert is_picture(
        figures.distribution_picture(["\u4e2d", "b"], [0.5, 0.5], [0, 0], title="\u56fd")
    )


def test_animation(tmp_path):
    frames = [tmp_path / f"{index}.png" for index in range(5)]
    for index, frame in enumerate(frames):
        figures.save_png(frame, np.full((40, 1000, 3), 10 * index, np.uint8))
    figures.animation(frames, tmp_path / "samples" / "training.gif")
    with Image.open(tmp_path / "samples" / "training.gif") as gif:
        assert (gif.n_frames, gif.width) == (5, 900)
    with pytest.raises(ValueError, match="frames"):
        figures.animation([], tmp_path / "none.gif")
    assert not (tmp_path / "none.gif").exists()


def test_no_global_plotting_state():
    code = "import sys, made_exp.reporting.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
