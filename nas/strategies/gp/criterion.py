"""What a Gaussian-process strategy maximises: improvement in one goal, floors in the others, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nas.objectives import Objectives
from nas.strategies.gp.acquisition import Estimate, FlooredImprovement
from nas.strategies.gp.candidates import Candidates
from nas.strategies.gp.learner import Learner, Scale
from nas.strategies.gp.surrogate import Posterior

_FLOORS = 32  # in the other goals


@dataclass(frozen=True)
class View:
    """A learned metric as of now, pending trials believed.

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
        """The process of ``learner``, with ``pending`` observed at their means."""
        posterior, scale = learner.posterior()
        return cls(posterior.believing(pending.codes), scale, learner.sign)


class Criterion:
    """Scores candidates; higher is better.

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
        """Indices of ``candidates`` from the best to the worst."""
        main = self._estimate(self._main, candidates)
        others = [self._estimate(name, candidates) for name in self._others]
        value = self._improvement(main, others) * self._within(candidates)
        return np.asarray(np.lexsort((-main.mean, -value)))  # where improvements underflow, by the mean

    def _mean(self, metric: str, candidates: Candidates) -> np.ndarray:
        """Of scores in a goal."""
        view = self._views.get(metric)
        if view is None:
            return np.asarray(self._signs[metric] * candidates.costs[metric])
        return view.posterior.mean(candidates.codes)

    def _estimate(self, metric: str, candidates: Candidates) -> Estimate:
        """Of scores in a goal."""
        view = self._views.get(metric)
        if view is None:
            return Estimate(self._mean(metric, candidates), np.zeros(len(candidates)))
        return Estimate(*view.posterior.predict(candidates.codes))

    def _within(self, candidates: Candidates) -> np.ndarray:
        """Probability that the limits on learned metrics are met, ``(points,)``."""
        probability = np.ones(len(candidates))
        for limit in self._limits:
            view = self._views[limit.metric]
            above = Estimate(*view.posterior.predict(candidates.codes)).at_least(
                view.scale(view.sign * limit.value)
            )
            probability *= 1 - above if limit.upper == (view.sign > 0) else above
        return probability


def _floors(others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Floors in the other goals, ``(floors, goals)``: evenly over the known range of each, shuffled."""
    goals = others.shape[1]
    if goals == 0:
        return np.empty((1, 0))
    strata = rng.permuted(np.tile(np.arange(_FLOORS)[:, None], (1, goals)), axis=0)
    low, high = others.min(axis=0), others.max(axis=0)
    return np.asarray(low + (strata + rng.random((_FLOORS, goals))) / _FLOORS * (high - low))
