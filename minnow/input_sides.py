"""Input resolutions that a search chooses from, where the settings name none."""

from __future__ import annotations

from core.config import SearchConfig
from deploy.architecture_latency import measure_architecture
from deploy.targets import costs_on
from nas.architecture import Architecture
from nas.objectives import Limit, Objectives
from nas.spaces.elastic import Elastic
from training.data.images import ImageSet

_BY_SIDE = ("macs", "ram_kb", "latency_ms")  # metrics that depend on the side
_SHARES = (0.375, 0.5, 0.625, 0.75, 0.875, 1.0)  # of the stored side
_TIGHT = 0.8  # share of a limit from which on the smallest network leaves hardly anything to choose
_LESS = 0.9  # share of its cost that the smallest network of a smaller side has, at most


def default_resolutions(stored_side: int, least: float = 0.5) -> tuple[int, ...]:
    """Return input sides, pixels, from ``least`` times the stored side up to it.

    They are an eighth of the stored side apart, multiples of 8, and 16 or more.
    """
    shares = [share for share in _SHARES if share >= least]
    return tuple(sorted({max(16, round(stored_side * share / 8) * 8) for share in shares}))


def small_sides(
    space: Elastic, config: SearchConfig, objectives: Objectives, data: ImageSet
) -> tuple[int, ...] | None:
    """Return the sides of an elastic search whose limits need smaller ones than the usual; else ``None``.

    The usual sides start at 5/8 of the stored one. Where even the smallest network of those has more than
    0.8 of a limit on MACs, RAM or latency, sides down to 3/8 are added, as long as they make it smaller
    by a tenth: the latency of a small network is mostly that of its number of layers.

    Args:
        space: with the usual sides.
        config: settings; where they name resolutions, or the search began, its sides stay.
        objectives: with the limits.
        data: the images.
    """
    limits = [limit for limit in objectives.size_limits if limit.metric in _BY_SIDE]
    if config.space.resolutions is not None or config.study is not None or not limits:
        return None

    def taken(least: float) -> float:
        """Return the largest share of a limit that the smallest network takes."""
        smaller = Elastic(default_resolutions(data.size, least), base=space.base)
        smallest = smaller.decode(smaller.smallest)
        return max(
            _cost(smallest, limit, data.num_classes, config.target) / limit.value for limit in limits
        )

    least = Elastic.least_share
    now = taken(least)
    for lower in reversed([share for share in _SHARES if share < least]):
        if now <= _TIGHT or (then := taken(lower)) > _LESS * now:
            break
        least, now = lower, then
    return None if least == Elastic.least_share else default_resolutions(data.size, least)


def _cost(network: Architecture, limit: Limit, num_classes: int, target: str) -> float:
    """Return what a network has of the metric of a limit."""
    if limit.metric == "latency_ms":
        return measure_architecture(network, num_classes, target=target).upper_ms
    return costs_on(target, network, num_classes)[limit.metric]
