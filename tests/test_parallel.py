"""Parallel coordinates of a sweep: each run a line through its settings to its NLL."""

import itertools
import math

import pytest
from run_folders import make_run, make_sweep

from made_exp.reporting.discovery import find_runs
from made_exp.reporting.names import short_names
from made_exp.reporting.parallel import parallel_chart
from made_exp.reporting.summary import make_tables
from made_exp.reporting.swept import chart_settings


def chart_of(folder):
    (table,) = make_tables(find_runs(folder))
    return parallel_chart(table.runs, chart_settings(table.runs))


def lines_of(chart):
    """Places on the axes, by name of the renderer and then of the run's folder."""
    found = {}
    for renderer in chart.renderers:
        data = renderer.data_source.data
        if "folder" in data:
            found[renderer.name] = dict(zip(data["folder"], data["ys"], strict=True))
    return found


def ticks_of(chart):
    """Text by place, for each axis; the titles have places below 0."""
    found = {}
    for renderer in chart.renderers:
        data = renderer.data_source.data
        if renderer.name == "text":
            for x, y, text in zip(data["x"], data["y"], data["text"], strict=True):
                if y >= 0:
                    found.setdefault(x, {})[text] = y
    return found


def test_runs_pass_their_settings_in_order(tmp_path):
    chart = chart_of(make_sweep(tmp_path / "s"))
    assert chart.tags == ["lr", "seed", "test NLL"]
    lines = lines_of(chart)
    runs = lines["runs"]
    assert len(runs) == 4
    assert all(len(places) == 3 for places in runs.values())
    assert all(0 <= place <= 1 for places in runs.values() for place in places)
    good, other = runs["000_seed-0_lr-0.001"], runs["001_seed-0_lr-0.0003"]
    assert good[0] > other[0]
    assert good[1] == other[1]
    assert good[2] < other[2]
    ticks = ticks_of(chart)
    assert ticks[0] == pytest.approx({"0.001": good[0], "0.0003": other[0]})
    assert set(ticks[1]) == {"0", "1"}
    # The best is drawn last and failed runs, off the end of their axis, have no NLL.
    assert list(runs)[-1] == "000_seed-0_lr-0.001"
    assert {tuple(places[:1]) for places in lines["failed"].values()} == {(1.0,)}
    assert all(len(places) == 2 for places in lines["failed"].values())


def test_axes_suit_what_stands_on_them(tmp_path):
    sizes = ([5], [5, 5], [7])
    for number in range(12):
        options = {"hidden_sizes": sizes[number % 3], "seed": number, "model": "made"}
        notes = {} if number == 3 else {"scale": 10.0 ** (number - 6)}
        make_run(tmp_path / str(number), nll=80 + number, notes=notes, picture=False, **options)
    chart = chart_of(tmp_path)
    axes = dict(enumerate(chart.tags))
    ticks = {axes[x]: texts for x, texts in ticks_of(chart).items()}
    assert ticks["hidden_sizes"] == pytest.approx({"[5]": 1 / 6, "[5, 5]": 0.5, "[7]": 5 / 6})
    assert set(ticks["seed"]) == {"0", "2", "4", "6", "8", "10"}
    assert {"1e-06", "0.0001", "0.01", "1"} <= set(ticks["scale"])
    for places in ticks.values():
        assert all(0 <= place <= 1 for place in places.values())
        steps = sorted(places.values())
        gaps = [b - a for a, b in itertools.pairwise(steps)]
        assert gaps == pytest.approx([gaps[0]] * len(gaps))
    index = chart.tags.index("scale")
    runs = lines_of(chart)["runs"]
    assert [name for name, places in runs.items() if math.isnan(places[index])] == ["3"]


def test_what_has_no_lines_has_no_chart(tmp_path):
    make_run(tmp_path / "one" / "a")
    make_run(tmp_path / "one" / "b", seed=1)  # a single setting differs: its own chart shows it
    assert chart_of(tmp_path / "one") is None
    for number in range(2):
        make_run(tmp_path / "failed" / str(number), seed=number, lr=number, status="failed")
    assert chart_of(tmp_path / "failed") is None


def test_a_bad_run_does_not_press_the_others_together(tmp_path):
    for number, nll in enumerate((80, 80.5, 81, 81.5, 1e9)):
        make_run(tmp_path / str(number), nll=nll, seed=number, lr=10**-number, picture=False)
    places = {name: places[-1] for name, places in lines_of(chart_of(tmp_path))["runs"].items()}
    assert places["4"] == 1
    assert places["3"] - places["0"] > 0.3


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["s/000_lr-1", "s/001_lr-2"], ["000", "001"]),
        (["a/000_x", "b/000_x"], ["a/000", "b/000"]),
        (["runs/seed_1", "runs/seed_2"], ["seed_1", "seed_2"]),
        (["x", "sweep/x"], ["x", "sweep/x"]),
        (["_a"], ["_a"]),
        ([], []),
    ],
)
def test_short_names_tell_runs_apart(names, short):
    assert list(short_names(names).values()) == short
