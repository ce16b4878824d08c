"""The acquisition function: expected improvement in one goal, with floors in the others and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from nas.objectives import Objectives
from nas.strategies.gp.encoding import Candidates
from nas.strategies.gp.learner import Learner, Scale
from nas.strategies.gp.surrogate import Posterior

_SQRT_2PI = np.sqrt(2 * np.pi)
_EXACT = 1e-12  # a score this close to a floor reaches it


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: np.ndarray | float) -> np.ndarray:
    """Return E max(0, f - best) for a normal f; broadcasts.

    Source: Jones et al., "Efficient global optimization of expensive black-box functions", 1998, eq. 15.
    """
    z = (mean - best) / deviation
    return np.asarray(deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / _SQRT_2PI))


@dataclass(frozen=True)
class Estimate:
    """Scores (more is better) of some points in one metric; exact where ``deviation`` is 0.

    Attributes:
        mean: ``(points,)``.
        deviation: ``(points,)``.
    """

    mean: np.ndarray
    deviation: np.ndarray

    def at_least(self, floor: np.ndarray | float) -> np.ndarray:
        """Return the probability of ``floor`` or more; broadcasts."""
        return np.asarray(ndtr((self.mean - floor + _EXACT) / np.maximum(self.deviation, _EXACT / 10)))


@dataclass(frozen=True)
class FlooredImprovement:
    """Expected improvement in one goal among points that reach floors in the others, over many floors.

    With one other goal and floors spread evenly, the mean over floors is the expected improvement of the
    dominated hypervolume: the area under the best score as a function of the floor. A floor in a learned
    goal counts by the probability that it is reached (Gardner et al., "Bayesian optimization with
    inequality constraints", 2014).

    Attributes:
        floors: ``(floors, other goals)``; ``(1, 0)`` where there is one goal.
        best: ``(floors,)``, the best known score among points that reach the floors.
    """

    floors: np.ndarray
    best: np.ndarray

    @classmethod
    def over(cls, scores: np.ndarray, others: np.ndarray, floors: np.ndarray) -> FlooredImprovement:
        """Return the improvement over known points.

        Args:
            scores: ``(points,)``, of the known points in the goal; where none of them reaches the floors,
                the lowest score is what is to be improved on.
            others: ``(points, other goals)``, their scores in the others.
            floors: ``(floors, other goals)``.
        """
        reach = np.all(others[None] >= floors[:, None], axis=2)
        return cls(floors, np.where(reach, scores[None], scores.min()).max(axis=1))

    def __call__(self, goal: Estimate, others: list[Estimate]) -> np.ndarray:
        """Return the expected improvement of candidates, ``(points,)``."""
        deviation = np.maximum(goal.deviation, 1e-9)
        value = expected_improvement(goal.mean[:, None], deviation[:, None], self.best)
        for other, floors in zip(others, self.floors.T, strict=True):
            column = Estimate(other.mean[:, None], other.deviation[:, None])
            value = value * column.at_least(floors)
        return np.asarray(np.mean(value, axis=1))


_FLOORS = 32  # in the other goals


@dataclass(frozen=True)
class View:
    """A learned metric given the finished trials, with pending ones hallucinated at their means.

    Attributes:
        posterior: of scaled scores; more is better.
        scale: of the scores.
        sign: from metric to score.
    """

    posterior: Posterior
    scale: Scale
    sign: float

    @classmethod
    def of(cls, learner: Learner, pending: Candidates) -> View:
        """Return the process of ``learner``, with ``pending`` observed at their means."""
        posterior, scale = learner.posterior()
        return cls(posterior.hallucinated(pending.codes), scale, learner.sign)


class Criterion:
    """The acquisition function: ranks candidates.

    Args:
        objectives: goals and limits.
        views: learned metrics that have been observed, with all learned goals among them.
        known: the told and pending points that can be improved on.
        rng: draws the floors.
    """

    def __init__(
        self,
        objectives: Objectives,
        views: Mapping[str, View],
        known: Candidates,
        rng: np.random.Generator,
    ) -> None:
        self._views = views
        self._limits = [limit for limit in objectives.limits if limit.metric in views]
        self._signs = {goal.metric: 1.0 if goal.maximize else -1.0 for goal in objectives.goals}
        self._main = next((name for name in self._signs if name in views), objectives.names[0])
        self._others = [name for name in self._signs if name != self._main]
        scores = self._mean(self._main, known)
        self.known_scores = np.where(self._within(known) >= 0.5, scores, scores.min())
        others = np.empty((len(known), len(self._others)))
        for column, name in enumerate(self._others):
            others[:, column] = self._mean(name, known)
        self._improvement = FlooredImprovement.over(self.known_scores, others, _floors(others, rng))

    def __call__(self, candidates: Candidates) -> np.ndarray:
        """Return the indices of ``candidates`` from the best to the worst."""
        main = self._estimate(self._main, candidates)
        others = [self._estimate(name, candidates) for name in self._others]
        value = self._improvement(main, others) * self._within(candidates)
        return np.asarray(np.lexsort((-main.mean, -value)))  # where improvements underflow, by the mean

    def _mean(self, metric: str, candidates: Candidates) -> np.ndarray:
        """Return the mean scores of candidates in a goal, ``(points,)``."""
        view = self._views.get(metric)
        if view is None:
            return np.asarray(self._signs[metric] * candidates.costs[metric])
        return view.posterior.mean(candidates.codes)

    def _estimate(self, metric: str, candidates: Candidates) -> Estimate:
        """Return the estimated scores of candidates in a goal."""
        view = self._views.get(metric)
        if view is None:
            return Estimate(self._mean(metric, candidates), np.zeros(len(candidates)))
        return Estimate(*view.posterior.predict(candidates.codes))

    def _within(self, candidates: Candidates) -> np.ndarray:
        """Return the probability that the limits on learned metrics are met, ``(points,)``."""
        probability = np.ones(len(candidates))
        for limit in self._limits:
            view = self._views[limit.metric]
            above = Estimate(*view.posterior.predict(candidates.codes)).at_least(
                view.scale(view.sign * limit.value)
            )
            probability *= 1 - above if limit.upper == (view.sign > 0) else above
        return probability


def _floors(others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw floors in the other goals, ``(floors, goals)``: stratified over the known range of each."""
    goals = others.shape[1]
    if goals == 0:
        return np.empty((1, 0))
    strata = rng.permuted(np.tile(np.arange(_FLOORS)[:, None], (1, goals)), axis=0)
    low, high = others.min(axis=0), others.max(axis=0)
    return np.asarray(low + (strata + rng.random((_FLOORS, goals))) / _FLOORS * (high - low))
