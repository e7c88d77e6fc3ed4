"""The estimators of scikit-learn: its own checks, pipelines, searches, frames, pickles."""

import copy
import importlib
import pickle
import re
import sys
from functools import lru_cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_classifiers_train, check_estimator

from made_exp.cli import keywords
from made_exp.sklearn import MADEClassifier, MADEDensity, MADEImputer

TINY = {
    "trainer": {"max_steps": 2, "device": "cpu"},
    "model": {"hidden_sizes": [8], "baselines": []},
}
SHORT = {
    "trainer": {"max_steps": 60, "device": "cpu"},
    "model": {"hidden_sizes": [16], "baselines": []},
}
UNTRAINED = "two steps do not reach its accuracy: test_the_accuracy_that_is_asked_for_is_reached"
EXPECTED = {
    MADEDensity: {},
    MADEClassifier: {"check_classifiers_train": UNTRAINED},
    MADEImputer: {},
}


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """Compose the same settings once: that takes longer than two steps of training."""
    plain = keywords.compose_config
    known = {}

    def compose(command, overrides):
        key = tuple(overrides)
        if key not in known:
            known[key] = plain(command, overrides)
        return copy.deepcopy(known[key])

    monkeypatch.setattr(keywords, "compose_config", compose)


def tiny(kind, settings=TINY, **arguments):
    return kind(max_minutes=None, settings=settings, random_state=0, **arguments)


@lru_cache
def people():
    source = np.random.default_rng(0)
    age = source.integers(20, 60, 150)
    frame = pd.DataFrame(
        {
            "age": age,
            "group": np.where(age < 40, "young", "old"),
            "wage": source.normal(3000, 500, 150).round(2),
        }
    )
    frame.loc[::7, "group"] = None
    frame.loc[::5, "wage"] = np.nan
    return frame


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "kind",
    [
        MADEDensity,
        *(pytest.param(k, marks=pytest.mark.slow) for k in (MADEClassifier, MADEImputer)),
    ],
)
def test_estimators_pass_the_checks_of_scikit_learn(kind):
    found = check_estimator(
        tiny(kind), expected_failed_checks=EXPECTED[kind], on_skip=None, on_fail=None
    )
    failed = {one["check_name"]: one["exception"] for one in found if one["status"] == "failed"}
    assert not failed
    assert len(found) > 30


@pytest.mark.filterwarnings("ignore")
def test_the_accuracy_that_is_asked_for_is_reached():
    more = {"trainer.max_steps": 100, "model.hidden_sizes": [64], "optimizer.lr": 1e-2}
    check_classifiers_train("MADEClassifier", tiny(MADEClassifier, {**SHORT, **more}))


def test_a_density_of_a_frame_scores_and_draws():
    frame = people()
    density = tiny(MADEDensity, SHORT).fit(frame)
    assert density.score(frame) == pytest.approx(density.score_samples(frame).mean())
    assert list(density.feature_names_in_) == list(frame.columns)
    drawn = density.sample(7, random_state=1)
    pd.testing.assert_frame_equal(drawn, density.sample(7, random_state=1))
    assert list(drawn.columns) == list(frame.columns)
    for other in (pickle.loads(pickle.dumps(density)), copy.deepcopy(density)):
        np.testing.assert_array_equal(other.score_samples(frame), density.score_samples(frame))
    with pytest.raises(ValueError, match="feature names"):
        density.score(frame.rename(columns={"age": "old"}))


def test_searches_pipelines_and_folds_work():
    x, y = load_iris(return_X_y=True)
    x, y = x[::3], y[::3]
    pipeline = make_pipeline(StandardScaler(), tiny(MADEDensity))
    assert np.isfinite(cross_val_score(pipeline, x, cv=2)).all()
    settings = [TINY, {**TINY, "optimizer.lr": 1e-2}]
    search = GridSearchCV(tiny(MADEClassifier), {"settings": settings}, cv=2).fit(x, y)
    assert search.best_params_["settings"] in settings
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


def test_scaled_whole_numbers_have_densities_like_those_of_other_models():
    """No value is a spike an ulp wide; rows that were scaled otherwise are scored alike."""
    x = np.column_stack([load_iris().data, np.arange(150) % 3 == 0])
    settings = {**SHORT, "model": {"hidden_sizes": [16], "baselines": ["gaussian_mixture"]}}
    scaler, other = StandardScaler().fit(x), StandardScaler().fit(x[::2])
    rows = scaler.transform(x)
    found = tiny(MADEDensity, settings).fit(rows)
    smooth = GaussianMixture(3, random_state=0).fit(rows[:, :4]).score(rows[:, :4])
    assert abs(found.score(rows) - smooth) < 1.5
    assert found.score(rows + 1e-9) == pytest.approx(found.score(rows), abs=1e-3)
    assert found.score(other.transform(x)) == pytest.approx(found.score(rows), abs=0.5)


def test_classes_are_told_apart():
    x, y = load_iris(as_frame=True, return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    found = tiny(MADEClassifier, SHORT).fit(x, names)
    assert list(found.classes_) == ["setosa", "versicolor", "virginica"]
    assert found.score(x, names) > 0.85
    np.testing.assert_allclose(found.predict_proba(x).sum(1), 1)
    odd = x.copy().astype(object)
    odd.iloc[0, 0], odd.iloc[1, 1] = np.nan, 1e9  # neither is in train
    assert np.isfinite(found.predict_proba(odd.astype(float))).all()
    with pytest.raises(ValueError, match="one class"):
        tiny(MADEClassifier).fit(x, np.zeros(len(x)))


@pytest.mark.parametrize("called", ["frame of pandas", "array"])
def test_rows_are_called_what_they_were(called, caplog):
    rows = people()[["age", "wage"]].head(40)
    new = rows.assign(age=[20, 4000] * 20)
    if called == "array":
        rows, new = rows.to_numpy(), new.to_numpy()
    tiny(MADEClassifier).fit(rows, [0, 1] * 20).predict(new)
    assert re.search(rf"the {called}, row 1, column '\w+': '4000(\.0)?'", caplog.text)


@pytest.mark.parametrize("strategy", ["draw", "mean"])
def test_missing_cells_are_filled_and_all_others_kept(strategy):
    frame = people()
    imputer = tiny(MADEImputer, SHORT, strategy=strategy, num_samples=3).fit(frame)
    filled = imputer.transform(frame)
    assert not filled.isna().any().any()
    pd.testing.assert_frame_equal(filled.where(frame.notna()), frame.where(frame.notna()))
    assert imputer.transform(pl.from_pandas(frame)).null_count().sum_horizontal()[0] == 0
    assert list(imputer.get_feature_names_out()) == list(frame.columns)
    whole = make_pipeline(imputer, FunctionTransformer()).fit_transform(frame)
    assert set(whole.group) == {"old", "young"}


@pytest.mark.parametrize("strategy", ["draw", "mean"])
def test_identifiers_are_left_as_they_are(strategy):
    frame = pl.from_pandas(people()).with_row_index("id", 1000)
    imputer = tiny(MADEImputer, strategy=strategy, num_samples=2).fit(frame)
    rows = frame[:4].with_columns(pl.Series("id", [None, 3, None, 5], dtype=pl.UInt32))
    assert imputer.transform(rows)["id"].equals(rows["id"], null_equal=True)


@pytest.mark.parametrize(("name", "value"), [("strategy", "mode"), ("num_samples", 0)])
def test_wrong_arguments_are_said(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        tiny(MADEImputer, **{name: value}).fit(people())


def test_without_scikit_learn_its_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("made_exp.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    with pytest.raises(ImportError, match=r"pip install 'made-exp\[sklearn\]'"):
        importlib.import_module("made_exp.sklearn")
