"""Points that may be proposed, with what is known of them for free."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.objectives import COSTS, Objectives
from nas.strategies.gp.encoding import Codes, Encoding

Point = tuple[int, ...]


@dataclass(frozen=True)
class Candidates:
    """Points in columns.

    Attributes:
        points: canonical.
        codes: ``(points, columns + features)``.
        costs: metric to ``(points,)``, for goals in closed form.
    """

    points: list[Point]
    codes: Codes
    costs: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.points)

    def take(self, indices: Sequence[int] | np.ndarray) -> Candidates:
        """The candidates at ``indices``, in that order."""
        costs = {metric: values[indices] for metric, values in self.costs.items()}
        return Candidates([self.points[index] for index in indices], self.codes[indices], costs)

    def without(self, known: Container[Point]) -> Candidates:
        """Those that are not in ``known``."""
        return self.take([index for index, point in enumerate(self.points) if point not in known])


class Catalogue:
    """Makes candidates, and knows which are within the limits in closed form.

    Args:
        encoding: of the points.
        objectives: their goals and limits in closed form are looked up.
        costs: params and macs of a point; asked for again and again.
    """

    def __init__(
        self, encoding: Encoding, objectives: Objectives, costs: Callable[[Point], Mapping[str, float]]
    ) -> None:
        self._encoding = encoding
        self._limits = [limit for limit in objectives.limits if limit.metric in COSTS]
        self._goals = [name for name in objectives.names if name in COSTS]
        self._costs = costs

    def describe(self, points: Iterable[Point]) -> Candidates:
        """Candidates for ``points``, each once, whether or not within the limits."""
        unique = list(dict.fromkeys(points))
        known = [self._costs(point) for point in unique] if self._goals else []
        costs = {metric: np.array([each[metric] for each in known]) for metric in self._goals}
        return Candidates(unique, self._encoding(unique), costs)

    def within(self, point: Point) -> bool:
        """Whether a point is within the limits in closed form."""
        return not any(limit.violation(self._costs(point)) for limit in self._limits)

    def allowed(self, points: Iterable[Point]) -> Candidates:
        """Candidates for those of ``points`` that are within the limits in closed form, each once."""
        return self.describe(filter(self.within, dict.fromkeys(points)))
