"""Networks that a search under a latency limit need not measure, and the errors that this costs.

Usage: python benchmarks/latency_guess.py [--networks 200] [--classes 6] [--orders 20]

Networks of the elastic space, half of them of all sizes, are measured once; then a search that comes by
them in random order is replayed for several limits. The table has the number that it would measure, and
the number within the limit that a wrong guess would turn down (means over orders).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from deploy.architecture_latency import (
    LatencyProbe,
    fit_latency_model,
    latency_features,
    measure_architecture,
)
from nas.architecture import Architecture
from nas.spaces.elastic import Elastic

_SHARES = (0.05, 0.1, 0.3, 0.6)  # of the networks that are within the limit


def main() -> None:
    """Measure, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--orders", type=int, default=20)
    given = parser.parse_args()
    space, rng = Elastic(), np.random.default_rng(0)
    points = [(space.sample, space.spread)[i % 2](rng) for i in range(given.networks)]
    networks = [space.decode(point) for point in points]
    times = {network.key: measure_architecture(network, given.classes).median_ms for network in networks}
    measured = np.array([times[network.key] for network in networks])
    features = np.array([latency_features(network, given.classes) for network in networks])
    known = rng.permutation(len(networks)) < len(networks) // 2
    ratios = features[~known] @ fit_latency_model(features[known], measured[known]) / measured[~known]
    low, middle, high = np.quantile(np.abs(ratios - 1), (0.25, 0.5, 0.75))
    print(
        f"{given.networks} networks of {measured.min():.2f} to {measured.max():.2f} ms; guesses from "
        f"half of them are off by {middle:.3f} ({low:.3f} to {high:.3f}), {ratios.min():.2f} to "
        f"{ratios.max():.2f} times the measurement\n"
    )
    print("| limit | within | measured | wrongly turned down |\n|---|---|---|---|")
    for limit in np.quantile(measured, _SHARES):
        within = {key for key, time in times.items() if time <= limit}
        orders = [
            np.random.default_rng(order).permutation(len(networks)) for order in range(given.orders)
        ]
        asked = [replay([networks[i] for i in order], times, limit, given.classes) for order in orders]
        lost = [len(within - each) for each in asked]
        count = np.mean([len(each) for each in asked])
        print(f"| {limit:.2f} ms | {len(within)} | {count:.0f} | {np.mean(lost):.1f} |")


def replay(
    networks: Sequence[Architecture], times: Mapping[str, float], limit: float, classes: int
) -> set[str]:
    """Return the keys of the networks that a search measures if it meets ``networks`` in order."""
    seen: set[str] = set()

    def measure(network: Architecture) -> float:
        seen.add(network.key)
        return times[network.key]

    probe = LatencyProbe(measure, limit, classes)
    for network in networks:
        probe(network)
    return seen


if __name__ == "__main__":
    main()
