"""How the numbers of a column enter the model, found in train: transform, atoms, knots, echoes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from made_exp.datasets.table.atoms import MAX_ATOMS, find_atoms
from made_exp.datasets.table.digits import Fineness
from made_exp.datasets.table.echoes import find_echoes
from made_exp.variables.transform import Transform, bends_from

# A bent transform must gain this many nats a value over the nearly straight one.
MIN_GAIN = 0.02
# Bends in units of the spread; the first is nearly straight, and yet every number is finite.
BENDS = (10.0, 3.0, 1.0, 0.3, 0.1)
# Below it float64 has few digits, and half of the least number is 0.
_LEAST_BEND = float(np.finfo(float).tiny)
NUM_KNOTS = 16
# Piecewise linear features of more numeric columns than this would cost more than they give.
MAX_KNOTTED = 128
# Atoms of all columns together; each column can have a few whatever their number.
ALL_ATOMS, MIN_ATOMS = 2048, 8
_ALL_LOOKED_AT = 4_000_000


@final
@dataclass(frozen=True)
class NumberFit:
    """What train says of a column of numbers; the fields are those of `Variable`."""

    transform: Transform
    atoms: tuple[float, ...]
    knots: tuple[float, ...]
    echoes: tuple[float, ...] = ()
    echo_counts: tuple[int, ...] = ()


@final
@dataclass(frozen=True)
class Limits:
    """What a column of numbers can have at most.

    Attributes:
        knots: Number of them.
        atoms: Number of them.
        looked_at: Values by which a transform is chosen.
    """

    knots: int = NUM_KNOTS
    atoms: int = MAX_ATOMS
    looked_at: int = 50_000

    @classmethod
    def among(cls, num_numeric: int) -> Self:
        """Those of each of so many columns: features are not to swamp the network."""
        share = max(num_numeric, 1)
        knots = 0 if num_numeric > MAX_KNOTTED else min(NUM_KNOTS, 4 * MAX_KNOTTED // share)
        atoms = min(MAX_ATOMS, max(ALL_ATOMS // share, MIN_ATOMS))
        return cls(knots, atoms, min(cls.looked_at, max(_ALL_LOOKED_AT // share, 1000)))


def fit_numbers(
    values: np.ndarray,
    *,
    fine: Fineness,
    zero: float = 0.0,
    limits: Limits | None = None,
    grids: Sequence[tuple[int, int]] = (),
) -> NumberFit:
    """Transform, atoms, knots and echoes of training values.

    Args:
        values: (N,) float64 of data space, finite; N may be 0.
        fine: How finely they are known.
        zero: The value of data space that stands for 0 in the column.
        limits: Of knots and atoms.
        grids: Coarse ones on which values may lie too often, see `find_echoes`.
    """
    limits = limits or Limits()
    step = fine.resolution
    atoms = _atoms(values, fine, limits.atoms)
    others = values[~np.isin(values, atoms)] if len(atoms) else values
    smooth = others
    if len(smooth) == 0 or smooth.min() == smooth.max():
        smooth = np.unique(values)  # all are atoms: what lies between and around them
    transform = choose_transform(smooth, step, zero, limits.looked_at)
    knots = _knots(smooth, transform, limits.knots)
    half = fine.widths(others) / 2
    cells = bent(others + half, transform) - bent(others - half, transform)
    echoes, counts = find_echoes(others, bent(others, transform), cells, grids)
    again = ~np.isin(echoes, atoms)
    lists = (tuple(array[again].tolist()) for array in (echoes, counts))
    return NumberFit(transform, tuple(atoms.tolist()), knots, *lists)


def _atoms(values: np.ndarray, fine: Fineness, most: int) -> np.ndarray:
    """The atoms of values (N,), rising; see `find_atoms`."""
    if fine.grows_from is None:
        return find_atoms(values, fine.resolution, most, are_computed=fine.digit is not None)
    distinct, index = np.unique(values, return_inverse=True)
    places = fine.places(distinct)
    return distinct[np.isin(places, find_atoms(places[index], 1.0, most))]


def choose_transform(
    values: np.ndarray, step: float, zero: float = 0.0, looked_at: int = Limits.looked_at
) -> Transform:
    """The transform under which values (N,) are most nearly normal.

    The log-likelihood of a normal distribution of z = t(x), counted as a density of x, is
    mean(log t'(x)) - log(std(t(x))) up to a constant. The nearly straight one is left for a
    clear gain only.
    """
    if len(values) == 0:
        return Transform(centre=zero, bend=10 * step, scale=1.0)
    some = values[:: max(len(values) // looked_at, 1)]
    candidates = _candidates(some, step, zero)
    scores = np.array([_score(some, centre, bend) for centre, bend in candidates])
    best = int(np.argmax(scores))
    centre, bend = candidates[0 if scores[best] < scores[0] + MIN_GAIN + 2 / len(values) else best]
    return standardised(values, centre, bend, step)


def standardised(values: np.ndarray, centre: float, bend: float, step: float) -> Transform:
    """The transform with this centre and bend that gives values (N,) mean 0 and deviation 1."""
    t = np.arcsinh(bends_from(values, centre, bend))
    # Of numbers such as 1e-309 it may be too small for float64.
    scale = (float(t.std()) if t.min() < t.max() else 0.0) or step / bend
    return Transform(centre, bend, float(t.mean()), scale)


def bent(x: np.ndarray, transform: Transform) -> np.ndarray:
    """Z of x under a transform, as `Transform.forward` gives it."""
    if transform.bend is not None:
        x = np.arcsinh(bends_from(x, transform.centre, transform.bend))
    return (x - transform.shift) / transform.scale


def _candidates(values: np.ndarray, step: float, zero: float) -> list[tuple[float, float]]:
    """Centres and bends to choose from; the nearly straight one first."""
    largest = float(np.abs(values).max()) or 1.0
    mean, deviation = (float(m) * largest for m in _moments(values / largest))
    # Of halves, whose differences float64 holds.
    low, median, high = (float(q) for q in np.quantile(values / 2, (0.25, 0.5, 0.75)))
    median, robust = 2 * median, (high - low) / 1.349 * 2
    spreads = [(mean, deviation or step), (median, robust if robust > 0 else step)]
    found = [(centre, factor * spread) for centre, spread in spreads for factor in BENDS]
    sizes = np.abs(values - zero)
    if values.min() > zero or values.max() < zero:
        found.append((zero, float(sizes.min()) / 1000))
    if values.min() >= zero or values.max() <= zero:
        sizes = sizes[sizes > 0]
        found += [(zero, float(np.quantile(sizes, q))) for q in (0.05, 0.25) if len(sizes)]
    # A bend within the last digit, or what float64 cannot hold, of numbers such as 1e300, is none.
    found = [(c, max(b, step / 2, _LEAST_BEND)) for c, b in found]
    return [
        (c, b)
        for n, (c, b) in enumerate(found)
        if n == 0 or (largest / b < 1e300 and np.isfinite(b))
    ]


def _moments(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


def _score(values: np.ndarray, centre: float, bend: float) -> float:
    t = bends_from(values, centre, bend)
    slopes = -np.log(bend) - np.log(np.hypot(1.0, t))
    deviation = float(np.arcsinh(t).std())
    return float(slopes.mean()) - np.log(deviation) if deviation > 0 else -np.inf


def _knots(values: np.ndarray, transform: Transform, most: int) -> tuple[float, ...]:
    """Quantiles of z, distinct, at most `most` and fewer than there are different values."""
    if most == 0 or len(values) == 0:
        return ()
    z = bent(values[:: max(len(values) // Limits.looked_at, 1)], transform)
    count = min(most, len(np.unique(z)) - 2)
    if count < 1:
        return ()
    found = np.quantile(z, (np.arange(count) + 1) / (count + 1))
    return tuple(np.unique(np.round(found, 4)).tolist())
