"""Latent-class Gaussian models by expectation maximisation; how many classes, valid decides."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from made_exp.datasets.baselines.coordinates import Coordinates, Rows
from made_exp.datasets.baselines.gaussian_classes import (
    LEAST_DEVIATION,
    GaussianClasses,
    patterns,
)
from made_exp.variables.numbers import WRITTEN_SCALE

_TOLERANCE, _MAX_STEPS = 1e-3, 50  # nats an example; steps
_STEP_WORK = 2e6  # of a step, whatever its size
_MEAN_EXAMPLES = 0.01  # that have the mean of all, for the mean of a class
_FEATURE_STATES = 200  # most states that count in the first guess
_LLOYD_STEPS = 5
_SMALLEST_SHARE = 1e-6  # of the spread of a number that its least deviation may be


@dataclass(frozen=True)
class Form:
    """What classes may be.

    Attributes:
        num_classes: K.
        covariance: "full", "tied" (one of all classes) or "diagonal".
        examples: How many examples a class has beside its own that say what all say: of each
            column's table of states, and for full covariances more by one a number.
    """

    num_classes: int
    covariance: str
    examples: float


class Fit:
    """Fits one form to rows; each step never lowers the log-likelihood with its prior.

    Args:
        start: Gives variables, locations and scales, and with one class the states' shares.
        rows: N rows.
        form: What is fitted.

    Attributes:
        model: The fit so far.
        work: About how many multiplications its steps took.
    """

    def __init__(self, start: GaussianClasses, rows: Rows, form: Form) -> None:
        self.form, self.rows = form, rows
        self.numbers = start.standardised(rows)
        self.index = start.coordinates.index(rows.states)
        self.patterns = list(patterns(self.numbers))
        self.shares = start.tables[0].exp()
        count = self.numbers.shape[1]
        self.examples = form.examples * (1 + (form.covariance == "full") * count)
        self.prior = form.num_classes ** (-2 / max(count, 1))  # variance of a class, so far
        self.least = least_deviations(start)
        self.model = GaussianClasses.merged([start], torch.zeros(1))
        self.work = 0.0

    def run(self, responsibilities: Tensor) -> GaussianClasses:
        """The fit that begins with these responsibilities (N, K) of the classes."""
        last = -math.inf
        self.maximise(responsibilities)
        for _ in range(_MAX_STEPS):
            responsibilities, reached = self.expect()
            if reached - last < _TOLERANCE * len(self.rows):
                break
            last = reached
            self.maximise(responsibilities)
        return self.model

    def expect(self) -> tuple[Tensor, float]:
        """Responsibilities (N, K), and the log-likelihood with its prior, in nats."""
        joint = self.model.class_log_probs(self.rows, has_cells=False) + self.model.log_weights
        total = joint.logsumexp(1)
        return (joint - total[:, None]).exp(), float(total.sum()) + self.log_prior()

    def log_prior(self) -> float:
        """What the prior adds to the log-likelihood, up to a constant."""
        model = self.model
        log_prior = model.log_weights.sum()
        log_prior += self.form.examples * (self.shares * model.tables.clamp(min=-1e3)).sum()
        if self.numbers.shape[1]:
            factors = torch.linalg.cholesky(model.covariances)
            inverse, means = torch.cholesky_inverse(factors), model.means
            spread = (means[:, None] @ inverse @ means[..., None]).flatten()
            traces = self.prior * inverse.diagonal(dim1=1, dim2=2).sum(1)
            log_dets = 2 * factors.diagonal(dim1=1, dim2=2).log().sum(1)
            examples = _MEAN_EXAMPLES * (spread + log_dets) + self.examples * (traces + log_dets)
            log_prior -= 0.5 * examples.sum()
        return float(log_prior)

    def maximise(self, responsibilities: Tensor) -> None:
        """Set the model to what fits these responsibilities (N, K) best."""
        counts = responsibilities.sum(0)
        self.work += _STEP_WORK * (1 + len(self.patterns) / 8) + responsibilities.numel() * len(
            self.model.coordinates.sizes
        ) * (1 + self.numbers.shape[1] / 4)
        self.model.tables = self._tables(responsibilities)
        if self.numbers.shape[1]:
            first, second = self._moments(responsibilities)
            weight = counts + _MEAN_EXAMPLES
            means = first / weight[:, None]
            scatter = second - weight[:, None, None] * means[:, :, None] * means[:, None]
            self.model.means, self.model.covariances = means, self._covariances(scatter, weight)
        else:
            self.model.means = self.numbers.new_zeros(len(counts), 0)
            self.model.covariances = self.numbers.new_zeros(len(counts), 0, 0)
        self.model.log_weights = ((counts + 1) / (counts + 1).sum()).log()

    def _tables(self, responsibilities: Tensor) -> Tensor:
        """Log-probabilities (K, T + 2) of states."""
        sizes = self.model.coordinates.sizes
        counts = responsibilities.new_zeros(len(self.shares), responsibilities.shape[1])
        for column, size in zip(self.index.T, sizes, strict=True):
            if size > 1:
                counts.index_add_(0, column, responsibilities)
        counts = (counts + self.form.examples * self.shares[:, None])[: sum(sizes)]
        totals = torch.stack([part.sum(0) for part in counts.split(sizes)])
        totals = totals.repeat_interleave(torch.tensor(sizes), 0)
        ends = counts.new_tensor([[0.0], [-torch.inf]]).expand(2, counts.shape[1])
        return torch.cat([(counts / totals).log(), ends]).T.contiguous()

    def _moments(self, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of z (K, R) and of z z' (K, R, R) that each class is expected to have."""
        model, num_classes = self.model, responsibilities.shape[1]
        count = self.numbers.shape[1]
        first = self.numbers.new_zeros(num_classes, count)
        second = self.numbers.new_zeros(num_classes, count, count)
        for own, known, z in self.patterns:
            weights = responsibilities[own].T  # (K, n)
            expected = z.expand(num_classes, *z.shape)
            if not bool(known.all()):
                expected, spread = _expected(z, known, *_first_guess(model, num_classes))
                second += weights.sum(1)[:, None, None] * spread
            weighted = weights[..., None] * expected
            first += weighted.sum(1)
            second += weighted.mT @ expected
        return first, second

    def _covariances(self, scatter: Tensor, weight: Tensor) -> Tensor:
        """Covariances (K, R, R) from the sums of squares and the examples (K,) of each class."""
        scatter = scatter + self.examples * self.prior * torch.eye(scatter.shape[1]).double()
        weight = weight + self.examples
        if self.form.covariance == "tied":
            scatter = scatter.sum(0).expand_as(scatter)
            weight = weight.sum().expand_as(weight)
        covariances = scatter / weight[:, None, None]
        if self.form.covariance == "diagonal":
            variances = covariances.diagonal(dim1=1, dim2=2)
            return torch.diag_embed(variances.maximum(self.least.square()))
        return floored(covariances, self.least)


def floored(covariances: Tensor, least: Tensor) -> Tensor:
    """Covariances (K, R, R), likeliest among those in which no direction varies less than `least`.

    In units of the deviations `least` (R,) all eigenvalues are at least one.
    """
    # A floor far below the spread, as of wide whole numbers, would be lost in rounding.
    spread = covariances.diagonal(dim1=1, dim2=2).amax(0).sqrt()
    least = least.maximum(_SMALLEST_SHARE * spread)
    scaled = covariances / (least[:, None] * least)
    values, vectors = torch.linalg.eigh(scaled)
    raised = (vectors * values.clamp(min=1.0)[:, None]) @ vectors.mT
    return torch.where((values < 1).any(1)[:, None, None], raised, scaled) * (
        least[:, None] * least
    )


def least_deviations(start: GaussianClasses) -> Tensor:
    """Least deviation (R,) of standardised numbers, where most values are.

    Of whole ones a cell; of computed ones no density is to be higher than that of a cell.
    """
    coordinates, out = start.coordinates, torch.full_like(start.scales, LEAST_DEVIATION)
    for r, d in enumerate(coordinates.numeric.tolist()):
        variable, cell = coordinates.variables[d], 1.0
        middle = variable.transform.inverse(start.locations[r])
        if variable.is_real:
            is_written = variable.digit is None
            cell = 0.0 if is_written else WRITTEN_SCALE * float(variable.log_cells(middle).exp())
        slope = variable.transform.log_slope(middle).exp()
        out[r] = (cell * slope / start.scales[r]).clamp(min=LEAST_DEVIATION)
    return out


def _first_guess(model: GaussianClasses, num_classes: int) -> tuple[Tensor, Tensor]:
    """Means and covariances as they are; before the first step those of all rows."""
    if model.num_classes == num_classes:
        return model.means, model.covariances
    shape = (num_classes, *model.means.shape[1:])
    return model.means[:1].expand(shape), model.covariances[:1].expand(*shape, shape[1])


def _expected(
    z: Tensor, known: Tensor, means: Tensor, covariances: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean (K, n, R) of the numbers z (n, R) given the known ones, and covariance (K, R, R)."""
    across = covariances[:, ~known][:, :, known]
    solved = torch.linalg.solve(covariances[:, known][:, :, known], across.mT)
    expected = z.repeat(len(means), 1, 1)
    rest = z[:, known] - means[:, None, known]
    expected[:, :, ~known] = means[:, None, ~known] + rest @ solved
    spread = torch.zeros_like(covariances)
    left = torch.outer(~known, ~known)
    spread[:, left] = (covariances[:, ~known][:, :, ~known] - across @ solved).flatten(1)
    return expected, spread


def started(coordinates: Coordinates, rows: Rows) -> GaussianClasses:
    """One class that fits rows: the states' shares, half an example added, and diagonal normals."""
    start = GaussianClasses(coordinates.variables)
    index = coordinates.index(rows.states)
    counts = torch.bincount(index.flatten(), minlength=coordinates.num_states + 2).double()
    parts = [part + 0.5 for part in counts[: coordinates.num_states].split(coordinates.sizes)]
    shares = [part / part.sum() for part in parts]
    start.tables = torch.cat([*shares, counts.new_tensor([1.0, 0.0])]).log()[None]
    known = ~torch.isnan(rows.numbers)
    total = known.sum(0).clamp(min=1)
    start.locations = rows.numbers.nan_to_num(0).sum(0) / total
    rest = (rows.numbers - start.locations).nan_to_num(0)
    deviations = (rest.square().sum(0) / total).sqrt()
    start.scales = torch.where(deviations > 0, deviations, 1.0)
    start.covariances = torch.eye(len(start.scales), dtype=torch.float64)[None]
    return start


def first_responsibilities(fit: Fit, generator: torch.Generator) -> Tensor:
    """Responsibilities (N, K) from K means of numbers and states, whose seeds lie far apart."""
    num_classes = fit.form.num_classes
    features = fit.numbers.nan_to_num(0)
    if len(fit.shares) <= _FEATURE_STATES:
        states = torch.zeros(len(features), len(fit.shares), dtype=torch.float64)
        states.scatter_(1, fit.index, 1.0)
        features = torch.cat([features, states[:, :-2] * math.sqrt(0.5)], 1)
    distances, centres = features.new_ones(len(features)), []
    for _ in range(num_classes):
        chosen = torch.multinomial(distances + 1e-12, 1, generator=generator)
        centres.append(features[chosen[0]])
        own = (features - centres[-1]).square().sum(1)
        distances = own if len(centres) == 1 else distances.minimum(own)
    means = torch.stack(centres)
    for _ in range(_LLOYD_STEPS):
        nearest = torch.cdist(features, means).argmin(1)
        counts = torch.bincount(nearest, minlength=num_classes)[:, None]
        sums = torch.zeros_like(means).index_add_(0, nearest, features)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), means)
    return torch.nn.functional.one_hot(nearest, num_classes).double()
