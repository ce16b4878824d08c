"""Finding points that are new and within the limits, whatever a strategy proposes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

import numpy as np

from nas.architecture import Architecture
from nas.errors import UserError
from nas.objectives import Objectives
from nas.spaces.base import SearchSpace

Measure = Callable[[Architecture], dict[str, float]]
Point = tuple[int, ...]

_SAMPLES = 200
_STARTS = 4
_ENUMERABLE = 10_000  # points; small enough to look at every one
_VISITS = 5_000  # points looked at before a space too large to enumerate counts as exhausted


@dataclass(frozen=True)
class Filter:
    """Whether a canonical point is new and within every limit known before training."""

    space: SearchSpace
    objectives: Objectives
    measure: Measure
    seen: Container[str]  # architecture keys

    def __call__(self, point: Point) -> bool:
        architecture = self.space.decode(point)
        return architecture.key not in self.seen and not self._violates(architecture)

    def violation(self, point: Point) -> float:
        """Relative excess over the limits; 0 within them."""
        if not self.objectives.limits:
            return 0.0
        return self.objectives.violation(self.measure(self.space.decode(point)))

    def _violates(self, architecture: Architecture) -> bool:
        if not self.objectives.limits:
            return False
        return self.objectives.violation(self.measure(architecture)) > 0


def next_feasible(accepts: Filter, rng: np.random.Generator, known: Iterable[Point]) -> Point | None:
    """An acceptable point: sampled, else repaired, else next to a known one; ``None``: there is none.

    Spaces of up to 10,000 points are enumerated, so ``None`` is exact there; in larger ones it says
    that sampling, descent on the violation, and a walk over the feasible neighbourhood found nothing.
    """
    space = accepts.space
    if space.size <= _ENUMERABLE:
        points = [point for point in space.points() if accepts(point)]
        return points[int(rng.integers(len(points)))] if points else None
    for _ in range(_SAMPLES):
        point = space.canonical(space.sample(rng))
        if accepts(point):
            return point
    repaired = [descend(space, accepts.violation, rng) for _ in range(_STARTS)]
    return _walk(accepts, [*repaired, *known])


def descend(space: SearchSpace, loss: Callable[[Point], float], rng: np.random.Generator) -> Point:
    """Greedy descent on ``loss`` over neighbours from a random point, until 0 or a local minimum."""
    point = space.canonical(space.sample(rng))
    value = loss(point)
    while value > 0:
        candidates = [(loss(neighbour), neighbour) for neighbour in space.neighbours(point)]
        if not candidates or min(candidates)[0] >= value:
            break
        value, point = min(candidates)
    return point


def check_limits(space: SearchSpace, objectives: Objectives, measure: Measure) -> None:
    """Make sure that some network meets the limits.

    Raises:
        UserError: none does; names the limit and the cheapest network's cost.
    """
    if not any(limit.metric in _BEFORE_TRAINING for limit in objectives.limits):
        return
    rng = np.random.default_rng(0)
    accepts = Filter(space, objectives, measure, seen=())
    if any(accepts(space.canonical(space.sample(rng))) for _ in range(_SAMPLES)):
        return
    if next_feasible(accepts, rng, ()) is not None:
        return
    for limit in objectives.limits:
        if limit.metric in ("params", "macs", "latency_ms"):
            lowest = _cheapest(space, limit.metric, measure, rng)
            if lowest is not None and lowest > limit.value:
                raise UserError(
                    f"no network of this space meets {limit}: the smallest found has {limit.metric} "
                    f"{lowest:,.6g}; raise the limit or choose another --space or --resolution"
                )
    wanted = ", ".join(str(limit) for limit in objectives.limits)
    raise UserError(f"no network found that meets all limits at once: {wanted}; loosen one of them")


_BEFORE_TRAINING = ("params", "macs", "latency_ms")


def _cheapest(
    space: SearchSpace, metric: str, measure: Measure, rng: np.random.Generator
) -> float | None:
    """Lowest ``metric`` in the space: exact where it can be enumerated, else by descent.

    A latency is measured on the network with the fewest multiply-adds.
    """
    guide = "macs" if metric == "latency_ms" else metric

    def loss(point: Point) -> float:
        return measure(space.decode(point))[guide]

    if space.size <= _ENUMERABLE:
        points: Iterable[Point] = space.points()
    else:
        points = [descend(space, loss, rng) for _ in range(_STARTS)]
    lowest = min(points, key=loss)
    return measure(space.decode(lowest)).get(metric)


def _walk(accepts: Filter, starts: Iterable[Point]) -> Point | None:
    """Breadth first over neighbours within the limits, until an acceptable one."""
    queue = deque(starts)
    visited = set(queue)
    while queue and len(visited) < _VISITS:
        point = queue.popleft()
        if accepts(point):
            return point
        if accepts.violation(point) > 0:
            continue
        for neighbour in accepts.space.neighbours(point):
            if neighbour not in visited:
                visited.add(neighbour)
                queue.append(neighbour)
    return None
