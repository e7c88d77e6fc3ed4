"""The density of rows."""

from typing import Any, Self, final

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from made_exp.sklearn.estimator import MADEEstimator


@final
class MADEDensity(DensityMixin, MADEEstimator):
    """A density of the rows of an array or a frame, of any kinds of columns.

    Scaled whole numbers have the density of cells as wide as they lie apart; of columns of two
    values and of whole numbers it is a probability.

    Arguments are those of the other estimators: experiment, max_minutes, settings, random_state.

    Attributes:
        model_: The `Density`, for all other questions.

    Examples:
        >>> short = {"trainer.max_steps": 100, "model.hidden_sizes": [32]}
        >>> density = MADEDensity(max_minutes=None, settings=short, random_state=0).fit(people)
        >>> density.score_samples(people).shape, len(density.sample(5))
        ((300,), 5)
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the density of rows X (n, D); y is not read.

        Raises:
            ValueError: If a setting or the data do not fit.
        """
        self.model_ = self._fitted(self._start(X))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-probability of each row, (n,) nats."""
        rows = self._rows(X)
        found: np.ndarray = self.model_.log_prob(rows)
        return found

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-probability of rows, in nats."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draw rows like those of `fit`; the same random_state draws the same.

        Args:
            n_samples: How many.
            random_state: In place of that of the estimator.
        """
        check_is_fitted(self)
        own = self.random_state if random_state is None else random_state
        return self.model_.sample(n_samples, seed=self._seed(own))
