"""Subnets near the limits of a search, which its supernet is trained for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from deploy.architecture_latency import latency_bound, measure_architecture
from deploy.targets import is_profile, runtime_target
from nas.architecture import Architecture
from nas.objectives import MEMORY, Limit, Objectives
from nas.spaces.elastic import Elastic

_NEAREST = 0.6  # least share of one of the limits that a subnet reaches
_SUBNETS = 256
_LEAST = 16  # of fewer, subnets of other sizes are trained too
_DRAWS = 20_000
_MEASURED = 30  # random subnets that latencies are predicted from


def subnets_near_limits(
    space: Elastic,
    objectives: Objectives,
    num_classes: int,
    target: str,
    report: Callable[[int, int], None] | None = None,
) -> tuple[Architecture, ...]:
    """Return random subnets within all limits, each of which reaches 0.6 of one of them.

    Where a search has several goals, whose front has networks of all sizes, smaller ones count too.

    Only :attr:`Objectives.size_limits` count; the latency is predicted from that of 30 random
    subnets, which are measured, or from a profile. None are returned where there is no such limit, where
    the whole network is hardly larger, or where subnets within the limits are rare.

    Args:
        space: of the subnets.
        objectives: goals and limits.
        num_classes: classes of the data.
        target: that limits are of.
        report: called with (networks measured, networks in all).
    """
    limits = objectives.size_limits
    if not limits:
        return ()
    within, least = Objectives((), limits), _NEAREST if len(objectives.goals) == 1 else 0.0
    rng = np.random.default_rng(0)
    latency: Callable[[Architecture], float] | None = None
    if _timed(limits):
        networks = [space.random_subnet(rng) for _ in range(_MEASURED)]
        latency = latency_bound(networks, num_classes, report, target=target)
    runtime, memory = runtime_target(target), {limit.metric for limit in limits}.intersection(MEMORY)
    found: dict[str, Architecture] = {}
    for _ in range(_DRAWS):
        network = space.random_subnet(rng)
        metrics = runtime.costs(network, num_classes, memory)
        if latency is not None and not within.violation(metrics):  # a prediction takes the longest
            metrics["latency_ms"] = latency(network)
        if within.violation(metrics):
            continue
        if max(metrics[limit.metric] / limit.value for limit in limits) >= least:
            found[network.key] = network
        if len(found) == _SUBNETS:
            break
    return tuple(found.values()) if len(found) >= _LEAST else ()


def seconds_to_measure(space: Elastic, objectives: Objectives, num_classes: int, target: str) -> float:
    """Return about how long :func:`subnets_near_limits` measures latencies; no time if it did before.

    One of them is measured now.
    """
    if not _timed(objectives.size_limits) or is_profile(target):
        return 0.0
    started = time.perf_counter()
    measure_architecture(space.random_subnet(np.random.default_rng(0)), num_classes, target=target)
    return _MEASURED * (time.perf_counter() - started)


def _timed(limits: Iterable[Limit]) -> bool:
    return any(limit.metric == "latency_ms" for limit in limits)
