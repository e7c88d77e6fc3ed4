"""Drawn rows beside real ones: scores by brute force, copies that are found, and the page."""

import html
import re

import numpy as np
import pytest
from experiment_cases import make_settings
from scipy.stats import ks_2samp, spearmanr
from test_tables import blanked, wine_rows, write

from made_exp import sample as made_sample
from made_exp.experiments import synthetic as made_report
from made_exp.experiments.experiment import run
from made_exp.reporting import quality
from made_exp.reporting.detection import detection_auc
from made_exp.reporting.fields import Field
from made_exp.reporting.figures.nearest import nearest_picture
from made_exp.reporting.nearness import nearness
from made_exp.reporting.quality import quality_of
from made_exp.reporting.similarity import column_scores, pair_scores
from made_exp.reporting.synthetic import Likelihood, make_synthetic_page, scores_of

pytestmark = pytest.mark.pictures

HOSTILE = "<img src=x onerror=alert(1)>"
FIELDS = (
    Field("size"),
    Field("weight", is_missing_a_value=True),
    Field(HOSTILE, ("red", "green", HOSTILE)),
    Field("kind", ("a", "b"), is_missing_a_value=True),
)


def rows(count, seed=0, shift=0.0):
    """Two numbers of which the second follows the first, and two categories; some cells miss."""
    source = np.random.default_rng(seed)
    size = source.normal(shift, 1, count)
    weight = np.where(source.random(count) < 0.2, np.nan, size + source.normal(0, 1, count))
    kind = np.where(source.random(count) < 0.3, np.nan, (size > 0).astype(float))
    return np.column_stack([size, weight, source.integers(0, 3, count), kind]).round(2)


def test_scores_of_columns_are_complements_of_known_distances():
    real, drawn = rows(200), rows(150, seed=1, shift=0.5)
    size, weight, colour, kind = column_scores(real, drawn, FIELDS)
    assert size == pytest.approx(1 - ks_2samp(real[:, 0], drawn[:, 0]).statistic)
    known = [x[~np.isnan(x[:, 1]), 1] for x in (real, drawn)]
    assert weight == pytest.approx(1 - ks_2samp(*known).statistic)
    shares = [np.bincount(x[:, 2].astype(int), minlength=3) / len(x) for x in (real, drawn)]
    assert colour == pytest.approx(1 - np.abs(shares[0] - shares[1]).sum() / 2)
    assert 0 <= kind < 1
    assert column_scores(real, real, FIELDS).tolist() == [1.0] * 4
    empty = real.copy()
    empty[:, 3] = np.nan
    assert column_scores(real, empty, FIELDS)[3] == pytest.approx(np.isnan(real[:, 3]).mean())


def test_scores_of_pairs_are_of_correlations_and_contingency():
    real, drawn = rows(300), rows(200, seed=1)
    drawn[:, 3] = drawn[::-1, 3]  # no more of the first column
    found = {(a, b): score for score, a, b in pair_scores(real, drawn, FIELDS)}
    assert len(found) == 6
    # Of the second of them a missing cell is a value: (3, 3) cells.
    tables = [
        np.histogram2d(x[:, 2], np.nan_to_num(x[:, 3], nan=2.0), [np.arange(-0.5, 3)] * 2)[0]
        for x in (real, drawn)
    ]
    shares = [table / table.sum() for table in tables]
    assert found[2, 3] == pytest.approx(1 - np.abs(shares[0] - shares[1]).sum() / 2)
    assert min(found, key=found.get) in {(0, 3), (1, 3)}
    numbers = [np.column_stack([x[:, 0], x[:, 0] + x[:, 2]]) for x in (real, drawn)]
    ((score, _, _),) = pair_scores(*numbers, (Field("one"), Field("other")))
    first, second = (spearmanr(*x.T).statistic for x in numbers)
    assert score == pytest.approx(1 - abs(first - second) / 2)


def test_the_nearest_row_is_that_of_a_mixed_distance():
    learned, held_out, drawn = rows(60), rows(40, seed=1), rows(30, seed=2)
    drawn[:3] = learned[5:8]
    found = nearness(learned, held_out, drawn, FIELDS)
    low, high = np.nanquantile(learned[:, :2], [0.01, 0.99], axis=0)

    def distance(a, b):
        parts = []
        for d in range(4):
            if np.isnan(a[d]) or np.isnan(b[d]):
                parts.append(float(np.isnan(a[d]) != np.isnan(b[d])))
            elif d < 2:
                parts.append(min(1.0, abs(a[d] - b[d]) / (high - low)[d]))
            else:
                parts.append(float(a[d] != b[d]))
        return np.mean(parts)

    expected = [min(distance(a, b) for b in learned) for a in drawn]
    assert found.drawn == pytest.approx(np.array(expected), abs=1e-5)
    copied = [
        np.mean([min(distance(a, b) for b in learned) == 0 for a in x]) for x in (drawn, held_out)
    ]
    assert found.copies == pytest.approx(tuple(copied))
    assert found.copies[0] >= 0.1
    assert found.drawn[:3].tolist() == [0.0] * 3


def test_copies_stand_out_and_new_rows_do_not():
    learned, held_out = rows(400), rows(300, seed=1)
    near = [nearness(learned, held_out, x, FIELDS).near for x in (rows(300, seed=2), learned)]
    assert near[0] < 0.12
    assert near[1] == 1.0
    # Rows of few values are copies whoever draws them: what counts is how many by chance.
    few = [np.round(rows(300, seed)[:, 2:3]) for seed in range(3)]
    found = nearness(*few, FIELDS[2:3])
    assert found.copies == (1.0, 1.0)
    assert found.near == pytest.approx(0.05)
    assert nearest_picture(found.drawn, found.held_out).shape[2] == 3


def test_copies_are_found_in_pieces_as_in_all_rows():
    learned, held_out = rows(400), rows(300, seed=1)
    drawn = np.concatenate([learned[::7], rows(100, seed=2)])
    whole = nearness(learned, held_out, drawn, FIELDS).copies
    assert 0 < whole[0] < 1
    pieces = (learned[start : start + 90] for start in range(0, 400, 90))
    assert nearness(learned[:50], held_out, drawn, FIELDS, pieces).copies == whole


def test_a_classifier_tells_what_differs():
    same = detection_auc(rows(200), rows(200, seed=1), FIELDS)
    other = detection_auc(rows(200), rows(200, seed=1, shift=3.0), FIELDS)
    assert abs(same[0] - 0.5) < 4 * same[1] + 0.05
    assert other[0] > 0.9
    assert detection_auc(rows(9), rows(200), FIELDS) is None


def test_the_page_is_whole_and_trusts_no_name():
    found = quality_of(rows(200), rows(80, seed=1), rows(90, seed=2), FIELDS)
    page = make_synthetic_page(found, [Likelihood("train", -3.0, 0.1)], HOSTILE, [HOSTILE])
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") >= 3
    assert not re.search(r'(src|href)="(?!data:)|<script|@import', page)
    assert "-3.000" in page
    names = [score.name for score in scores_of(found)]
    assert names == ["columns", "pairs", "classifier AUC", "exact copies", "very near rows"]
    lone = quality_of(rows(50)[:, :1], rows(9)[:, :1], rows(9)[:, :1], FIELDS[:1])
    assert lone.pair_means is None
    assert "Score of each pair" not in make_synthetic_page(lone, [], "x", [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a table with empty cells that are left out, and its table."""
    folder = tmp_path_factory.mktemp("synthetic")
    write(folder / "wine.csv", blanked(wine_rows()))
    settings = make_settings(
        folder,
        dataset={"name": "table", "path": str(folder / "wine.csv"), "missing": "ignore"},
        ordering={"name": "agnostic", "num_orderings": 2},
        trainer={"epochs": 2},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        run(settings, folder / "outputs/runs/RUN")
        yield folder


def test_rows_are_written_with_a_report_beside_them(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").symlink_to(folder / "outputs")
    (example,) = [one for one in made_sample.main.examples if "report=true" in one]
    assert made_sample.main([*example.split(), "num_samples=60", "temperature=0.9"]) == 0
    page = (tmp_path / "rows_report.html").read_text()
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 61
    out = capsys.readouterr().out
    assert re.search(r"classifier AUC +0\.\d+ ± 0\.\d+ +real rows 0\.5\n", out)
    assert out.splitlines()[-2:] == ["report: rows_report.html", "rows.csv"]
    assert "Cells of the synthetic rows are left out here where real rows lack them." in page
    assert "Drawn with temperature=0.9" in page
    assert "60 synthetic rows against 36 real rows" in page
    monkeypatch.setattr(quality, "can_detect", lambda: False)
    assert made_sample.main([*example.split(), "num_samples=20"]) == 0
    page = html.unescape((tmp_path / "rows_report.html").read_text())
    assert "(needs scikit-learn: pip install 'made-exp[sklearn]')" in page
    assert "classifier AUC   unknown" in capsys.readouterr().out


def test_of_very_many_rows_some_are_looked_at(folder, tmp_path, monkeypatch):
    looked_at, as_read = [], made_report.as_read

    def reading(dataset, x):
        looked_at.append(len(x))
        return as_read(dataset, x)

    monkeypatch.setattr(made_report, "as_read", reading)
    monkeypatch.setattr(made_report, "_MAX_CELLS", 1)
    monkeypatch.setattr(made_report, "_MIN_ROWS", 24)
    monkeypatch.setattr(made_report, "ROWS", 16)
    asked = [f"run={folder / 'outputs/runs/RUN'}", "report=true", "num_samples=20"]
    assert made_sample.main([*asked, f"path={tmp_path / 'rows.csv'}"]) == 0
    assert max(looked_at) == 24
    assert sum(looked_at) == 24 + 24 + 20 + 142  # train, held out, drawn, all of train in pieces
    page = (tmp_path / "rows_report.html").read_text()
    assert "Of 142 rows of train 24 were looked at and of 36 held-out ones 24" in page


def test_what_cannot_be_reported_is_one_line_and_nothing_is_written(
    folder, tmp_path, monkeypatch, capsys
):
    rows_file, page = tmp_path / "rows.csv", tmp_path / "rows_report.html"
    asked = [f"run={folder / 'outputs/runs/RUN'}", "report=true", f"path={rows_file}"]
    page.write_text("mine")
    for more, message in (
        ([], "is no report of made-sample; give the rows another name"),
        ([f"path={tmp_path / 'a.png'}"], "report=true compares the columns of tables"),
        (["given={hue: 1}"], "report=true compares rows of the whole model: take it without given"),
        (["observed=random_half"], "take it without observed"),
        (["data=none.csv"], "data=none.csv"),
    ):
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            (folder / "wine.csv").rename(folder / "moved.csv")
            moved = [f"data={folder / 'moved.csv'}"] * (message[:5] != "data=")
            assert made_sample.main([*asked, *moved, *more]) == 2
            (folder / "moved.csv").rename(folder / "wine.csv")
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error or "none.csv" in error
    assert page.read_text() == "mine"
    assert not rows_file.exists()
    assert made_report.page_of(tmp_path / "a.b.csv.gz") == tmp_path / "a.b_report.html"
