"""What the estimators share: settings, seeds, and rows as frames or arrays."""

from abc import ABC
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from made_exp.cli.fit import fit
from made_exp.datasets.table.frames import column_names, polars_frame
from made_exp.datasets.table.libraries import adopted
from made_exp.density.density import Density


class MADEEstimator(BaseEstimator, ABC):
    """What the estimators share.

    Args:
        experiment: See `fit`.
        max_minutes: Of each fit; see `fit`.
        settings: Of the command, by the same names, such as {"trainer.max_steps": 500}.
        random_state: An integer, a RandomState or None, of training and of draws.
    """

    def __init__(
        self,
        experiment: str | None = "table",
        max_minutes: float | None = 2,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.experiment = experiment
        self.max_minutes = max_minutes
        self.settings = settings
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _fitted(self, data: Any, **own: Any) -> Density:
        seed = self._seed(self.random_state)
        settings = own | dict(self.settings or {})
        return fit(data, self.experiment, self.max_minutes, seed=seed, **settings)

    def _seed(self, random_state: Any) -> int:
        if isinstance(random_state, int | np.integer):
            return int(random_state)
        return int(check_random_state(random_state).randint(2**31 - 1))

    def _start(self, X: Any) -> Any:
        """Frames as they are, and all else as an array, of what is to be learned."""
        data = self._checked(X, reset=True, at_least=2)
        self._is_frame = not isinstance(data, np.ndarray)
        self._names = column_names(data)
        return data

    def _rows(self, X: Any) -> Any:
        """New rows as those were that were learned: an array, or a frame with their columns."""
        check_is_fitted(self)
        data = self._checked(X, reset=False)
        if self._is_frame and isinstance(data, np.ndarray):
            frame, _ = polars_frame(data)
            return frame.rename(dict(zip(frame.columns, self._names, strict=True)))
        if not self._is_frame and not isinstance(data, np.ndarray):
            return check_array(data, dtype=None, ensure_all_finite="allow-nan")
        return data

    def _checked(self, X: Any, reset: bool, at_least: int = 1) -> Any:
        if hasattr(X, "__dataframe__") or hasattr(X, "__arrow_c_stream__"):
            frame = adopted(X)[1]
            validate_data(self, frame, reset=reset, skip_check_array=True)
            return frame
        return validate_data(
            self,
            X,
            reset=reset,
            dtype=None,
            ensure_all_finite="allow-nan",
            ensure_min_samples=at_least,
        )
