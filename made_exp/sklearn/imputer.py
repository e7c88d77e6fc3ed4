"""Missing cells filled."""

import math
from collections.abc import Mapping
from typing import Any, Self, final

import numpy as np
import polars as pl
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from typing_extensions import override

from made_exp.datasets.table.frames import polars_frame
from made_exp.datasets.table.libraries import adopted
from made_exp.errors import whole_number
from made_exp.sklearn.estimator import MADEEstimator

STRATEGIES = ("draw", "mean")


@final
class MADEImputer(OneToOneFeatureMixin, TransformerMixin, MADEEstimator):
    """Fills missing cells given the others of their row; those that are there stay as they are.

    Args:
        strategy: "draw": each by a draw, so that filled rows are like whole ones; "mean": numbers
            by the mean of `num_samples` draws, all else by the most frequent.
        num_samples: Draws behind a mean.
        experiment: As of the other estimators.
        max_minutes: As of the other estimators.
        settings: As of the other estimators.
        random_state: As of the other estimators.

    Attributes:
        model_: The `Density`.

    Examples:
        >>> short = {"trainer.max_steps": 100, "model.hidden_sizes": [32]}
        >>> imputer = MADEImputer(max_minutes=None, settings=short, random_state=0).fit(people)
        >>> imputer.transform(pl.DataFrame({"age": [30], "town": [None]}))["town"].null_count()
        0
    """

    def __init__(
        self,
        strategy: str = "draw",
        num_samples: int = 20,
        experiment: str | None = "table",
        max_minutes: float | None = 2,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        super().__init__(experiment, max_minutes, settings, random_state)
        self.strategy = strategy
        self.num_samples = num_samples

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the density of rows X (n, D); y is not read.

        Raises:
            ValueError: If an argument or the data do not fit.
        """
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {STRATEGIES}, got {self.strategy!r}")
        whole_number("num_samples", self.num_samples, 1)
        self.model_ = self._fitted(self._start(X))
        return self

    def transform(self, X: Any) -> Any:
        """The rows with their missing cells filled, in a frame or an array as they came in."""
        rows = self._rows(X)
        seed = self._seed(self.random_state)
        if self.strategy == "draw":
            done = self.model_.complete(rows, seed=seed)
        else:
            done = self._means(rows, seed)
        return done.to_numpy() if isinstance(X, np.ndarray) and self._is_frame else done

    @override
    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _means(self, rows: Any, seed: int) -> Any:
        library, frame = adopted(rows)
        drawn = self.model_.complete(rows, num_samples=self.num_samples, seed=seed)
        before, after = polars_frame(rows)[0], polars_frame(drawn)[0]
        for place, column in enumerate(before.get_columns()):
            given = column.fill_nan(None) if column.dtype.is_float() else column
            is_given = given.is_not_null().to_numpy()
            if not is_given.all():
                own = after.to_series(place).to_numpy().reshape(len(column), -1)[~is_given]
                values = pl.Series(column.name, [_middle(row, column.dtype) for row in own])
                frame = library.put(frame, place, is_given, values)
        return frame


def _middle(values: np.ndarray, dtype: pl.DataType) -> Any:
    """The mean of numbers, whole where they are; else the most frequent value."""
    if dtype.is_numeric():
        mean = float(np.mean(values.astype(np.float64)))
        if math.isnan(mean):  # of an identifier, which is not drawn
            return None
        return round(mean) if dtype.is_integer() else mean
    known = [value for value in values.tolist() if value is not None]
    return max(known, key=known.count, default=None)
