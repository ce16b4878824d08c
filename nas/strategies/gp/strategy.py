"""Bayesian optimisation: a Gaussian process on the choices and expected improvement."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Unpack

import numpy as np

from core.errors import UserError
from nas.objectives import CLOSED_FORM, COSTS, METRICS, Objectives
from nas.spaces.base import Point, SearchSpace
from nas.strategies.base import Given, Strategy, whole_number
from nas.strategies.feasible import next_feasible
from nas.strategies.gp.acquisition import Criterion, View
from nas.strategies.gp.encoding import Candidates, Catalogue, Encoding
from nas.strategies.gp.learner import Learner
from nas.trial import Trial

_SPREAD = 64  # random points, of which the most different one is proposed at first
_SAMPLES = 16  # random candidates where the space is too large to take every point
_STARTS = 4  # best points whose neighbours are candidates, and where local search starts
_CLIMBS = 4  # steps of local search
_KEPT = 32  # candidates after each step
_CACHED = 50_000  # networks whose costs are kept
_REMEMBERED = 1_000  # points whose neighbours are kept


class Gp(Strategy):
    """Gaussian process with the exponential Hamming kernel; maximises the expected improvement.

    Improvement is over the best posterior mean among known points, since observations are noisy. Small
    spaces are enumerated; in others the candidates are random points, the neighbours of the best known
    ones, and what local search finds from the best of those. Params and macs are never learned: as
    limits they rule candidates out, as goals they are exact. Several goals: the expected improvement of
    the first goal that must be learned, averaged over floors in the others. Pending trials are
    hallucinated, as if they had been observed at their means (GP-BUCB, Desautels et al. 2014); failed
    ones count as known, without a score. The work of one ask is bounded.

    Args:
        startup: trials before the process takes over, spread over the space.
        trend: expect metrics to follow a parabola in the logarithms of params and macs, which is learned
            with the rest; choices then explain what is left. Finds good networks in fewer trials.

    Raises:
        UserError: ``startup`` is less than 1, or ``trend`` neither true nor false.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Objectives,
        *,
        startup: int = 10,
        trend: bool = True,
        **given: Unpack[Given],
    ) -> None:
        super().__init__(space, objectives, **given)
        self._startup = whole_number("gp", "startup", startup, minimum=1)
        if not isinstance(trend, bool):
            raise UserError(f"strategy 'gp': trend is true or false, got {trend!r}")
        costs = lru_cache(_CACHED)(lambda point: self._costs(space.decode(point)))
        logarithms = [partial(_logarithm, costs, metric) for metric in COSTS]
        self._encoding = Encoding.of(space.decisions, logarithms if trend else ())
        limited = {limit.metric: METRICS[limit.metric] for limit in objectives.limits}
        goals = {goal.metric: goal.maximize for goal in objectives.goals}
        self._learners = {
            metric: Learner(self._encoding, maximize=maximize)
            for metric, maximize in (limited | goals).items()
            if metric not in CLOSED_FORM
        }
        self._catalogue = Catalogue(self._encoding, objectives, costs)
        self._neighbours = lru_cache(_REMEMBERED)(lambda point: tuple(space.neighbours(point)))
        self._told: dict[Point, bool] = {}  # whether it ever completed
        self._everything: Candidates | None = None
        self._ranking: Iterator[Point] = iter(())

    def observe(self, trial: Trial) -> None:
        """Add a completed trial's metrics to the observations."""
        self._told[trial.choices] = self._told.get(trial.choices, False) or trial.completed
        for metric, learner in self._learners.items():
            value = (trial.metrics or {}).get(metric, np.nan)
            if np.isfinite(value):
                learner.add(trial.choices, value)

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        """Return the best candidate; where it is refused, the next best."""
        if not self.refused:
            self._ranking = iter(self._ranked(rng))
        point = next(self._ranking, None)
        return self.space.sample(rng) if point is None else point

    def _ranked(self, rng: np.random.Generator) -> list[Point]:
        """Return the points to propose, best first."""
        waiting = [proposal.choices for proposal in self.pending.values()]
        known = {*self._told, *waiting}
        learned = [name for name in self.objectives.names if name in self._learners]
        views_of = {name: each for name, each in self._learners.items() if len(each.scores) > 1}
        if learned:
            observed = self._learners[learned[0]].active
        else:
            observed = [point for point, completed in self._told.items() if completed]
        improvable = self._catalogue.allowed([*observed, *waiting])
        if len(known) < self._startup or not {*learned} <= views_of.keys() or not improvable.points:
            return self._spread(known, rng)
        pending = self._catalogue.describe(waiting)
        views = {name: View.of(learner, pending) for name, learner in views_of.items()}
        criterion = Criterion(self.objectives, views, improvable, rng)
        if self.space.enumerable:
            candidates = self._enumerated().without(known)
            return [candidates.points[index] for index in criterion(candidates)]
        best = improvable.take(np.argsort(-criterion.known_scores, kind="stable")[:_STARTS])
        ranked = self._best(criterion, [*self._sampled(_SAMPLES, rng), *best.points], best.points, known)
        climbed: set[Point] = set()
        for _ in range(_CLIMBS):
            top = [point for point in ranked[:_STARTS] if point not in climbed]
            if not top:
                break
            climbed.update(top)
            ranked = self._best(criterion, ranked, top, known)
        return ranked

    def _best(
        self, criterion: Criterion, points: list[Point], centres: list[Point], known: Container[Point]
    ) -> list[Point]:
        """Return the best new points among ``points`` and the neighbours of ``centres``.

        Costs take longer than the criterion, so limits are looked at from the best candidate down.
        """
        near = [neighbour for point in centres for neighbour in self._neighbours(point)]
        candidates = self._catalogue.describe([*points, *near]).without(known)
        ranked = (candidates.points[index] for index in criterion(candidates))
        return list(islice(filter(self._catalogue.within, ranked), _KEPT))

    def _spread(self, known: Collection[Point], rng: np.random.Generator) -> list[Point]:
        """Return random points within the limits, most different from the known ones first."""
        candidates = self._catalogue.allowed(self._sampled(_SPREAD, rng)).without(known)
        if not len(candidates):
            point = next_feasible(self._filter(), rng, known)
            return [] if point is None else [point]
        if not known:
            return candidates.points
        weights = np.ones(len(self.space.decisions))
        apart = self._encoding.distance(candidates.codes, self._encoding(list(known)), weights)
        return candidates.take(np.lexsort((-apart.mean(axis=1), -apart.min(axis=1)))).points

    def _sampled(self, count: int, rng: np.random.Generator) -> list[Point]:
        return [self.space.canonical(self.space.sample(rng)) for _ in range(count)]

    def _enumerated(self) -> Candidates:
        if self._everything is None:
            self._everything = self._catalogue.allowed(self.space.points())
        return self._everything


def _logarithm(costs: Callable[[Point], Mapping[str, float]], metric: str, point: Point) -> float:
    return math.log(costs(point)[metric])
