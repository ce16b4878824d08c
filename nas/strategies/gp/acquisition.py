"""How much a candidate is expected to improve on what is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

_SQRT_2PI = np.sqrt(2 * np.pi)
_EXACT = 1e-12  # a score this close to a floor reaches it


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: np.ndarray | float) -> np.ndarray:
    """E max(0, f - best) for a normal f; broadcasts.

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
        """Probability of ``floor`` or more; broadcasts."""
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
        """What improves on known points.

        Args:
            scores: ``(points,)``, of the known points in the goal; where none of them reaches the floors,
                the lowest score is what is to be improved on.
            others: ``(points, other goals)``, their scores in the others.
            floors: ``(floors, other goals)``.
        """
        reach = np.all(others[None] >= floors[:, None], axis=2)
        return cls(floors, np.where(reach, scores[None], scores.min()).max(axis=1))

    def __call__(self, goal: Estimate, others: list[Estimate]) -> np.ndarray:
        """Of candidates, ``(points,)``."""
        deviation = np.maximum(goal.deviation, 1e-9)
        value = expected_improvement(goal.mean[:, None], deviation[:, None], self.best)
        for other, floors in zip(others, self.floors.T, strict=True):
            column = Estimate(other.mean[:, None], other.deviation[:, None])
            value = value * column.at_least(floors)
        return np.asarray(np.mean(value, axis=1))
