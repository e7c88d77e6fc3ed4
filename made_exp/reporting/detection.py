"""How well a classifier tells drawn rows from real ones."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from made_exp.reporting.fields import Field

LACKING = "needs scikit-learn: pip install 'made-exp[sklearn]'"
_MAX_ROWS, _FOLDS, _MAX_CATEGORIES = 3000, 5, 250


def can_detect() -> bool:
    """Whether scikit-learn is installed."""
    return find_spec("sklearn") is not None


def detection_auc(
    real: np.ndarray, drawn: np.ndarray, fields: Sequence[Field], seed: int = 0
) -> tuple[float, float] | None:
    """Area under the curve of gradient boosting that tells drawn rows from real ones, and error.

    0.5 where they cannot be told apart, 1 where always. It is the mean over five folds, each
    scored by a classifier of the other four, of equally many rows of both (up to 3000); its error
    is the standard error of that mean.

    Args:
        real: (n, D) float64, NaN where missing.
        drawn: (m, D) alike.
        fields: D columns.
        seed: Of the folds.

    Returns:
        None where there are fewer than ten rows of either.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    count = min(len(real), len(drawn), _MAX_ROWS)
    if count < 2 * _FOLDS:
        return None
    source = np.random.default_rng(seed)
    chosen = [x[source.choice(len(x), count, replace=False)] for x in (real, drawn)]
    x, y = np.concatenate(chosen), np.arange(2 * count) // count
    # Numbers far out are no less numbers; categories that are too many are taken in their order.
    is_category = [f.names is not None and len(f.names) < _MAX_CATEGORIES for f in fields]
    model = HistGradientBoostingClassifier(categorical_features=is_category, random_state=seed)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    scores = [
        roc_auc_score(y[test], model.fit(x[train], y[train]).predict_proba(x[test])[:, 1])
        for train, test in folds.split(x, y)
    ]
    return float(np.mean(scores)), float(np.std(scores, ddof=1) / _FOLDS**0.5)
