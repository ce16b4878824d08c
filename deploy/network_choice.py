"""Networks to measure for a profile: spread over the sizes of a search space."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from deploy.profile import Array
from nas.architecture import Architecture
from nas.cost import cost
from nas.spaces import SearchSpace
from nas.spaces.elastic import Elastic

_DRAWS = 1000  # networks to choose from


def spread_networks(space: SearchSpace, num_classes: int, seed: int) -> Iterator[Architecture]:
    """Yield different networks of a space, each as far as possible from those before it.

    Distances are between ranks of MACs, parameters, layers and resolution among 1,000 random networks,
    so that no size counts more than others (farthest-point sampling, Gonzalez 1985). The first network is
    the one nearest to the middle. More networks of the same seed begin with the same ones.

    Args:
        space: to choose from.
        num_classes: width of the classifiers.
        seed: of the random networks.
    """
    networks = _drawn(space, np.random.default_rng(seed))
    ranks = np.apply_along_axis(rankdata, 0, [_sizes(network, num_classes) for network in networks])
    distances = _distances(ranks, ranks.mean(axis=0))
    index = int(np.argmin(distances))
    distances = np.full(len(networks), np.inf)
    for _ in networks:
        yield networks[index]
        distances = np.minimum(distances, _distances(ranks, ranks[index]))
        distances[index] = -1.0  # taken, while others of its sizes have a distance of 0
        index = int(np.argmax(distances))


def _drawn(space: SearchSpace, rng: np.random.Generator) -> list[Architecture]:
    """Return different random networks, in the order that they were drawn in; all of a small space."""
    networks: dict[str, Architecture] = {}
    for _ in range(_DRAWS):
        if isinstance(space, Elastic):
            network = space.random_subnet(rng)
        else:
            network = space.decode(space.canonical(space.sample(rng)))
        networks[network.key] = network
    return list(networks.values())


def _sizes(network: Architecture, num_classes: int) -> tuple[float, ...]:
    total = cost(network, num_classes)
    return total.macs, total.params, len(network.layers), network.resolution


def _distances(points: Array, point: Array) -> Array:
    """Return the squared distance of each point ``(n, d)`` to one of them."""
    squared: Array = ((points - point) ** 2).sum(axis=1)
    return squared
