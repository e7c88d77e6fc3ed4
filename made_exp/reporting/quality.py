"""What is told of drawn rows beside real ones that the model did not learn from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from made_exp.reporting.comparison import MAX_ROWS, Comparison, compare
from made_exp.reporting.detection import can_detect, detection_auc
from made_exp.reporting.fields import Field
from made_exp.reporting.nearness import Nearness, nearness
from made_exp.reporting.similarity import column_scores, pair_scores


@dataclass(frozen=True)
class Quality:
    """Drawn rows and, for reference, as many real rows of train, each against held-out rows.

    Attributes:
        fields: D columns.
        held_out: (n, D) real rows, float64, NaN where missing.
        drawn: (m, D) alike, those that were looked at.
        comparison: Of both, with z-scores.
        columns: (2, D) scores in [0, 1] of the drawn rows and of the reference.
        pairs: Scores of the drawn rows by pair of columns, the worst first.
        reference_pairs: Scores of the reference, by the numbers of both columns.
        nearness: Whether rows were copied.
        auc: Of a classifier, and its error; None where there is none.
        has_classifier: Whether scikit-learn is installed.
    """

    fields: tuple[Field, ...]
    held_out: np.ndarray
    drawn: np.ndarray
    comparison: Comparison
    columns: np.ndarray
    pairs: list[tuple[float, int, int]]
    reference_pairs: dict[tuple[int, int], float]
    nearness: Nearness
    auc: tuple[float, float] | None
    has_classifier: bool

    @property
    def column_means(self) -> tuple[float, float]:
        """Mean scores of the columns of the drawn rows, and of the reference."""
        drawn, reference = self.columns.mean(1).tolist()
        return drawn, reference

    @property
    def pair_means(self) -> tuple[float, float] | None:
        """The same of the pairs; None where there is one column."""
        if not self.pairs:
            return None
        drawn = float(np.mean([score for score, _, _ in self.pairs]))
        return drawn, float(np.mean([*self.reference_pairs.values()]))


def quality_of(
    learned: np.ndarray,
    held_out: np.ndarray,
    drawn: np.ndarray,
    fields: Sequence[Field],
    pieces: Iterable[np.ndarray] | None = None,
) -> Quality:
    """Look at rows (.., D) float64, NaN where missing, that have the columns `fields`.

    `pieces` are all rows that were learned from, where `learned` are some of very many.
    """
    source = np.random.default_rng(0)
    real, ours = (_some(x, MAX_ROWS, source) for x in (held_out, drawn))
    reference = _some(learned, len(ours), source)
    pairs = pair_scores(real, ours, fields)
    has_classifier = can_detect()
    return Quality(
        fields=tuple(fields),
        held_out=real,
        drawn=ours,
        comparison=compare(real, ours, fields),
        columns=np.stack([column_scores(real, x, fields) for x in (ours, reference)]),
        pairs=pairs,
        reference_pairs={(a, b): score for score, a, b in pair_scores(real, reference, fields)},
        nearness=nearness(learned, held_out, drawn, fields, pieces),
        auc=detection_auc(real, ours, fields) if has_classifier else None,
        has_classifier=has_classifier,
    )


def _some(x: np.ndarray, most: int, source: np.random.Generator) -> np.ndarray:
    return x if len(x) <= most else x[np.sort(source.choice(len(x), most, replace=False))]
