"""One metric, learned from the told trials: ranked observations and their Gaussian process."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from nas.strategies.gp.encoding import Encoding
from nas.strategies.gp.surrogate import Hyperparameters, Posterior, Trend, fit_hyperparameters

_CAPACITY = 256  # observations that the process is conditioned on
_FIT_CAPACITY = 250  # observations that its hyperparameters are fitted to
_GROWTH = 1.15  # of the history between two fits
_FIRST_FIT = 4  # observations


@dataclass(frozen=True)
class Scale:
    """Scores as normal quantiles of their ranks, linear in between.

    Networks that trained to chance would otherwise stretch the scale and flatten the top.

    Attributes:
        scores: ``(distinct,)``, observed, ascending.
        quantiles: ``(distinct,)``, what they become.
    """

    scores: np.ndarray
    quantiles: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> Scale:
        """Return the scale of observed scores, ``(n,)``; equal ones share their mean rank."""
        distinct, counts = np.unique(scores, return_counts=True)
        return cls(distinct, ndtri((np.cumsum(counts) - 0.5 * counts) / len(scores)))

    def __call__(self, scores: np.ndarray | float) -> np.ndarray:
        """Return scaled scores; those outside the observed range count as its ends."""
        return np.asarray(np.interp(scores, self.scores, self.quantiles))


def fitted_size(count: int) -> int:
    """Return the number of observations, of ``count``, that the hyperparameters are fitted to.

    It is the last of fixed sizes that grow by 15 %: a resumed study fits to the same observations as an
    uninterrupted one.
    """
    size = min(count, _FIRST_FIT)
    while (larger := max(size + 1, math.ceil(size * _GROWTH))) <= count:
        size = larger
    return size


def thinned(scores: np.ndarray, capacity: int) -> np.ndarray:
    """Return indices of at most ``capacity`` scores: the best, the latest, some of the rest.

    Args:
        scores: ``(n,)``, in the order they were observed; more is better.
        capacity: half goes to the best, a quarter to the latest, the rest evenly over the others.

    Returns:
        Ascending indices.
    """
    count = len(scores)
    if count <= capacity:
        return np.arange(count)
    kept = np.zeros(count, dtype=bool)
    kept[np.argsort(-scores, kind="stable")[: capacity // 2]] = True
    kept[count - capacity // 4 :] = True
    rest = np.flatnonzero(~kept)
    places = np.linspace(0, len(rest) - 1, capacity - int(kept.sum())).round().astype(int)
    kept[rest[places]] = True
    return np.flatnonzero(kept)


class Learner:
    """Observations of one metric, and the process that they and their order determine.

    Args:
        encoding: of the points.
        maximize: whether more of the metric is better.
    """

    def __init__(self, encoding: Encoding, *, maximize: bool) -> None:
        self.sign = 1.0 if maximize else -1.0
        self.points: list[tuple[int, ...]] = []
        self.scores: list[float] = []  # more is better
        self._encoding = encoding
        self._fitted: tuple[int, Hyperparameters] | None = None
        self._posterior: tuple[Posterior, Scale] | None = None  # until the next observation

    def add(self, point: tuple[int, ...], value: float) -> None:
        """Add one observation of the metric; a point may be observed many times."""
        self.points.append(point)
        self.scores.append(self.sign * value)
        self._posterior = None

    def posterior(self) -> tuple[Posterior, Scale]:
        """Return the process and the scale of its targets."""
        if self._posterior is None:
            self._posterior = self._condition()
        return self._posterior

    def _condition(self) -> tuple[Posterior, Scale]:
        size = fitted_size(len(self.scores))
        if self._fitted is None or self._fitted[0] != size:
            self._fitted = size, self._fit(size)
        scores = np.array(self.scores)
        kept = thinned(scores, _CAPACITY)
        scale = Scale.of(scores[kept])
        codes = self._encoding([self.points[index] for index in kept])
        trend = Trend.of(self._encoding.features(codes))
        return Posterior.of(self._encoding, self._fitted[1], trend, codes, scale(scores[kept])), scale

    @property
    def active(self) -> list[tuple[int, ...]]:
        """Points of the observations that the process is conditioned on."""
        return [self.points[index] for index in thinned(np.array(self.scores), _CAPACITY)]

    def _fit(self, size: int) -> Hyperparameters:
        scores = np.array(self.scores[:size])
        kept = thinned(scores, _FIT_CAPACITY)
        codes = self._encoding([self.points[index] for index in kept])
        return fit_hyperparameters(self._encoding, codes, Scale.of(scores[kept])(scores[kept]))
