"""Search for points that are new and within the limits.

Costs in closed form are free; measuring a network (its latency) takes a second. So the search for a
network within the limits goes by the costs, and measures only where it stops.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from core.errors import UserError
from nas.architecture import Architecture
from nas.objectives import CLOSED_FORM, COSTS, Limit, Objectives
from nas.spaces.base import Point, SearchSpace

Measure = Callable[[Architecture], dict[str, float]]

_SAMPLES = 200
_STARTS = 4
_VISITS = 5_000  # points walked to before a space too large to enumerate counts as exhausted
_MEASURED = 32  # networks measured before a limit on a measured metric counts as impossible
_PROBED = ("latency_ms",)


@dataclass(frozen=True)
class Filter:
    """Test of a canonical point: new, and within every limit known before training.

    Attributes:
        space: of the points.
        objectives: hold the limits.
        costs: metrics in closed form.
        measure: those, and what must be measured where they are within the limits.
        seen: architecture keys that are taken.
    """

    space: SearchSpace
    objectives: Objectives
    costs: Measure
    measure: Measure
    seen: Container[str]

    def __call__(self, point: Point) -> bool:
        """Tell if the point is new and within the limits."""
        architecture = self.space.decode(point)
        return architecture.key not in self.seen and not self._violation(architecture, self.measure)

    def excess(self, point: Point) -> float:
        """Return the relative excess of the costs over the limits; 0 within them."""
        return self._violation(self.space.decode(point), self.costs)

    def within(self, point: Point) -> bool:
        """Tell if a point, new or not, is within every limit known before training."""
        return not self._violation(self.space.decode(point), self.measure)

    def _violation(self, architecture: Architecture, measure: Measure) -> float:
        if not self.objectives.limits:
            return 0.0
        return self.objectives.violation(measure(architecture))


def next_feasible(accepts: Filter, rng: np.random.Generator, known: Iterable[Point]) -> Point | None:
    """Return an acceptable point (sampled, else repaired, else next to a known one) or ``None``.

    Known points are taken, so only what is next to them is looked at.

    Spaces of up to 10,000 points are enumerated, so ``None`` is exact there; in larger ones it says
    that sampling, descent on the costs, and a walk over the feasible neighbourhood found nothing.
    """
    space = accepts.space
    if space.enumerable:
        points = list(space.points())
        order = (points[index] for index in rng.permutation(len(points)))
        return next((point for point in order if accepts(point)), None)
    for _ in range(_SAMPLES):
        point = space.canonical(space.sample(rng))
        if accepts(point):
            return point
    repaired = [_repair(accepts, rng) for _ in range(_STARTS)]
    acceptable = next((point for point in repaired if accepts(point)), None)
    return _walk(accepts, [*repaired, *known]) if acceptable is None else acceptable


def descend(space: SearchSpace, loss: Callable[[Point], float], point: Point) -> Iterator[Point]:
    """Yield the points of a greedy descent on ``loss`` over neighbours, down to 0 or a minimum."""
    value = loss(point)
    yield point
    while value > 0:
        candidates = [(loss(neighbour), neighbour) for neighbour in space.neighbours(point)]
        if not candidates or min(candidates)[0] >= value:
            return
        value, point = min(candidates)
        yield point


def check_limits(accepts: Filter) -> None:
    """Check that some network meets the limits that are known before training.

    Raises:
        UserError: none does; names the limit and the cheapest network's cost.
    """
    space, limits = accepts.space, accepts.objectives.limits
    if not any(limit.metric in (*CLOSED_FORM, *_PROBED) for limit in limits):
        return
    rng = np.random.default_rng(0)
    sampled = (space.canonical(space.sample(rng)) for _ in range(_SAMPLES))
    start = next((point for point in sampled if not accepts.excess(point)), None)
    if start is None:
        cheap = Filter(space, accepts.objectives, accepts.costs, accepts.costs, seen=())
        start = next_feasible(cheap, rng, ())
    if start is None:
        _refuse_costs(accepts, rng)
    probed = [limit for limit in limits if limit.metric in _PROBED and limit.upper]
    if start is not None and probed:
        _check_measured(accepts, start, probed, rng)


def _refuse_costs(accepts: Filter, rng: np.random.Generator) -> None:
    limits = [limit for limit in accepts.objectives.limits if limit.metric in CLOSED_FORM]
    for limit in limits:
        lowest = _cheapest(accepts, limit.metric, rng)
        if limit.upper and lowest > limit.value:
            raise UserError(_impossible(limit, lowest))
    wanted = ", ".join(str(limit) for limit in limits)
    raise UserError(f"no network found that meets all limits at once: {wanted}; loosen one of them")


def _check_measured(accepts: Filter, start: Point, limits: list[Limit], rng: np.random.Generator) -> None:
    """Measure networks from few multiply-adds up, until one is within the limits."""
    space, macs = accepts.space, _macs_of(accepts)
    if space.enumerable:
        points = list(space.points())
    else:
        points = [space.canonical(space.sample(rng)) for _ in range(_SAMPLES)]
        points += _towards_fewer_macs(accepts, start)
    candidates = sorted((point for point in points if not accepts.excess(point)), key=macs)
    measured: list[dict[str, float]] = []
    for point in candidates[:_MEASURED]:
        measured.append(accepts.measure(space.decode(point)))
        if not accepts.objectives.violation(measured[-1]):
            return
    for limit in limits:
        lowest = min(metrics.get(limit.metric, 0.0) for metrics in measured)
        if lowest > limit.value:
            raise UserError(_impossible(limit, lowest))


def _impossible(limit: Limit, lowest: float) -> str:
    number = f"{lowest:,.0f}" if limit.metric in COSTS else f"{lowest:,.4g}"
    return (
        f"no network of this space meets {limit}: the smallest found has {limit.metric} {number}; "
        "raise the limit, or choose another space or lower resolutions"
    )


def _cheapest(accepts: Filter, metric: str, rng: np.random.Generator) -> float:
    """Return the lowest ``metric`` in the space: exact where it can be enumerated, else by descent."""
    space = accepts.space

    def loss(point: Point) -> float:
        return accepts.costs(space.decode(point))[metric]

    if space.enumerable:
        return min(map(loss, space.points()))
    starts = [space.canonical(space.sample(rng)) for _ in range(_STARTS)]
    return min(loss(point) for start in starts for point in descend(space, loss, start))


def _repair(accepts: Filter, rng: np.random.Generator) -> Point:
    """Descend on the costs' excess, then towards fewer multiply-adds until a measurement is within."""
    space = accepts.space
    *_, point = descend(space, accepts.excess, space.canonical(space.sample(rng)))
    if accepts.excess(point) > 0:
        return point
    lighter = point
    for lighter in _towards_fewer_macs(accepts, point):
        if accepts.within(lighter):
            break
    return lighter


def _towards_fewer_macs(accepts: Filter, start: Point) -> Iterator[Point]:
    macs = _macs_of(accepts)

    def loss(point: Point) -> float:
        return math.inf if accepts.excess(point) else macs(point)

    return descend(accepts.space, loss, start)


def _macs_of(accepts: Filter) -> Callable[[Point], float]:
    return lambda point: accepts.costs(accepts.space.decode(point))["macs"]


def _walk(accepts: Filter, starts: Iterable[Point]) -> Point | None:
    """Walk breadth first over neighbours within the limits, to an acceptable point."""
    queue = deque(starts)
    visited = set(queue)
    most = len(visited) + _VISITS
    while queue and len(visited) < most:
        point = queue.popleft()
        if not accepts.within(point):
            continue
        for neighbour in accepts.space.neighbours(point):
            if neighbour in visited:
                continue
            if accepts(neighbour):
                return neighbour
            visited.add(neighbour)
            queue.append(neighbour)
    return None
