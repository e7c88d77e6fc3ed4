"""Which latent-class Gaussian model a table gets: those that predict valid best, together."""

from collections.abc import Iterator

import torch
from torch import Tensor

from made_exp.datasets.baselines.coordinates import Coordinates, Rows
from made_exp.datasets.baselines.expectation import (
    Fit,
    Form,
    first_responsibilities,
    started,
)
from made_exp.datasets.baselines.gaussian_classes import GaussianClasses, patterns
from made_exp.variables.mixing import fit_log_weights

_SMALL = 2000  # rows up to which many forms are tried
_MAX_ROWS = 10_000  # of train that are fitted
_MAX_WORK = 2**22  # rows times variables that are
_MAX_PATTERNS = 64  # of unknown numbers with which covariances are worth their time
_MAX_NUMBERS = 100  # for which they are
_KEPT, _PATIENCE = 6, 2
_CLASSES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
_CLASSES_OF_LARGE = (1, 2, 4, 8, 16, 32)
_FORMS = (("diagonal", 1.0), ("tied", 1.0), ("full", 0.01), ("full", 0.1), ("full", 1.0))


@torch.no_grad()
def fit_classes(
    coordinates: Coordinates, train: Rows, valid: Rows, seed: int = 0
) -> GaussianClasses:
    """The mixture of the best forms, kinds of covariances and numbers of classes on valid.

    Its weights are fitted to valid, so that none is chosen by luck alone; a function of the seed.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(_MAX_ROWS, _MAX_WORK // (32 * len(coordinates.sizes)))
    if len(train) > size:
        train = train[torch.randperm(len(train), generator=generator)[:size]]
    start = started(coordinates, train)
    tried: list[tuple[Tensor, GaussianClasses]] = []
    for covariance, examples in _forms(train):
        best, since = -torch.inf, 0
        for num_classes in _CLASSES if len(train) <= _SMALL else _CLASSES_OF_LARGE:
            if num_classes > 1 and num_classes > len(train) // 4:
                break
            scored = _fitted(
                start, train, valid, Form(num_classes, covariance, examples), generator
            )
            tried.append(scored)
            reached = float(scored[0].mean())
            best, since = max(best, reached), 0 if reached > best else since + 1
            if since >= _PATIENCE:
                break
    tried.sort(key=lambda one: -float(one[0].mean()))
    kept = tried[:_KEPT]
    log_weights = fit_log_weights(torch.stack([log_probs for log_probs, _ in kept]))
    return GaussianClasses.merged([model for _, model in kept], log_weights)


def _forms(train: Rows) -> Iterator[tuple[str, float]]:
    count = train.numbers.shape[1]
    has_covariances = 1 < count <= _MAX_NUMBERS
    if has_covariances:
        has_covariances = len(list(patterns(train.numbers))) <= _MAX_PATTERNS
    for covariance, examples in _FORMS:
        if covariance == "diagonal" or has_covariances:
            yield covariance, examples


def _fitted(
    start: GaussianClasses, train: Rows, valid: Rows, form: Form, generator: torch.Generator
) -> tuple[Tensor, GaussianClasses]:
    """The better of a few fits, with its log-probabilities (N,) of valid."""
    repeats = 2 if 1 < form.num_classes <= 6 and len(train) <= _SMALL else 1
    found = []
    for _ in range(repeats):
        fit = Fit(start, train, form)
        model = fit.run(first_responsibilities(fit, generator))
        found.append((model.row_terms(valid).sum(1), model))
    return max(found, key=lambda one: float(one[0].mean()))
