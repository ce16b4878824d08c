"""How many networks a search under a latency limit need not measure, and what that costs.

Usage: python benchmarks/latency_guess.py [--networks 200] [--classes 6] [--orders 20]

Networks of the elastic space, half of them of all sizes, are measured once; then a search that comes by
them in random order is replayed for several limits. The table has how many it would measure on its way,
and how many of those within the limit it would turn down because of a wrong guess (means over orders).
"""

from __future__ import annotations

import argparse

import numpy as np

from deploy.latency_cache import measure_architecture
from deploy.latency_guess import GuessingProbe, features_of, fitted
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
    features = np.array([features_of(network, given.classes) for network in networks])
    known = rng.permutation(len(networks)) < len(networks) // 2
    ratios = features[~known] @ fitted(features[known], measured[known]) / measured[~known]
    low, middle, high = np.quantile(np.abs(ratios - 1), (0.25, 0.5, 0.75))
    print(
        f"{given.networks} networks of {measured.min():.2f} to {measured.max():.2f} ms; guesses from "
        f"half of them are off by {middle:.3f} ({low:.3f} to {high:.3f}), {ratios.min():.2f} to "
        f"{ratios.max():.2f} times the measurement\n"
    )
    print("| limit | within | measured | wrongly turned down |\n|---|---|---|---|")
    for limit in np.quantile(measured, _SHARES):
        within = [network.key for network in networks if times[network.key] <= limit]
        asked, wrong = [], []
        for order in range(given.orders):
            seen: list[str] = []

            def measure(key: str, seen: list[str] = seen) -> float:
                seen.append(key)
                return times[key]

            probe = GuessingProbe(lambda a, measure=measure: measure(a.key), limit, given.classes)
            for place in np.random.default_rng(order).permutation(len(networks)):
                probe(networks[place])
            asked.append(len(seen))
            wrong.append(len(set(within) - set(seen)))
        print(f"| {limit:.2f} ms | {len(within)} | {np.mean(asked):.0f} | {np.mean(wrong):.1f} |")


if __name__ == "__main__":
    main()
