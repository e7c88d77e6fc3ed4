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

_MAX_ROWS = 4000  # of train that are fitted
_MAX_VALID = 10_000  # of valid that choose
_MAX_NUMBERS = 2**21  # rows times variables that are
_MAX_PATTERNS = 64  # of unknown numbers with which covariances are worth their time
_MAX_DEVIATIONS = 100  # numbers for which they are
_MAX_WORK = 2e9  # in all, a few seconds
_KEPT, _PATIENCE, _LEAST_WEIGHT = 5, 2, 0.02
_CLASSES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
_FORMS = (("diagonal", 1.0), ("full", 0.1), ("tied", 1.0), ("full", 1.0), ("full", 0.01))


@torch.no_grad()
def fit_classes(
    coordinates: Coordinates, train: Rows, valid: Rows, seed: int = 0
) -> GaussianClasses:
    """The mixture of the best forms, kinds of covariances and numbers of classes on valid.

    Its weights are fitted to valid, so that none is chosen by luck alone; a function of the seed.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(_MAX_ROWS, _MAX_NUMBERS // (32 * len(coordinates.sizes)))
    if len(train) > size:
        train = train[torch.randperm(len(train), generator=generator)[:size]]
    if len(valid) > _MAX_VALID:
        valid = valid[torch.randperm(len(valid), generator=generator)[:_MAX_VALID]]
    start = started(coordinates, train)
    forms, work = list(_forms(train)), 0.0
    best, since = dict.fromkeys(forms, -torch.inf), dict.fromkeys(forms, 0)
    tried: list[tuple[Tensor, GaussianClasses]] = []
    for num_classes in _CLASSES:
        if num_classes > max(1, len(train) // 4):
            break
        for form in forms:
            if since[form] >= _PATIENCE or work > _MAX_WORK:
                continue
            fit = Fit(start, train, Form(num_classes, *form))
            model = fit.run(first_responsibilities(fit, generator))
            tried.append((model.row_log_prob(valid), model))
            work, reached = work + fit.work, float(tried[-1][0].mean())
            since[form] = 0 if reached > best[form] else since[form] + 1
            best[form] = max(best[form], reached)
    return _mixed(tried)


def _mixed(tried: list[tuple[Tensor, GaussianClasses]]) -> GaussianClasses:
    """The mixture of the best models, given with their log-probabilities (N,) of valid."""
    kept = sorted(tried, key=lambda one: -float(one[0].mean()))[:_KEPT]
    weights = fit_log_weights(torch.stack([log_probs for log_probs, _ in kept])).exp()
    models = [model for _, model in kept]
    chosen = (weights >= min(_LEAST_WEIGHT, float(weights.max()))).nonzero().flatten().tolist()
    log_weights = (weights[chosen] / weights[chosen].sum()).log()
    return GaussianClasses.merged([models[k] for k in chosen], log_weights)


def _forms(train: Rows) -> Iterator[tuple[str, float]]:
    """Kinds of covariances that suit the rows, each with its prior's examples."""
    count = train.numbers.shape[1]
    has_covariances = 1 < count <= _MAX_DEVIATIONS
    if has_covariances:
        has_covariances = len(list(patterns(train.numbers))) <= _MAX_PATTERNS
    for covariance, examples in _FORMS:
        if covariance == "diagonal" or has_covariances:
            yield covariance, examples
