"""Points of a space as binary codes, and candidates: points with their codes and costs."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from nas.objectives import CLOSED_FORM, Objectives
from nas.spaces.base import Decision, Point

Codes = np.ndarray  # (points, columns) of 0 and 1, and then the features
Points = np.ndarray  # (points, decisions) option indices
Feature = Callable[[tuple[int, ...]], float]  # of a point
_CACHED = 10_000  # points whose codes are kept, and whether they are within the limits


@dataclass(frozen=True)
class Encoding:
    """Binary encoding of the options of each decision.

    Two options of a decision are at distance 1 if they are names. If they are numbers, half of the
    distance is that they differ and half is how many options lie between them, so that 3 and 5 are
    closer than 3 and 7. Both are l1 distances between binary codes: one-hot for the first, "at least
    this large" (thermometer) for the second; so the distances of many points are one matrix product.
    Features of the points may ride along; they do not count towards distances.

    Attributes:
        tables: per decision, the code of each option, ``(options, columns of the decision)``.
        decision: ``(columns,)``, the decision that a column belongs to.
        scale: ``(columns,)``, what a difference in a column adds to the decision's distance.
        extra: the features.
    """

    tables: tuple[np.ndarray, ...]
    decision: np.ndarray
    scale: np.ndarray
    extra: tuple[Feature, ...] = ()

    @classmethod
    def of(cls, decisions: Sequence[Decision], extra: Sequence[Feature] = ()) -> Encoding:
        """Return the encoding of a space's decisions, independent of the order of their options."""
        coded = [_code(decision.options) for decision in decisions]
        return cls(
            tuple(table for table, _ in coded),
            np.repeat(np.arange(len(coded)), [len(scale) for _, scale in coded]),
            np.concatenate([scale for _, scale in coded]),
            tuple(extra),
        )

    def __call__(self, points: Sequence[Sequence[int]] | Points) -> Codes:
        """Return the codes ``(points, columns + features)`` of ``points``, ``(points, decisions)``."""
        listed = points.tolist() if isinstance(points, np.ndarray) else points
        rows = [self._row(tuple(point)) for point in listed]
        return np.concatenate([np.empty(0), *rows]).reshape(len(rows), len(self.scale) + len(self.extra))

    @cached_property
    def _row(self) -> Callable[[Point], np.ndarray]:
        """Code of one point; a search asks for the same ones again and again."""

        def encoded(point: Point) -> np.ndarray:
            coded = [table[option] for table, option in zip(self.tables, point, strict=True)]
            return np.concatenate([*coded, [feature(point) for feature in self.extra]])

        return lru_cache(_CACHED)(encoded)

    def features(self, codes: Codes) -> np.ndarray:
        """Return the features appended to ``codes``, ``(points, features)``."""
        return codes[:, len(self.scale) :]

    def distance(self, ones: Codes, others: Codes, weights: np.ndarray) -> np.ndarray:
        """Return the sum over decisions of weight times distance, ``(ones, others)``.

        Args:
            ones: codes.
            others: codes.
            weights: ``(decisions,)``.
        """
        ones, others = ones[:, : len(self.scale)], others[:, : len(self.scale)]
        column = weights[self.decision] * self.scale
        # |a - b| = a + b - 2 a b for a, b in {0, 1}
        total = (ones * (-2 * column)) @ others.T
        total += (ones @ column)[:, None]
        total += others @ column
        return np.asarray(np.maximum(total, 0.0, out=total))

    def distances(self, codes: Codes) -> np.ndarray:
        """Return the distance of each pair in each decision, ``(decisions, points, points)``."""
        unit = np.eye(len(self.tables))
        return np.stack([self.distance(codes, codes, weights) for weights in unit])


def _code(options: Sequence[object]) -> tuple[np.ndarray, np.ndarray]:
    """Return one decision's table and the scale of its columns."""
    count = len(options)
    names = np.eye(count)
    numbers = [option for option in options if isinstance(option, int | float)]
    if count < 3 or len(numbers) < count or len(set(numbers)) < count:
        return names, np.full(count, 0.5)
    ordered = sorted(numbers)
    steps = np.array([[float(number > low) for low, _ in pairwise(ordered)] for number in numbers])
    scale = np.concatenate([np.full(count, 0.25), np.full(count - 1, 0.5 / (count - 1))])
    return np.concatenate([names, steps], axis=1), scale


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
        """Return the candidates at ``indices``, in that order."""
        costs = {metric: values[indices] for metric, values in self.costs.items()}
        return Candidates([self.points[index] for index in indices], self.codes[indices], costs)

    def without(self, known: Container[Point]) -> Candidates:
        """Return the candidates that are not in ``known``."""
        return self.take([index for index, point in enumerate(self.points) if point not in known])


class Catalogue:
    """Factory of candidates, with the limits in closed form.

    Args:
        encoding: of the points.
        objectives: their goals and limits in closed form are looked up.
        costs: metrics in closed form of a point; asked for again and again.
    """

    def __init__(
        self, encoding: Encoding, objectives: Objectives, costs: Callable[[Point], Mapping[str, float]]
    ) -> None:
        self._encoding = encoding
        limits = [limit for limit in objectives.limits if limit.metric in CLOSED_FORM]
        self._goals = [name for name in objectives.names if name in CLOSED_FORM]
        self._costs = costs
        self._within = lru_cache(_CACHED)(
            lambda point: not any(limit.violation(costs(point)) for limit in limits)
        )

    def describe(self, points: Iterable[Point]) -> Candidates:
        """Return candidates for ``points``, each once, whether or not within the limits."""
        unique = list(dict.fromkeys(points))
        metrics = [self._costs(point) for point in unique] if self._goals else []
        costs = {
            metric: np.array([costs_of_point[metric] for costs_of_point in metrics])
            for metric in self._goals
        }
        return Candidates(unique, self._encoding(unique), costs)

    def within(self, point: Point) -> bool:
        """Tell if a point is within the limits in closed form."""
        return self._within(point)

    def allowed(self, points: Iterable[Point]) -> Candidates:
        """Return candidates for the ``points`` within the limits in closed form, each once."""
        return self.describe(filter(self._within, dict.fromkeys(points)))
