"""The picture of a table is checked by the arrays in its axes."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch

from made_exp.datasets.table.naming import by_number
from made_exp.reporting.comparison import compare
from made_exp.reporting.fields import Field, bins_of
from made_exp.reporting.figures import axis, canvas, marginals, pairs, table

pytestmark = pytest.mark.pictures


@pytest.fixture
def draw(monkeypatch):
    """Draws a table and gives the figure."""
    kept = {}
    monkeypatch.setattr(table, "render", lambda f: canvas.render(kept.setdefault("figure", f)))

    def drawn(data, samples, fields, **options):
        kept.clear()
        comparison = compare(data, samples, fields)
        image = table.table_picture(data, samples, fields, comparison, **options)
        assert image.dtype == np.uint8
        return kept["figure"]

    return drawn


def texts(figure):
    return [text.get_text() for text in figure.texts]


def bars(axes):
    """Bars by name: (data, samples)."""
    widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    names = [label.get_text() for label in axes.get_yticklabels()]
    return dict(
        zip(names, zip(widths[: len(names)], widths[len(names) :], strict=True), strict=True)
    )


def steps(axes):
    """Histograms of data and samples as (shares, edges)."""
    found = [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]
    return [(content.values, content.edges) for content in found]


def test_bars_are_the_shares_of_named_values_and_of_missing_cells(draw):
    field = Field("room$", ("no", "yes", "maybe", "never"), is_missing_a_value=True)
    data = np.array([[1.0]] * 5 + [[0.0]] * 3 + [[np.nan]] * 2)
    samples = np.array([[1.0]] * 2 + [[2.0]] * 2)
    figure = draw(data, samples, (field,))
    wanted = {"yes": (0.5, 0.5), "no": (0.3, 0), "other": (0, 0.5), "missing": (0.2, 0)}
    assert bars(figure.axes[0]) == wanted
    assert r"room\$" in texts(figure)


def test_a_value_that_train_does_not_have_is_called_so(draw):
    data, samples = np.array([[1.0]] * 5 + [[0.0]] * 5), np.array([[1.0], [2.0]])
    figure = draw(data, samples, (Field("room", ("no", "yes")),))
    assert bars(figure.axes[0]) == {"yes": (0.5, 0.5), "no": (0.5, 0), "not in train": (0, 0.5)}


def test_rare_values_are_together_and_long_names_are_cut():
    names = tuple(f"{letter} a very long name" for letter in "abcdefghijklmnopqrst")
    data = np.repeat(np.arange(20.0), np.arange(40, 0, -2))
    shown, own = marginals.bars_of(Field("x", names), data, data[:100])
    assert own is None
    assert len(shown) == marginals.MAX_BARS
    assert shown[0].name == names[0]
    assert shown[-1].name == "9 others"
    assert sum(bar.data for bar in shown) == pytest.approx(1)
    assert sum(bar.samples for bar in shown) == pytest.approx(1)
    assert len(canvas.cut(names[0], 17)) == 17


def test_a_histogram_has_the_shares_of_the_rest_and_spikes_are_bars(draw):
    generator = np.random.default_rng(0)
    data = np.where(generator.random(1000) < 0.4, 7.0, generator.normal(50, 3, size=1000))
    samples = np.where(generator.random(500) < 0.6, 7.0, generator.normal(50, 3, size=500))
    figure = draw(data[:, None], samples[:, None], (Field("x"),))
    assert bars(figure.axes[0]) == {"7": ((data == 7).mean(), (samples == 7).mean())}
    (of_data, edges), (of_samples, _) = steps(figure.axes[1])
    np.testing.assert_allclose(of_data, np.histogram(data[data != 7], edges)[0] / 1000)
    np.testing.assert_allclose(of_samples, np.histogram(samples[samples != 7], edges)[0] / 500)
    assert of_data.sum() == pytest.approx(1 - (data == 7).mean())


def test_a_far_outlier_does_not_flatten_the_rest():
    x = np.append(np.random.default_rng(0).normal(size=1000), 1e9)
    edges = axis.axis_of(Field("x"), x).edges
    assert -5 < edges[0] < edges[-1] < 5


def test_zero_has_no_sign():
    assert [Field("x").text(value) for value in (-0.0, -0.5)] == ["0", "-0.5"]


def test_scales_follow_the_numbers():
    generator = np.random.default_rng(0)
    x = generator.normal(size=1000)
    assert axis.axis_of(Field("x"), 1000 + x).scale == "linear"
    assert axis.axis_of(Field("x"), np.exp(3 * x)).scale == "log"
    assert axis.axis_of(Field("x", bend=0.1), np.sinh(3 * x)).scale == "asinh"
    assert axis.axis_of(Field("x"), generator.uniform(1, 365, size=1000)).scale == "linear"


@pytest.mark.parametrize("step", [1.0, 5.0, 0.25])
def test_bins_hold_equally_many_steps_of_a_grid(step):
    x = step * np.random.default_rng(0).integers(0, 100, size=2000)
    edges = axis.axis_of(Field("x"), x).edges
    np.testing.assert_allclose(np.diff(edges) % step, 0, atol=1e-9)
    np.testing.assert_allclose(np.abs(edges / step) % 1, 0.5)
    assert edges[0] < 0
    assert edges[-1] > x.max()


@pytest.mark.parametrize("low", [1, 4])
def test_bins_of_a_logarithmic_axis_hold_the_numbers_of_a_grid(low):
    x = low + np.floor(np.random.default_rng(0).lognormal(2, 1.5, size=2000))
    found = axis.axis_of(Field("x"), x)
    assert found.scale == "log"
    assert 0 < found.edges[0] == low - 0.5
    np.testing.assert_allclose(found.edges % 1, 0.5)
    assert found.edges[-1] > np.quantile(x, 0.99)


def test_dates_are_on_an_axis_of_time(draw):
    days = np.random.default_rng(0).integers(18000, 18400, size=(300, 1)).astype(float)
    axes = draw(days, days, (Field("day", is_date=True),)).axes[0]
    assert any("2020" in label.get_text() for label in axes.get_xticklabels())


def test_quarters_are_called_so(draw):
    months = np.datetime64("2019-01") + 3 * np.random.default_rng(0).integers(0, 14, size=300)
    days = months.astype("datetime64[D]").astype(float)[:, None]
    field = Field("when", is_date=True, is_quarter=True)
    axes = draw(days, days, (field,)).axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert "2020Q1" in names
    assert len({*names}) == len(names)
    assert [field.text(day) for day in (days.min(), days.max())] == ["2019Q1", "2022Q2"]


def test_categories_that_are_numbers_are_in_their_order():
    names = ("0", "10", "2", "1")  # by how often they are
    data = np.repeat(np.arange(4.0), [40, 30, 20, 10])
    shown, _ = marginals.bars_of(Field("children", names), data, data)
    assert [bar.name for bar in shown] == ["0", "1", "2", "10"]
    assert bins_of(data, Field("children", names), 9).labels[:4] == ("0", "1", "2", "10")
    assert by_number(["b", "1", "a"]) == by_number(["nan", "1", "0"]) == [0, 1, 2]


def test_more_columns_than_fit_show_the_worst_first(draw):
    generator = np.random.default_rng(0)
    data, samples = generator.integers(0, 2, size=(2, 400, 1000)).astype(float)
    samples[:, 700] = 1
    figure = draw(data, samples, tuple(Field(f"x{d}", ("0", "1")) for d in range(1000)))
    shown = [
        text for text in texts(figure) if text[:1] == "x" and "\N{MULTIPLICATION SIGN}" not in text
    ]
    assert shown[0] == "x700"
    assert len(shown) == 24
    assert any("24 of 1000 columns" in text for text in texts(figure))


def test_a_pair_shows_shares_in_the_rows_of_each_value(draw):
    data = np.array([[0, 0]] * 30 + [[0, 1]] * 10 + [[1, 1]] * 20, np.float64)
    samples = np.array([[0, 1]] * 10 + [[1, 0]] * 40 + [[1, 1]] * 10, np.float64)
    figure = draw(data, samples, (Field("a", ("p", "q")), Field("b", ("r", "s"))))
    left, right = [axes for axes in figure.axes if axes.images]
    shown = [np.asarray(axes.images[0].get_array()) for axes in (left, right)]
    names = [label.get_text() for label in left.get_yticklabels()]
    across = [label.get_text() for label in left.get_xticklabels()]
    p, q, r = across.index("p"), across.index("q"), names.index("r")
    assert (shown[0][r, p], shown[0][r, q]) == (0.75, 0)
    assert (shown[1][r, p], shown[1][r, q]) == (0, 0.8)
    np.testing.assert_allclose(shown[0].sum(axis=0), 1)


def test_a_value_of_hardly_any_row_does_not_make_all_others_pale(draw):
    """One draw of a value has a share of 1 in its row."""
    x = np.arange(800) % 8
    data = np.stack([np.zeros(800), x], axis=1)
    samples = np.concatenate([data, [[1, 3]]])
    figure = draw(data, samples, (Field("a", ("p", "q")), Field("b", tuple("rstuvwxy"))))
    shades = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(shades) == 2
    assert all(image.get_clim() == (0, 0.125) for image in shades)
    assert np.asarray(shades[1].get_array()).max() == 1


def test_a_pair_of_numbers_is_dots_on_one_range(draw):
    data = np.random.default_rng(0).normal(size=(200, 2))
    samples = data[:150] * [1, -1]
    figure = draw(data, samples, (Field("a"), Field("b")))
    dots = [axes for axes in figure.axes if axes.get_title(loc="left") in ("data", "samples")]
    for axes, x in zip(dots, (data, samples), strict=True):
        assert np.array_equal(axes.lines[0].get_xydata(), x)
        assert axes.get_xlabel() == "a"
    assert dots[0].get_xlim() == dots[1].get_xlim()
    assert pairs.Box(1, 2, 3, 4).width == 3


@pytest.mark.parametrize(
    ("data", "samples"),
    [
        (np.zeros((1, 4)), np.ones((1, 4))),
        (np.full((6, 4), np.nan), np.zeros((6, 4))),
        (np.random.default_rng(0).lognormal(sigma=5, size=(40, 4)), np.full((500, 4), 2.5)),
        (np.full((50, 4), 3.25), np.random.default_rng(0).normal(size=(50, 4)) * 1e12),
        (
            np.random.default_rng(0).normal(size=(2, 4)),
            np.random.default_rng(1).normal(size=(2, 4)),
        ),
    ],
)
def test_odd_tables_have_pictures(draw, data, samples):
    kinds = (Field("a"), Field("b", ("u", "v")), Field("c", is_date=True), Field("d", bend=0.1))
    data[:, 1], samples[:, 1] = data[:, 1] > 1, samples[:, 1] > 1
    data[:, 2], samples[:, 2] = (np.clip(x[:, 2], 0, 20000) for x in (data, samples))
    assert draw(data, samples, kinds, title="odd").axes


@pytest.mark.parametrize(("count", "width"), [(30, 1), (60, 2)])
def test_bins_of_first_days_hold_whole_months(count, width):
    months = np.arange(540, 540 + count).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(float)
    shown = axis.axis_of(Field("month", is_date=True), days)
    assert np.histogram(days, shown.edges)[0].tolist() == [width] * (count // width)
    assert len(axis.axis_of(Field("day", is_date=True), days + 3).edges) == 41


def test_labels_of_a_pair_end_above_the_next_one(draw):
    generator = np.random.default_rng(0)
    days = generator.integers(18628, 19900, size=(400, 1)).astype(float)
    kinds = generator.integers(0, 3, size=(400, 5)).astype(float)
    fields = [Field(name, ("first", "second", "third")) for name in "abcde"]
    data = np.concatenate([days, kinds], 1)
    figure = draw(data, data[::-1], (Field("day", is_date=True), *fields))
    panels = [axes for axes in figure.axes if axes.images]
    assert any("-" in label.get_text() for axes in panels for label in axes.get_xticklabels())
    for axes in panels:
        frame = axes.get_window_extent()
        pair_bottom = frame.y1 + 34 - table._PAIR_HEIGHT
        for label in axes.get_xticklabels():
            assert label.get_window_extent().y0 > pair_bottom + 8  # half a heading


@pytest.mark.parametrize("sign", [[1], [-1, 1]])
@pytest.mark.parametrize("size", [(-300, 300), (290, 300), (-320, -310)])
def test_numbers_of_any_size_are_drawn(draw, sign, size):
    generator = np.random.default_rng(0)
    x = generator.choice(sign, 400) * 10 ** generator.uniform(*size, 400)
    data = np.stack([x, generator.normal(size=400)], axis=1)
    bend = float(np.median(np.abs(x))) / 100
    fields = (Field("x", bend=bend), Field("y"))
    compared = compare(data, data[:100], fields).columns[0]
    assert all(np.isfinite([compared["data"], *compared["deviation"].values()]))
    assert draw(data, data[:100], fields).axes
    edges = axis.axis_of(fields[0], x).edges
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("is_quarter", [False, True])
def test_dates_over_any_span_have_ticks(is_quarter):
    field = Field("x", is_date=True, is_quarter=is_quarter)
    for span in np.geomspace(1e-6, 3e6, 100):  # days
        axes = Figure().subplots()
        low = 18000.3 if span < 5e5 else -6e5
        axis.set_axis(axes, "x", axis.Axis(np.array([low, low + span])), field)
        ticks = axes.get_xticks()
        assert 1 <= ((ticks >= low) & (ticks <= low + span)).sum() <= 7
